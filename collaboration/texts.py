"""Texts that several people write at once. Browsers send what they typed as Yjs updates; the merged state is kept here,
beside the text itself, which stays the truth that everything else reads and may rewrite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from pycrdt import Doc, Text

from collaboration.merging import rewrite
from collaboration.models import Project, SharedText

ROOT = "text"
"""Name of the one text in the document."""
MOST_UPDATE_BYTES = 256 * 1024
MOST_STATE_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    row: SharedText
    text: str
    """As the document has it: spaces that are being typed at its end are still there."""
    update: bytes
    """What who sent their state vector lacks."""


def synchronise(
    *,
    project: Project,
    subject: tuple[str, object],
    field: str,
    text: str,
    clean: Callable[[str], str],
    update: bytes = b"",
    vector: bytes = b"",
) -> Merged:
    """Merge an update into a text, in the caller's transaction, with the subject locked.

    `text` is what is kept of it; where that was changed by other ways than this (a form, a roll back), the document is
    rewritten to it first. `clean` says how a text is kept. Raises ValidationError for what is no update, is too large,
    or makes a text that `clean` refuses.
    """
    row = SharedText.objects.select_for_update().filter(
        subject_kind=subject[0], subject_id=str(subject[1]), field=field
    ).first() or SharedText(
        project=project, subject_kind=subject[0], subject_id=str(subject[1]), field=field, state=b""
    )
    if len(update) > MOST_UPDATE_BYTES:
        raise ValidationError("This is too much at once. Paste it in smaller parts.")
    doc: Doc = Doc()
    if row.state:
        doc.apply_update(bytes(row.state))
    shared = doc.get(ROOT, type=Text)
    if _cleaned(str(shared), clean) != text:
        rewrite(shared, text)
    if update:
        _apply(doc, update)
    written = str(shared)
    clean(written)
    row.state = doc.get_update()
    if len(row.state) > MOST_STATE_BYTES:
        raise ValidationError("This text was rewritten too often to be edited live. Save it with the form.")
    row.save()
    return Merged(row=row, text=written, update=_lacking(doc, vector))


def _cleaned(text: str, clean: Callable[[str], str]) -> str | None:
    try:
        return clean(text)
    except ValidationError:
        return None


def _apply(doc: Doc, update: bytes) -> None:
    try:
        doc.apply_update(update)
    except Exception:  # whatever the decoder says of bytes that are none of its own
        raise ValidationError("This update cannot be read. Load the page anew.") from None


def _lacking(doc: Doc, vector: bytes) -> bytes:
    try:
        return doc.get_update(vector) if vector else doc.get_update()
    except Exception:  # whatever the decoder says of bytes that are none of its own
        raise ValidationError("This state cannot be read. Load the page anew.") from None
