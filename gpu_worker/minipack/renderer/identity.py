"""Who a portrait shows: the traits that stay the same in every picture of a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Colour, mix

SKIN: dict[str, Colour] = {
    "pale": (250, 224, 206),
    "fair": (244, 206, 178),
    "light": (232, 184, 148),
    "tan": (212, 156, 114),
    "olive": (184, 126, 84),
    "brown": (146, 96, 64),
    "dark brown": (110, 70, 50),
    "dark": (82, 52, 42),
}
HAIR: dict[str, tuple[Colour, float]] = {
    "black": ((36, 31, 38), 0.17),
    "dark brown": ((72, 46, 36), 0.13),
    "brown": ((118, 74, 44), 0.15),
    "blond": ((232, 194, 112), 0.15),
    "ginger": ((204, 98, 42), 0.12),
    "grey": ((150, 150, 158), 0.06),
    "white": ((230, 230, 234), 0.04),
    "blue": ((54, 98, 196), 0.05),
    "pink": ((238, 122, 170), 0.05),
    "green": ((66, 146, 92), 0.04),
    "purple": ((126, 72, 168), 0.04),
}
EYES: dict[str, Colour] = {
    "brown": (96, 58, 34),
    "hazel": (146, 106, 52),
    "green": (66, 142, 84),
    "blue": (62, 124, 198),
    "grey": (118, 134, 148),
    "violet": (122, 82, 172),
}
STYLES_WOMAN = (
    "bob", "long straight", "long wavy", "ponytail", "bun", "pigtails",
    "afro", "curly", "short", "bowl cut", "side-parted",
)  # fmt: skip
STYLES_MAN = (
    "bald", "buzz cut", "short", "side-parted", "quiff", "spiky",
    "afro", "curly", "bowl cut", "mohawk", "long straight",
)  # fmt: skip
STYLES = tuple(dict.fromkeys(STYLES_WOMAN + STYLES_MAN))
AGES = ("young", "middle-aged", "old")
GLASSES = ("none", "round", "square", "cat-eye")
BEARDS = ("none", "stubble", "moustache", "goatee", "full beard")
NOSES = ("button", "bridge", "round", "wedge")
ACCENTS: dict[str, Colour] = {
    "black": (46, 46, 56),
    "red": (196, 54, 56),
    "blue": (58, 96, 186),
    "brown": (122, 82, 56),
    "gold": (226, 184, 74),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Lengths are units of the 256-unit canvas at head scale 1, in the head's own frame (origin between the eyes)."""

    seed: int
    woman: bool
    age: str
    skin_name: str
    skin: Colour
    hair_name: str
    hair: Colour
    hair_style: str
    hair_volume: float
    parting: int
    """Side of the parting: -1 or 1."""
    eye_name: str
    eye: Colour
    half_width: float
    crown: float
    jaw: float
    """Width of the jaw relative to the cheekbones."""
    jaw_height: float
    chin: float
    chin_width: float
    eye_distance: float
    eye_height: float
    eye_width: float
    eye_opening: float
    eye_tilt: float
    iris: float
    lashes: bool
    brow_thickness: float
    brow_length: float
    brow_arch: float
    brow_gap: float
    brow_slope: float
    nose_length: float
    nose_width: float
    nose: str
    mouth_width: float
    lips: float
    mouth_height: float
    lip_tint: float
    ear: float
    glasses: str
    glasses_colour: str
    freckles: bool
    freckle_seed: int
    mole: tuple[float, float] | None
    beard: str
    blush: float
    earrings: bool
    earring_colour: str
    scar: bool

    @property
    def noun(self) -> str:
        return "woman" if self.woman else "man"

    @property
    def hair_words(self) -> str:
        return "bald head" if self.hair_style == "bald" else f"{self.hair_name} {self.hair_style} hair"


def identity(seed: int) -> Identity:
    """Draw a person. The same seed always gives the same person; different seeds are independent."""
    rng = np.random.default_rng((seed, 0x1D))
    u = rng.uniform

    def pick(options: object, p: list[float] | None = None) -> str:
        return str(rng.choice(list(options), p=p))  # type: ignore[call-overload]

    woman = bool(rng.random() < 0.5)
    age = pick(AGES, [0.5, 0.3, 0.2])
    tone = float(u(0, len(SKIN) - 1))
    tones, below = list(SKIN.values()), int(tone)
    skin = _vary(mix(tones[below], tones[min(below + 1, len(tones) - 1)], tone - below), rng, 4)
    share = np.array([p for _, p in HAIR.values()])
    hair_name = pick(HAIR, list(share / share.sum()))
    if age == "old" and rng.random() < 0.65:
        hair_name = pick(["grey", "white"])
    eye_name = pick(EYES)
    return Identity(
        seed=int(seed),
        woman=woman,
        age=age,
        skin_name=list(SKIN)[round(tone)],
        skin=skin,
        hair_name=hair_name,
        hair=_vary(HAIR[hair_name][0], rng, 7),
        hair_style=pick(STYLES_WOMAN if woman else STYLES_MAN),
        hair_volume=u(0.85, 1.2),
        parting=int(rng.choice([-1, 1])),
        eye_name=eye_name,
        eye=EYES[eye_name],
        half_width=u(39, 47) if woman else u(40, 50),
        crown=u(51, 60),
        jaw=u(0.64, 0.8) if woman else u(0.74, 0.95),
        jaw_height=u(20, 33),
        chin=u(49, 62) if woman else u(51, 66),
        chin_width=u(6, 13) if woman else u(10, 24),
        eye_distance=u(16.5, 22),
        eye_height=u(-8, 3),
        eye_width=u(9, 12.5) if woman else u(8.2, 11.4),
        eye_opening=u(6.2, 9.4) if woman else u(5.4, 8.2),
        eye_tilt=u(-0.1, 0.24) if woman else u(-0.18, 0.18),
        iris=u(0.68, 0.92),
        lashes=bool(woman and rng.random() < 0.85),
        brow_thickness=u(2.0, 3.8) if woman else u(3.0, 6.0),
        brow_length=u(10, 14),
        brow_arch=u(1, 6) if woman else u(0, 4),
        brow_gap=u(7.5, 12.5),
        brow_slope=u(-0.22, 0.22),
        nose_length=u(16, 27),
        nose_width=u(5, 10) if woman else u(6.5, 13),
        nose=pick(NOSES),
        mouth_width=u(12, 19),
        lips=u(3.2, 6.8) if woman else u(2.2, 4.8),
        mouth_height=u(0.54, 0.68),
        lip_tint=u(0, 1),
        ear=u(6.5, 11.5),
        glasses=pick(GLASSES, [0.68, 0.13, 0.12, 0.07]),
        glasses_colour=pick(ACCENTS),
        freckles=bool(rng.random() < 0.2),
        freckle_seed=int(rng.integers(1 << 20)),
        mole=None if rng.random() < 0.8 else (u(-28, 28), u(8, 32)),
        beard="none" if woman else pick(BEARDS, [0.42, 0.15, 0.12, 0.12, 0.19]),
        blush=u(0, 0.5) if woman else u(0, 0.3),
        earrings=bool(woman and rng.random() < 0.4),
        earring_colour=pick(["gold", "red", "blue"]),
        scar=bool(rng.random() < 0.05),
    )


def traits_in_words(person: Identity) -> list[str]:
    """The visible traits in words, most telling first: `["blue bob hair", "fair skin", "green eyes", "freckles"]`."""
    words = [person.hair_words, f"{person.skin_name} skin", f"{person.eye_name} eyes"]
    if person.glasses != "none":
        words.append(f"{person.glasses} glasses")
    if person.beard != "none":
        words.append(person.beard)
    if person.freckles:
        words.append("freckles")
    if person.earrings:
        words.append("earrings")
    if person.scar:
        words.append("scar")
    return words


def _vary(colour: Colour, rng: np.random.Generator, spread: float) -> Colour:
    r, g, b = np.clip(np.array(colour) + rng.normal(0, spread, 3), 12, 252)
    return (float(r), float(g), float(b))
