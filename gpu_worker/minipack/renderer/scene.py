"""What may differ between two pictures of the same person: expression, outfit, place, light, pose, framing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Colour

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "surprised", "scared")
OUTFITS = ("t-shirt", "hoodie", "suit", "turtleneck", "tank top", "striped shirt", "jacket")
COLOURS: dict[str, Colour] = {
    "red": (204, 54, 54),
    "blue": (54, 94, 188),
    "green": (56, 140, 86),
    "yellow": (240, 200, 70),
    "black": (46, 46, 54),
    "white": (240, 240, 238),
    "purple": (126, 74, 158),
    "orange": (234, 132, 52),
    "pink": (238, 142, 178),
    "grey": (136, 140, 148),
    "teal": (42, 148, 154),
    "brown": (120, 82, 56),
}
BACKGROUNDS = ("studio", "park", "beach", "city", "night city", "forest", "library", "mountains", "desert", "kitchen")
LIGHTS = ("soft light", "warm light", "cool light", "dim light", "side light")
SHOTS = ("close-up", "medium shot", "full shot")
DRAWINGS = ("flat", "ink", "cel", "watercolour", "pastel", "comic")
"""How a picture is drawn; who it shows can be told in each."""
POSES = ("facing forward", "looking left", "looking right", "looking up", "looking down")
MAX_YAW = 34.0
"""Degrees."""
MAX_PITCH = 26.0
"""Degrees."""


@dataclass(frozen=True, slots=True)
class Scene:
    expression: str = "neutral"
    outfit: str = "t-shirt"
    colour: str = "blue"
    background: str = "studio"
    light: str = "soft light"
    drawing: str = "flat"
    shot: str = "close-up"
    light_side: int = 1
    """Where the light comes from: -1 left, 1 right."""
    yaw: float = 0.0
    """Degrees; negative looks to the left edge of the picture."""
    pitch: float = 0.0
    """Degrees; positive looks down."""
    tilt: float = 0.0
    """Degrees, clockwise as seen."""
    scale: float = 1.43
    """Canvas units per head unit; 1.43 makes the head about 63 % of the picture's height. In medium shots a head is
    about 30 % of it, in full shots 16 %."""
    dx: float = 0.0
    dy: float = 0.0
    """Shift of the person in canvas units."""
    background_seed: int = 0

    @property
    def pose(self) -> str:
        """The word for the pose, or an empty string between two words."""
        if abs(self.yaw) > 15 and abs(self.yaw) >= abs(self.pitch):
            return "looking right" if self.yaw > 0 else "looking left"
        if abs(self.pitch) > 13:
            return "looking down" if self.pitch > 0 else "looking up"
        return "facing forward" if abs(self.yaw) < 8 and abs(self.pitch) < 8 else ""


def nuisance(
    rng: np.random.Generator, *, calm: bool = False, shot: str | None = None, drawing: str | None = None
) -> Scene:
    """Draw a scene. `calm` keeps the head nearly frontal and upright. What is given of shot and drawing is kept."""
    turn = 0.35 if calm else 1.0
    chosen = shot or str(rng.choice(SHOTS, p=[0.7, 0.18, 0.12]))
    low, high, across, up, down = _FRAMING[chosen]
    return Scene(
        expression=str(rng.choice(EXPRESSIONS)),
        outfit=str(rng.choice(OUTFITS)),
        colour=str(rng.choice(list(COLOURS))),
        background=str(rng.choice(BACKGROUNDS)),
        light=str(rng.choice(LIGHTS, p=[0.44, 0.16, 0.14, 0.13, 0.13])),
        drawing=drawing or str(rng.choice(DRAWINGS, p=[0.3, 0.14, 0.14, 0.14, 0.14, 0.14])),
        shot=chosen,
        light_side=int(rng.choice([-1, 1])),
        yaw=float(np.clip(rng.normal(0, 14), -MAX_YAW, MAX_YAW)) * turn,
        pitch=float(np.clip(rng.normal(0, 8.5), -MAX_PITCH, MAX_PITCH)) * turn,
        tilt=float(np.clip(rng.normal(0, 3.2), -9, 9)) * turn,
        scale=float(rng.uniform(low, high)),
        dx=float(rng.uniform(-across, across)),
        dy=float(rng.uniform(up, down)),
        background_seed=int(rng.integers(1 << 20)),
    )


_FRAMING = {
    "close-up": (1.36, 1.5, 6.0, -4.0, 4.0),
    "medium shot": (0.64, 0.76, 16.0, -36.0, -26.0),
    "full shot": (0.335, 0.38, 30.0, -66.0, -60.0),
}
"""Least and most scale, shift to the side, shift up and down, in canvas units."""
