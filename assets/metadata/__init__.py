"""Settings that image generators leave in their files: read before a picture is stripped, written into ours."""

from __future__ import annotations

from assets.metadata.read import read_generation
from assets.metadata.settings import GenerationSettings, LoraUse
from assets.metadata.write import a1111_parameters, provenance_png

__all__ = ["GenerationSettings", "LoraUse", "a1111_parameters", "provenance_png", "read_generation"]
