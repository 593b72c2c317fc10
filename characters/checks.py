"""What is checked about a reference, and how the answers are put to a person.

The measures come from the compute half (`contracts.Looked`); this module compares them with limits and with the other
references of the same character. Each check answers pass, warn or reject with a word and a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from characters import strangers
from gpu_worker import calibration
from gpu_worker.contracts import PHOTOGRAPH, Face, Looked
from gpu_worker.faces import PROFILE_DEGREES
from gpu_worker.keypoints import is_frontal
from gpu_worker.packs import Pack

PASS, WARN, REJECT = "pass", "warn", "reject"
ENCODER = "scoring"
"""The encoder that says whether faces are of one person."""

SMALL_SIDE_WARN = 256
"""Pixels on the short side below which detail is missing for training at any of the usual resolutions."""
FACE_SIDE_REJECT, FACE_SIDE_WARN = 32, 64
"""Pixels on the short side of the face; encoders see 112 px."""
SHARPNESS_REJECT, SHARPNESS_WARN = 12.0, 40.0
"""Variance of the Laplacian at a long side of 512 px (Pech-Pacheco et al. 2000)."""
DARK, BRIGHT, CLIPPED_WARN = 0.08, 0.94, 0.35
NEAR_DUPLICATE_BITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    verdict: str
    word: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A reference to be judged."""

    sha256: str
    seen: Looked | None
    """None while it was not looked at."""
    is_generated: bool = False
    """A model made it, and a person has chosen it: that it is soft is said, and rejects nothing."""
    is_telling: bool = True
    """It tells who the character is: see `profiles.telling`. Another one is compared, and says nothing of the rest."""


Judgement = tuple[str, list[dict[str, str]]]
"""(verdict, checks as dicts). The verdict is that of the worst check."""


def judge(pictures: Sequence[Picture], pack: Pack, *, has_human_face: bool = True) -> list[Judgement | None]:
    """Judge the references of one character, in the order in which they were added. None for what was not looked at.

    Of two equal pictures the first one stays; every face is compared with all the others, earlier and later. Without a
    human face there are no checks of one; a face that is found all the same says nothing.
    """
    standing = _standing(pictures, pack) if has_human_face else [None] * len(pictures)
    return [
        _judge(p, p.seen, pictures[:k], standing[k], pack, has_human_face) if p.seen is not None else None
        for k, p in enumerate(pictures)
    ]


def _judge(
    one: Picture, seen: Looked, earlier: Sequence[Picture], standing: Check | None, pack: Pack, has_human_face: bool
) -> Judgement:
    checks = [
        _one_face(seen) if has_human_face else None,
        _size(seen),
        _sharpness(seen, is_generated=one.is_generated),
        _exposure(seen),
        _angle(seen) if has_human_face else None,
        _duplicate(seen, one.sha256, earlier),
        _domain(seen, pack),
        standing,
    ]
    answers = [c for c in checks if c is not None]
    verdict = max((c.verdict for c in answers), key=(PASS, WARN, REJECT).index)
    return verdict, [asdict(c) for c in answers]


def main_face(seen: Looked) -> Face | None:
    return seen.faces[0] if seen.faces else None


def _side(face: Face) -> float:
    left, top, right, bottom = face.box
    return min(right - left, bottom - top)


def _one_face(seen: Looked) -> Check:
    count = len(seen.faces)
    if count == 0:
        return Check(
            name="face",
            verdict=REJECT,
            word="No face",
            sentence="This image has no face we can use. Crop closer or choose another.",
        )
    if count > 1:
        # A small face far behind the main one does not make it unclear who is meant.
        areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in seen.faces]
        if areas[1] > 0.15 * areas[0]:
            return Check(
                name="face",
                verdict=REJECT,
                word=f"{count} faces",
                sentence=f"This image shows {count} faces, so it is not clear who is meant. Crop to one.",
            )
        return Check(
            name="face",
            verdict=WARN,
            word="Others behind",
            sentence="There are smaller faces in the background; the largest one is used.",
        )
    side = _side(seen.faces[0])
    if side < FACE_SIDE_REJECT:
        return Check(
            name="face",
            verdict=REJECT,
            word="Face too small",
            sentence=f"The face is only {side:.0f} px wide. Crop closer or use a larger image.",
        )
    if side < FACE_SIDE_WARN:
        return Check(
            name="face",
            verdict=WARN,
            word="Small face",
            sentence=f"The face is {side:.0f} px wide; from {FACE_SIDE_WARN} px on, more of it is learnt.",
        )
    return Check(name="face", verdict=PASS, word="One face", sentence="One clear face.")


def _size(seen: Looked) -> Check:
    short = min(seen.width, seen.height)
    if short < SMALL_SIDE_WARN:
        return Check(
            name="size",
            verdict=WARN,
            word="Small image",
            sentence=f"{seen.width} × {seen.height} px. Images from {SMALL_SIDE_WARN} px on keep more detail.",
        )
    return Check(name="size", verdict=PASS, word="Large enough", sentence=f"{seen.width} × {seen.height} px.")


def _sharpness(seen: Looked, *, is_generated: bool) -> Check:
    if is_generated and seen.sharpness < SHARPNESS_WARN:
        return Check(name="sharpness", verdict=WARN, word="Soft", sentence="The model drew this picture a little soft.")
    if seen.sharpness < SHARPNESS_REJECT:
        return Check(
            name="sharpness",
            verdict=REJECT,
            word="Blurred",
            sentence="This image is too blurred to learn from. Choose a sharper one.",
        )
    if seen.sharpness < SHARPNESS_WARN:
        return Check(
            name="sharpness", verdict=WARN, word="Soft", sentence="This image is a little soft; a sharper one helps."
        )
    return Check(name="sharpness", verdict=PASS, word="Sharp", sentence="In focus.")


def _exposure(seen: Looked) -> Check:
    if seen.brightness < DARK:
        return Check(name="exposure", verdict=WARN, word="Dark", sentence="Most of this image is nearly black.")
    if seen.brightness > BRIGHT:
        return Check(name="exposure", verdict=WARN, word="Bright", sentence="Most of this image is nearly white.")
    if seen.clipped > CLIPPED_WARN:
        return Check(
            name="exposure",
            verdict=WARN,
            word="Clipped",
            sentence=f"{seen.clipped:.0%} of this image is pure black or white, where no detail is left.",
        )
    return Check(name="exposure", verdict=PASS, word="Well exposed", sentence="Light and shadow keep their detail.")


def angle_of(face: Face) -> str:
    """`left`, `right` or `front`, and `profile` beyond 45 degrees."""
    if abs(face.yaw) > PROFILE_DEGREES:
        return "profile"
    return "front" if is_frontal(face) else "left" if face.yaw < 0 else "right"


def _angle(seen: Looked) -> Check | None:
    face = main_face(seen)
    if face is None:
        return None
    if angle_of(face) == "profile":
        return Check(
            name="angle",
            verdict=WARN,
            word="Profile",
            sentence="A profile view: fine for training, but it cannot be used to measure identity.",
        )
    words = {"front": "Front", "left": "Looks left", "right": "Looks right"}
    return Check(name="angle", verdict=PASS, word=words[angle_of(face)], sentence=f"Turned by about {face.yaw:.0f}°.")


def _duplicate(seen: Looked, sha256: str, others: Sequence[Picture]) -> Check:
    if any(o.sha256 == sha256 for o in others):
        return Check(
            name="duplicate",
            verdict=REJECT,
            word="Same image",
            sentence="This character has exactly this image already.",
        )
    hashes = [o.seen.perceptual_hash for o in others if o.seen and o.seen.perceptual_hash]
    distances = [_bits(seen.perceptual_hash, other) for other in hashes]
    if distances and min(distances) <= NEAR_DUPLICATE_BITS:
        return Check(
            name="duplicate",
            verdict=WARN,
            word="Near-duplicate",
            sentence="Very like another reference. A different angle, light or expression teaches more.",
        )
    return Check(name="duplicate", verdict=PASS, word="New image", sentence="Unlike the other references.")


def _bits(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def _domain(seen: Looked, pack: Pack) -> Check | None:
    if pack.domain == "illustration" and seen.photographic >= PHOTOGRAPH:
        return Check(
            name="domain",
            verdict=WARN,
            word="Photograph",
            sentence=f"This looks like a photograph; {pack.title} knows only illustrations. "
            "Learning and scores from it are not reliable.",
        )
    return None


def _standing(pictures: Sequence[Picture], pack: Pack) -> list[Check | None]:
    """Does each picture show the same person as most of those that tell who it is? Asked of the scoring encoder."""
    faced = [
        (k, e)
        for k, p in enumerate(pictures)
        if p.seen and (face := main_face(p.seen)) and (e := face.embeddings.get(ENCODER))
    ]
    found: list[Check | None] = [None] * len(pictures)
    thresholds = {rate: calibration.threshold(rate, pack.quantiles(ENCODER)) for rate in (0.1, 0.01)} if faced else {}
    telling = [(k, e) for k, e in faced if pictures[k].is_telling]
    grouped = strangers.groups([e for _, e in telling], same_from=thresholds[0.01]) if telling else None
    if grouped is None:
        return found
    for place, (k, _) in enumerate(telling):
        found[k] = _identity(grouped, place, thresholds)
    for k, e in faced:
        if not pictures[k].is_telling and (
            joined := strangers.groups([*(other for _, other in telling), e], same_from=thresholds[0.01])
        ):
            found[k] = _identity(joined, len(telling), thresholds)
    return found


def _identity(grouped: strangers.Groups, place: int, thresholds: dict[float, float]) -> Check:
    which = grouped.group_of(place)
    is_of_character = which == 0 and len(grouped.groups[0]) > 1
    if is_of_character or grouped.to_character[place] >= thresholds[0.01]:
        return Check(name="identity", verdict=PASS, word="Same person", sentence="Matches the other references.")
    verdict = REJECT if grouped.to_character[place] < thresholds[0.1] else WARN
    together = len(grouped.groups[which]) - 1
    if together:
        company = "another reference" if together == 1 else f"{together} other references"
        return Check(
            name="identity",
            verdict=verdict,
            word="Another person",
            sentence=f"Together with {company} it shows one person, and most references show another."
            if grouped.is_clear
            else f"Together with {company} it shows one person, and as many references show another.",
        )
    return Check(
        name="identity",
        verdict=verdict,
        word="Somebody else?",
        sentence="The face does not match the other references of this character. Is it somebody else?",
    )
