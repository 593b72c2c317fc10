"""What people may call things. A name is refused with a sentence rather than silently corrected."""

from __future__ import annotations

import re
import unicodedata

from django.core.exceptions import ValidationError

# Marks that turn the direction of what follows, also of text around the name: U+202A-202E and U+2066-2069.
_TURNING = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
_CODE = re.compile(r"[\w][\w.-]*")


def _composed(text: str, limit: int, what: str) -> str:
    """Return `text` in NFC. What is too long in any form is refused first: sorting n piled-up marks takes n² steps."""
    if len(text) > 4 * limit:  # composing makes at most four characters one
        raise ValidationError(f"The {what} has {len(text):,} characters; at most {limit:,} fit.", "long")
    return unicodedata.normalize("NFC", text)


def clean_name(text: str, *, limit: int = 120, what: str = "name") -> str:
    """Return `text` as a name of one line: composed (NFC), trimmed, inner white space as single spaces.

    Letters of every script, emoji and markup are welcome (pages escape them). Raises ValidationError for an empty name,
    one of more than `limit` characters, and one with control characters or marks that turn the direction of writing.
    """
    name = " ".join(_composed(text, limit, what).split())
    if any(c in _TURNING or unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") for c in name):
        raise ValidationError(f"The {what} has invisible control characters. Type it instead of pasting it.", "control")
    if not any(unicodedata.category(c)[0] in "LNPS" for c in name):
        raise ValidationError(f"The {what} is empty. Write at least one character.", "empty")
    if len(name) > limit:
        raise ValidationError(f"The {what} has {len(name):,} characters; at most {limit} fit.", "long")
    return name


def clean_text(text: str, *, limit: int, what: str = "description") -> str:
    """Return `text` of any number of lines, trimmed. Raises ValidationError as `clean_name` does, but may be empty."""
    cleaned = _composed(text, limit, what).replace("\r\n", "\n").replace("\r", "\n").strip()
    if any(c not in "\n\t" and (c in _TURNING or unicodedata.category(c) in ("Cc", "Cs")) for c in cleaned):
        raise ValidationError(f"The {what} has invisible control characters. Type it instead of pasting it.", "control")
    if len(cleaned) > limit:
        raise ValidationError(f"The {what} has {len(cleaned):,} characters; at most {limit:,} fit.", "long")
    return cleaned


def clean_code(text: str, *, what: str = "code") -> str:
    """Return what a production calls a scene or a shot: 1-20 letters, digits, `.`, `-`, `_`. Raises ValidationError."""
    code = _composed(text, 20, what).strip()
    if not code:
        raise ValidationError(f"The {what} is empty. Write one, for example SC010.", "empty")
    if len(code) > 20:
        raise ValidationError(f"The {what} has {len(code):,} characters; at most 20 fit.", "long")
    if not _CODE.fullmatch(code):
        raise ValidationError(f"The {what} may have letters, digits, dots, hyphens and underscores only.", "code")
    return code
