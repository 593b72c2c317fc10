"""The job that makes the same pictures with each checkpoint of a training, and what it finds."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils import timezone
from PIL import Image

from assets import actions as assets
from assets.folders import character_folder
from assets.metadata import GenerationSettings, LoraUse
from characters import scoring
from characters.jobs import fetch
from characters.models import IdentityProfile
from gpu_worker import contracts
from gpu_worker.contracts import AdapterUse, GenerateRequest, IdentityUse, Output, PictureSpec, RunError, SeriesRequest
from gpu_worker.kinds import JobKind
from gpu_worker.models import Job, Reading
from gpu_worker.packs import Pack
from training import actions, derivations, verdicts
from training.jobs import pack_of
from training.models import CheckpointComparison, ComparisonPicture


def _comparison(job: Job) -> CheckpointComparison:
    rows = CheckpointComparison.objects.select_related("run__character__project__studio", "run__job", "created_by")
    comparison = rows.get(pk=job.arguments["comparison"])
    comparison.job = job
    return comparison


# ------------------------------------------------------------------------------------------------------- preparing
def _prepare(job: Job, workdir: Path) -> SeriesRequest | None:
    comparison = _comparison(job)
    run, wanted = comparison.run, comparison.settings
    pack = pack_of(run)
    _refuse_erased(comparison)
    identity = _identity(comparison, job, pack)
    made = set(job.outputs.values_list("index", flat=True))
    everything = len(comparison.steps) * len(comparison.plan)
    missing = set(range(everything)) - made
    if not missing:
        return None
    kept = {c.step: c for c in run.checkpoints.select_related("file")}
    parts = []
    for k, entry in enumerate(comparison.steps):
        pictures = tuple(
            PictureSpec(index=k * len(comparison.plan) + place, prompt=p["prompt"], seed=p["seed"])
            for place, p in enumerate(comparison.plan)
            if k * len(comparison.plan) + place in missing
        )
        if not pictures:
            continue
        checkpoint = kept.get(entry["step"])
        if checkpoint is None or checkpoint.file is None or not checkpoint.is_there:
            raise RunError(
                f"The checkpoint of step {entry['step']:,} has been erased. Compare those that are left anew."
            )
        parts.append(
            GenerateRequest(
                pack=str(pack.directory),
                pictures=pictures,
                negative_prompt=wanted["negative_prompt"],
                width=wanted["width"],
                height=wanted["height"],
                steps=wanted["steps"],
                guidance=wanted["guidance"],
                adapter=AdapterUse(
                    path=str(fetch(checkpoint.file, workdir)),
                    sha256=entry["sha256"],
                    strength=wanted["lora_strength"],
                ),
                identity=identity,
            )
        )
    return SeriesRequest(pack=str(pack.directory), parts=tuple(parts), attributes=True)


def _refuse_erased(comparison: CheckpointComparison) -> None:
    if derivations.has_erased_picture(comparison.run):
        raise RunError("References of this training were erased, so its checkpoints are not used for new pictures.")


def _identity(comparison: CheckpointComparison, job: Job, pack: Pack) -> IdentityUse | None:
    """The image prompt that all pictures are made with; what it was learnt from is kept with the job.

    Raises RunError where it differs from that of the pictures that are made already: they could not be compared.
    """
    profile = IdentityProfile.objects.filter(character=comparison.run.character).first()
    is_there = (
        pack.ip_adapter is not None
        and profile is not None
        and profile.is_learnt
        and (profile.pack, profile.pack_version) == (pack.name, pack.version)
    )
    if profile is None or not is_there:
        references, centroid = [], []
    else:
        references, centroid = list(profile.learnt_from), list(profile.centroid)
    digest = hashlib.sha256(json.dumps(centroid).encode()).hexdigest()
    told = {"references": references, "sha256": digest}
    before = job.arguments.get("identity")
    if before is not None and before["sha256"] != digest and job.outputs.exists():
        raise RunError(
            f"The identity profile of {comparison.run.character.name} was learnt anew while its checkpoints were being "
            "compared, so the pictures could not be compared with each other. Compare the checkpoints anew."
        )
    job.arguments = {**job.arguments, "identity": told}
    Job.objects.filter(pk=job.pk).update(arguments=job.arguments)
    strength = comparison.settings["image_prompt_strength"]
    return IdentityUse(embedding=tuple(centroid), strength=strength) if centroid and strength > 0 else None


# --------------------------------------------------------------------------------------------------------- results
@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which picture an output is."""

    step: int
    number: int
    """Of the prompt, from 0."""
    prompt: str
    seed: int
    asked: dict[str, str]


def _place(comparison: CheckpointComparison, output: Output) -> Place:
    k, number = divmod(output.index, len(comparison.plan))
    entry = comparison.plan[number]
    return Place(
        step=comparison.steps[k]["step"],
        number=number,
        prompt=entry["prompt"],
        seed=entry["seed"],
        asked=entry["asked"],
    )


def _stage(job: Job, output: Output, path: Path | None) -> assets.Prepared:
    if path is None:
        raise RunError("The model run named a picture but wrote none. Try again.")
    comparison = _comparison(job)
    run, wanted, place = comparison.run, comparison.settings, _place(comparison, output)
    references = job.arguments["identity"]["references"]
    with Image.open(path) as image:
        image.load()
    return assets.prepare_generated(
        project=run.character.project,
        image=image,
        settings=GenerationSettings(
            source="persona",
            prompt=place.prompt,
            negative_prompt=wanted["negative_prompt"],
            steps=wanted["steps"],
            sampler=str(output.data.get("sampler", "")),
            cfg=wanted["guidance"],
            seed=place.seed,
            width=wanted["width"],
            height=wanted["height"],
            model=f"{run.pack} {run.pack_version}",
            loras=(LoraUse(name=run.trigger, weight=wanted["lora_strength"]),),
        ),
        provenance={
            "character": str(run.character_id),
            "training_run": str(run.pk),
            "training_step": place.step,
            "comparison": str(comparison.pk),
            "adapter": output.data.get("adapter"),
            "image_prompt": {"strength": wanted["image_prompt_strength"], "references": references}
            if references
            else None,
            "job": str(job.pk),
            "worker": str(job.worker) if job.worker else "",
            "made_at": timezone.now().isoformat(timespec="seconds"),
        },
        name=f"{run.character.name} step {place.step} {place.number + 1}.png",
        folder=f"{character_folder(run.character.name, 'adapters')}/comparisons",
    )


def _accept(job: Job, output: Output, staged: Any) -> None:
    comparison = _comparison(job)
    run, place = comparison.run, _place(comparison, output)
    _refuse_erased(comparison)
    pack = pack_of(run)
    asset = assets.record(staged, actor=comparison.created_by)
    looked = output.data.get("look")
    if looked:
        Reading.objects.create(asset=asset, pack=pack.name, pack_version=pack.version, seen=looked)
    route = scoring.route_of(run.character)
    known = {*(r["id"] for r in run.references), *job.arguments["identity"]["references"]}
    truth = scoring.truth_of(run.character, route, known=known)
    seen = contracts.looked_from_json(looked) if looked and route.compares(pack) else None
    found = scoring.score(seen, truth, route)
    attributes = output.data.get("attributes") or {}
    ComparisonPicture.objects.create(
        comparison=comparison,
        step=place.step,
        place=place.number,
        asset=asset,
        score=found.value,
        cosine=found.cosine,
        no_score_reason=found.reason,
        measured_against=found.against,
        seen={name: attributes[name][0] for name in place.asked if name in attributes},
    )


def _finished(job: Job) -> None:
    comparison = _comparison(job)
    pictures = list(comparison.pictures.all())
    seen = scoring.readings([p.asset_id for p in pictures], pack_of(comparison.run))
    steps: dict[int, list[verdicts.Picture]] = defaultdict(list)
    for picture in pictures:
        look = seen.get(picture.asset_id)
        steps[picture.step].append(
            verdicts.Picture(
                score=picture.score,
                asked=comparison.plan[picture.place]["asked"],
                seen=picture.seen,
                figure=look.figure if look else (),
                perceptual_hash=look.perceptual_hash if look else "",
            )
        )
    measured = verdicts.measure(steps)
    is_held_out = all(p.measured_against.get("held_out") for p in pictures if p.score is not None)
    verdict = verdicts.propose(measured, is_held_out=is_held_out)
    actions.note_compared(comparison=comparison, measured=measured, verdict=verdict)


def _stopped(job: Job) -> None:
    actions.note_comparison_stopped(comparison=_comparison(job))


COMPARE = JobKind(
    prepare=_prepare,
    stage=_stage,
    accept=_accept,
    finished=_finished,
    failed=_stopped,
    seconds_per_unit=1.2,
    seconds_overhead=3.0,
)
