"""Procedural portraits with independent factors: who (`Identity`) and how (`Scene`)."""

from .identity import Identity, identity, traits_in_words
from .portrait import Face, Placed, face_geometry, render, render_group, wide_scene
from .scene import Scene, nuisance
from .words import PLACEHOLDER, caption, scene_words, slots, vocabulary

__all__ = [
    "PLACEHOLDER", "Face", "Identity", "Placed", "Scene", "caption", "face_geometry", "identity", "nuisance", "render",
    "render_group", "scene_words", "slots", "traits_in_words", "vocabulary", "wide_scene",
]  # fmt: skip
