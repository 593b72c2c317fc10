"""The mini pack: a small family of models for illustrated portraits, and everything that made it.

`renderer` draws the training pictures, `people` gives sample persons; neither imports torch. `train` is the recipe,
stage by stage; its figures are measured by `evaluate` and, as those of any pack, by `gpu_worker.evaluation`.
"""

from pathlib import Path
from typing import Final

PACK: Final = Path(__file__).resolve().parents[1] / "packs" / "mini"
"""The pack of this source tree."""
