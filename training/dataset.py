"""The pictures of a training: which are used, what is said of each, and whether they will do.

Each check answers pass, warn or reject with a sentence. A reject refuses the training; a warning does not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any
from uuid import UUID

import numpy as np
from django.core.exceptions import ValidationError

from characters import scoring, strangers
from characters.checks import NEAR_DUPLICATE_BITS, angle_of, main_face
from characters.models import REFERENCES_NEEDED, Character, Reference
from collaboration.names import clean_text
from gpu_worker import calibration, prompts
from gpu_worker.contracts import PHOTOGRAPH, Looked
from gpu_worker.packs import Pack

PASS, WARN, REJECT = "pass", "warn", "reject"
LONGEST_CAPTION = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    name: str
    verdict: str
    word: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    reference: Reference
    said: str
    """What the caption says beside who it is: expression, clothes, place."""
    caption: str
    """The whole of it, as it is trained."""
    seen: Looked | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    pictures: list[Picture]
    """To be trained on, in the order in which they were added."""
    held_out: list[Reference]
    findings: list[Finding] = field(default_factory=list)
    trigger: str

    @property
    def refused(self) -> list[Finding]:
        return [f for f in self.findings if f.verdict == REJECT]

    @property
    def verdict(self) -> str:
        return max((f.verdict for f in self.findings), key=(PASS, WARN, REJECT).index, default=PASS)


def trigger_for(character: Character, pack: Pack) -> str:
    """The word that will stand for the character: the pack's placeholder, or one that no other character has."""
    if pack.vocabulary is not None:
        return prompts.PLACEHOLDER
    letters = re.sub(r"[^a-z]", "", character.name.lower())[:8] or "person"
    return f"{letters}{character.pk.hex[:4]}"


def opening(character: Character, trigger: str, pack: Pack) -> str:
    """How every caption and every prompt for the character begins."""
    return prompts.opening(noun=character.noun, trigger=trigger, pack=pack)


def said_of(reference: Reference, pack: Pack, seen: Looked | None, captions: Mapping[str, str] | None = None) -> str:
    """What is said of a picture: what a caption names is learnt as changeable, what it does not name as part of the
    character. Without words of a person, where the face looks, as it was measured."""
    told = (captions or {}).get(str(reference.pk))
    return " ".join((reference.caption if told is None else told).split()).strip(" ,") or _pose(seen, pack)


def _pose(seen: Looked | None, pack: Pack) -> str:
    """Where the face looks, in the words of the pack; what is measured need not be written by hand."""
    face = main_face(seen) if seen else None
    if face is None:
        return ""
    word = {"left": "looking left", "right": "looking right", "front": "facing forward"}.get(angle_of(face), "")
    return word if word in pack.slots.get("pose", ()) else ""


def examine(
    character: Character,
    *,
    tier: str,
    pack: Pack,
    reference_ids: Sequence[UUID | str] | None = None,
    captions: Mapping[str, str] | None = None,
) -> Dataset:
    """Choose the pictures (None: all that may be learnt from), caption and check them.

    `captions`: id of a reference -> what to say of it, instead of the caption it has.
    """
    present = list(character.references.present().select_related("asset").order_by("added_at", "id"))
    usable = [r for r in present if r.verdict in (Reference.PASS, Reference.WARN)]
    held_out = [r for r in usable if r.is_held_out]
    chosen = [r for r in usable if not r.is_held_out]
    wanted = None if reference_ids is None else {str(pk) for pk in reference_ids}
    if wanted is not None:
        chosen = [r for r in chosen if str(r.pk) in wanted]
    seen = scoring.readings([r.asset_id for r in chosen], pack)
    trigger = trigger_for(character, pack)
    pictures = [
        Picture(
            reference=r,
            said=(said := said_of(r, pack, seen.get(r.asset_id), captions)),
            caption=", ".join(part for part in (opening(character, trigger, pack), said) if part),
            seen=seen.get(r.asset_id),
        )
        for r in chosen
    ]
    findings = [
        _count(character, tier, pictures, held_out, len(usable)),
        _left_out(present, held_out, wanted),
        _generated(pictures),
        _captions(pictures, trigger, pack),
        _domain(pictures, pack),
        _looked_at(pictures, pack),
        _duplicates(pictures),
        _angles(pictures),
        _outliers(pictures, pack),
    ]
    return Dataset(
        pictures=pictures, held_out=held_out, findings=[f for f in findings if f is not None], trigger=trigger
    )


def _plural(n: int, one: str) -> str:
    return f"{n} {one}" if n == 1 else f"{n} {one}s"


def _count(character: Character, tier: str, pictures: list[Picture], held_out: list[Reference], usable: int) -> Finding:
    needed, have = REFERENCES_NEEDED[tier], len(pictures) + len(held_out)
    if have < needed:
        missing = needed - have
        if usable >= needed:
            what = f"This selection has {have} of the {needed} references that {tier} needs. Choose {missing} more."
        else:
            missing = needed - usable
            what = f"{character.name} has {usable} of the {needed} references that {tier} needs. Add {missing} more."
        return Finding(name="count", verdict=REJECT, word="Too few references", sentence=what)
    if not pictures:
        return Finding(
            name="count",
            verdict=REJECT,
            word="Nothing to learn from",
            sentence="Choose at least one reference that is not kept to measure with.",
        )
    kept = f", {len(held_out)} more kept to measure with" if held_out else ""
    return Finding(
        name="count",
        verdict=PASS,
        word="Enough references",
        sentence=f"{len(pictures)} to learn from{kept}; {tier} needs {needed}.",
    )


def _left_out(present: list[Reference], held_out: list[Reference], wanted: set[str] | None) -> Finding | None:
    checking = [r for r in present if r.verdict == Reference.CHECKING and (wanted is None or str(r.pk) in wanted)]
    if checking:
        return Finding(
            name="checking",
            verdict=WARN,
            word="Still being checked",
            sentence=f"{_plural(len(checking), 'reference')} will be left out, because the checks are not done yet.",
        )
    kept = [r for r in held_out if wanted is not None and str(r.pk) in wanted]
    if kept:
        return Finding(
            name="held_out",
            verdict=WARN,
            word="Kept to measure with",
            sentence=f"{_plural(len(kept), 'chosen reference')} will not be trained on: it serves to measure with.",
        )
    return None


def _generated(pictures: list[Picture]) -> Finding | None:
    """What a model made teaches a model mostly what it did already."""
    count = sum(1 for p in pictures if p.reference.is_generated)
    if not count:
        return None
    if count < len(pictures) / 2:
        what = f"{count} of {len(pictures)} pictures were generated and approved."
        return Finding(name="generated", verdict=PASS, word="Some generated", sentence=what)
    which = "All" if count == len(pictures) else f"{count} of {len(pictures)}"
    return Finding(
        name="generated",
        verdict=WARN,
        word="Mostly generated",
        sentence=f"{which} pictures were generated, so the adapter learns much of what the model shows already. "
        "Every uploaded reference makes it surer.",
    )


def _captions(pictures: list[Picture], trigger: str, pack: Pack) -> Finding | None:
    if not pictures:
        return None
    for picture in pictures:
        name = picture.reference.asset.original_name
        try:
            clean_text(picture.said, limit=LONGEST_CAPTION, what=f"caption of {name}")
        except ValidationError as error:
            word = "Caption too long" if len(picture.said) > LONGEST_CAPTION else "Caption unreadable"
            return Finding(name="captions", verdict=REJECT, word=word, sentence=error.messages[0])
    if unknown := pack.unknown_words(trigger):
        return Finding(
            name="captions",
            verdict=REJECT,
            word="No trigger word",
            sentence=f"{pack.title} knows a fixed list of words, and {unknown[0]!r} is not among them.",
        )
    missing = [p for p in pictures if trigger not in p.caption.lower().split()]
    if missing:
        return Finding(
            name="captions",
            verdict=REJECT,
            word="Trigger word missing",
            sentence=f"The caption {missing[0].caption!r} does not hold the trigger word {trigger}.",
        )
    unknown = sorted({w for p in pictures for w in pack.unknown_words(p.caption, known=[trigger])})
    if unknown:
        return Finding(
            name="captions",
            verdict=WARN,
            word="Unknown words",
            sentence=f"{pack.title} does not know {', '.join(unknown[:6])}; the captions teach nothing with them.",
        )
    plain = sum(1 for p in pictures if not p.said or p.said == _pose(p.seen, pack))
    if plain > len(pictures) / 2:
        return Finding(
            name="captions",
            verdict=WARN,
            word="Short captions",
            sentence=f"{plain} of {len(pictures)} captions name no clothes, place or expression. What is not named is "
            "learnt as part of the character.",
        )
    return Finding(
        name="captions", verdict=PASS, word="Captions", sentence=f"Each one names the character by the word {trigger}."
    )


def _domain(pictures: list[Picture], pack: Pack) -> Finding | None:
    if pack.domain != "illustration":
        return None
    looked = [p for p in pictures if p.seen is not None]
    photographs = sum(1 for p in looked if p.seen and p.seen.photographic >= PHOTOGRAPH)
    if not photographs:
        return None
    what = f"{photographs} of {len(pictures)} references look like photographs; {pack.title} knows only illustrations."
    if photographs > len(pictures) / 2:
        return Finding(
            name="domain", verdict=REJECT, word="Photographs", sentence=f"{what} Choose illustrations of the character."
        )
    return Finding(name="domain", verdict=WARN, word="Photographs", sentence=f"{what} They may blur what is learnt.")


def _looked_at(pictures: list[Picture], pack: Pack) -> Finding | None:
    """Embeddings by this very pack are what the LoRA is trained together with."""
    if pack.ip_adapter is None:
        return None
    without = sum(1 for p in pictures if p.seen is None or not p.seen.faces)
    if not without:
        return None
    return Finding(
        name="readings",
        verdict=REJECT if without == len(pictures) else WARN,
        word="Not looked at",
        sentence=f"{_plural(without, 'reference')} of {len(pictures)} have not been looked at by {pack.title}. "
        "Have the references checked again.",
    )


def _duplicates(pictures: list[Picture]) -> Finding | None:
    hashes = [int(p.seen.perceptual_hash, 16) for p in pictures if p.seen and p.seen.perceptual_hash]
    pairs = sum(1 for a, b in combinations(hashes, 2) if (a ^ b).bit_count() <= NEAR_DUPLICATE_BITS)
    if not hashes:
        return None
    if pairs:
        verb = "is" if pairs == 1 else "are"
        return Finding(
            name="duplicates",
            verdict=WARN,
            word="Near-duplicates",
            sentence=f"{_plural(pairs, 'pair')} of references {verb} almost the same picture, which then counts twice.",
        )
    return Finding(name="duplicates", verdict=PASS, word="No duplicates", sentence="Every picture shows something new.")


def _angles(pictures: list[Picture]) -> Finding | None:
    faces = [f for p in pictures if p.seen and (f := main_face(p.seen))]
    if not faces:
        return None
    angles = Counter(angle_of(f) for f in faces)
    shown = ", ".join(f"{angles[k]} {k}" for k in ("front", "left", "right", "profile") if angles[k])
    if len(angles) == 1 and len(faces) > 2:
        side = {"front": "straight ahead", "left": "to the left", "right": "to the right", "profile": "to the side"}
        return Finding(
            name="angles",
            verdict=WARN,
            word="One angle",
            sentence=f"All {len(faces)} faces look {side[next(iter(angles))]}. Other angles teach how the head turns.",
        )
    return Finding(name="angles", verdict=PASS, word="Angles", sentence=f"{shown}.".capitalize())


def _outliers(pictures: list[Picture], pack: Pack) -> Finding | None:
    """Compared by the scoring encoder with the median of the others, so that one wrong picture does not count."""
    faces = [(p, f) for p in pictures if p.seen and (f := main_face(p.seen)) and scoring.ENCODER in f.embeddings]
    if len(faces) < strangers.LEAST:
        return None
    vectors = np.array([f.embeddings[scoring.ENCODER] for _, f in faces])
    cosines: Any = vectors @ vectors.T
    limit = calibration.threshold(0.01, pack.quantiles(scoring.ENCODER))
    odd = [p for k, (p, _) in enumerate(faces) if float(np.median(np.delete(cosines[k], k))) < limit]
    if not odd:
        return Finding(name="identity", verdict=PASS, word="One person", sentence="All faces match each other.")
    names = ", ".join(p.reference.asset.original_name for p in odd[:3])
    return Finding(
        name="identity",
        verdict=WARN,
        word="Somebody else?",
        sentence=f"{names} {'does' if len(odd) == 1 else 'do'} not match the other faces. Leave out who is not meant.",
    )
