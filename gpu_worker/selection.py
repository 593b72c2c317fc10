"""Which tier and model make a picture, and why: the reason is kept with every picture."""

from __future__ import annotations

from dataclasses import dataclass

from collaboration.models import Project
from gpu_worker import catalog
from gpu_worker.models import Adapter, Job
from gpu_worker.packs import Pack

AUTO, LOW, STANDARD, HIGH = "auto", "low", "standard", "high"
QUEUE = {LOW: Job.LOW, STANDARD: Job.STANDARD, HIGH: Job.HIGH}


class NoModel(Exception):
    """Nothing installed may or can do this. The text says what would have to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    tier: str
    pack: Pack
    adapter: Adapter | None
    uses_image_prompt: bool
    reason: str
    queue: str


def pack_for(project: Project) -> Pack:
    """The pack that makes the project's pictures and trains its adapters. Raises NoModel."""
    pack = catalog.default_pack()
    if project.is_commercial and not pack.licence.commercial:
        raise NoModel(
            f"{project.name} is a commercial project and {pack.title} may not be used commercially "
            f"({pack.licence.name}). Install a pack with commercial terms, or change the project's settings."
        )
    if pack.pipeline is None:
        raise NoModel(f"{pack.title} only measures; it makes no pictures. Choose another pack as DEFAULT_PACK.")
    return pack


def fits(adapter: Adapter, pack: Pack) -> bool:
    """Whether the adapter was trained on these very weights."""
    return (adapter.pack, adapter.pack_version, adapter.architecture) == (pack.name, pack.version, pack.architecture)


def choose(*, project: Project, wanted: str, adapter: Adapter | None, has_profile: bool, aim: str = STANDARD) -> Choice:
    """Choose for one character. `wanted` is a tier or `auto`; `aim` the tier that the character is meant for, which
    `auto` does not go beyond. Raises NoModel.

    low: image prompt (IP-Adapter); standard: LoRA and image prompt; high: identity ControlNet, image prompt, LoRA where
    there is one, and the best of several candidates. A tier that is not possible yet falls back to the next lower one,
    and the reason says so.
    """
    pack = pack_for(project)
    if adapter is not None and not fits(adapter, pack):
        why_not = (
            f"adapter v{adapter.version} was trained on {adapter.pack} {adapter.pack_version}, "
            f"not on {pack.name} {pack.version}"
        )
        adapter = None
    else:
        why_not = "no adapter has been trained yet"

    no_high = _why_not_high(pack, has_profile)
    if not no_high and (wanted == HIGH or (wanted == AUTO and aim == HIGH)):
        by = f"with adapter v{adapter.version}" if adapter else f"without an adapter, because {why_not}"
        asked = "as asked" if wanted == HIGH else "because the character is meant for it"
        return _choice(HIGH, pack, adapter, has_profile, f"High, {asked}, {by}")
    if wanted in (AUTO, STANDARD, HIGH) and adapter is not None:
        reason = {
            AUTO: f"Standard, because adapter v{adapter.version} is ready",
            STANDARD: f"Standard, as asked, with adapter v{adapter.version}",
            HIGH: f"Standard, because {no_high}",
        }[wanted]
        return _choice(STANDARD, pack, adapter, has_profile, reason)
    reason = {
        AUTO: f"Low, because {why_not}",
        LOW: "Low, as asked",
        STANDARD: f"Low instead of standard, because {why_not}",
        HIGH: f"Low, because {no_high} and {why_not}",
    }[wanted]
    return _choice(LOW, pack, None, has_profile, reason)


def _why_not_high(pack: Pack, has_profile: bool) -> str:
    """Empty where the high tier can be had."""
    if pack.controlnet is None:
        return "no installed model offers the high tier yet"
    return "" if has_profile else "the high tier needs an identity profile"


def _choice(tier: str, pack: Pack, adapter: Adapter | None, has_profile: bool, reason: str) -> Choice:
    image_prompt = has_profile and pack.ip_adapter is not None
    if tier == LOW and not image_prompt:
        reason += "; from words alone, because there is no identity profile yet"
    return Choice(
        tier=tier,
        pack=pack,
        adapter=adapter,
        uses_image_prompt=image_prompt,
        reason=f"{reason}.",
        queue=QUEUE[tier],
    )


def candidates(choice: Choice) -> int:
    """How many candidates of each picture are made, of which the best is kept."""
    return choice.pack.controlnet.best_of if choice.tier == HIGH and choice.pack.controlnet else 1


def tiers_explained(
    *, adapter: Adapter | None, pack: Pack | None = None, has_profile: bool = True
) -> list[dict[str, object]]:
    """For the form: each tier, whether it can be had now, and if not, why. `pack`: None for the default one."""
    has_adapter, pack = adapter is not None, pack or catalog.default_pack()
    if pack.controlnet is None:
        high = "No model for it is installed: it needs one with an identity ControlNet."
    elif not has_profile:
        high = "Add references first: it needs an identity profile."
    else:
        high = f"Identity ControlNet, the best of {pack.controlnet.best_of}, and the adapter where there is one. Slow."
    return [
        {"tier": AUTO, "label": "Automatic", "available": True, "why": "The best that is ready."},
        {"tier": LOW, "label": "Low", "available": True, "why": "Image prompt. Fast, no training."},
        {
            "tier": STANDARD,
            "label": "Standard",
            "available": has_adapter,
            "why": "Trained adapter and image prompt." if has_adapter else "Train this character first.",
        },
        {
            "tier": HIGH,
            "label": "High",
            "available": pack.controlnet is not None and has_profile,
            "why": high,
        },
    ]
