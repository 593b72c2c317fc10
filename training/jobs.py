"""The job that trains a character's adapter: from the run's row to a request, and from results to rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from assets import actions as assets
from assets.errors import IntakeError
from assets.folders import character_folder
from assets.metadata import GenerationSettings, LoraUse
from assets.models import Asset
from characters import scoring
from characters.jobs import fetch
from characters.models import Reference
from gpu_worker import contracts
from gpu_worker.contracts import Output, RunError, SamplePicture, TrainingPicture, TrainRequest
from gpu_worker.kinds import JobKind
from gpu_worker.models import Job, Reading
from gpu_worker.packs import Pack
from training import actions
from training.actions import comparisons
from training.models import TrainingRun, TrainingSample
from training.recipes import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    prepared: assets.Prepared
    path: Path


def _run(job: Job) -> TrainingRun:
    run = TrainingRun.objects.with_rows().get(pk=job.arguments["run"])
    run.job = job
    return run


def pack_of(run: TrainingRun) -> Pack:
    """The pack that the run was made for. Raises RunError when it is not installed any more."""
    pack = comparisons.pack_of(run)
    if pack is None:
        raise RunError(
            f"This training was made for the model pack {run.pack} {run.pack_version}, which is no longer installed. "
            "Start a new training."
        )
    return pack


# ------------------------------------------------------------------------------------------------------- preparing
def _prepare(job: Job, workdir: Path) -> TrainRequest:
    run = _run(job)
    pack = pack_of(run)
    recipe = Recipe.from_json(run.recipe)
    return TrainRequest(
        pack=str(pack.directory),
        pictures=_pictures(run, pack, workdir),
        trigger=run.trigger,
        rank=recipe.rank,
        alpha=recipe.alpha,
        dropout=recipe.dropout,
        targets=recipe.targets,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        resolution=recipe.resolution,
        flip=recipe.flip,
        caption_dropout=recipe.caption_dropout,
        checkpoint_every=recipe.checkpoint_every,
        keep_checkpoints=recipe.keep_checkpoints,
        hand_out_at=recipe.steps_to_compare[:-1],
        sample_every=recipe.sample_every,
        samples=tuple(SamplePicture(prompt=s["prompt"], seed=s["seed"]) for s in run.samples_wanted),
        seed=recipe.seed,
        metadata=_metadata(run, pack),
    )


def _pictures(run: TrainingRun, pack: Pack, workdir: Path) -> tuple[TrainingPicture, ...]:
    """The pictures as they were chosen, in the same order at every claim: a checkpoint belongs to exactly these."""
    found = {str(a.pk): a for a in Asset.objects.filter(pk__in=[r["asset"] for r in run.references], erased_at=None)}
    gone = [r for r in run.references if r["asset"] not in found]
    if gone:
        raise RunError(
            f"{len(gone)} of the {len(run.references)} references of this training have been erased. "
            "Start a new training with those that are left."
        )
    seen = scoring.readings(list(found), pack) if pack.ip_adapter is not None else {}
    pictures = []
    for entry in run.references:
        asset = found[entry["asset"]]
        look = seen.get(asset.pk)
        face = look.faces[0] if look and look.faces else None
        pictures.append(
            TrainingPicture(
                path=str(fetch(asset, workdir)),
                caption=entry["caption"],
                embedding=face.embeddings.get("conditioning") if face else None,
            )
        )
    return tuple(pictures)


def _metadata(run: TrainingRun, pack: Pack) -> tuple[tuple[str, str], ...]:
    """What other tools read from the adapter's file (ModelSpec 1.0.1)."""
    character = run.character
    by = run.created_by.display_name if run.created_by else ""
    ids = [r["id"] for r in run.references]
    generated = Reference.objects.generated().filter(pk__in=ids).count()
    told = {
        "modelspec.title": f"{character.name} ({character.project.name})",
        "modelspec.description": f"Keeps the character {character.name} the same person in every picture.",
        "modelspec.author": by,
        "modelspec.license": pack.licence.spdx or pack.licence.name,
        "modelspec.trigger_phrase": run.trigger,
        "modelspec.usage_hint": f"Put {run.trigger} before {character.noun or 'person'}. Strength 0.6 to 0.8.",
        "modelspec.tags": "character",
        "persona.character": str(character.pk),
        "persona.run": str(run.pk),
        "persona.references": str(len(ids)),
        "persona.generated_references": str(generated),
    }
    return tuple((name, value) for name, value in told.items() if value)


# --------------------------------------------------------------------------------------------------------- results
def _stage(job: Job, output: Output, path: Path | None) -> Staged:
    if path is None:
        raise RunError(f"The training answered with a {output.kind} that has no file. Try again.")
    run = _run(job)
    if output.kind in ("adapter", "checkpoint"):
        return Staged(prepared=_prepare_adapter(run, output, path), path=path)
    return Staged(prepared=_prepare_sample(run, output, path), path=path)


def _prepare_adapter(run: TrainingRun, output: Output, path: Path) -> assets.Prepared:
    character = run.character
    step = f" step {output.data['steps']}" if output.kind == "checkpoint" else ""
    try:
        prepared = assets.prepare_file(
            project=character.project,
            file=path,
            name=f"{character.name}{step}.safetensors",
            folder=character_folder(character.name, "adapters"),
            kind=Asset.ADAPTER,
            extension="safetensors",
        )
    except IntakeError as error:
        raise RunError(f"The trained adapter cannot be used: {error}") from error
    if output.sha256 and prepared.sha256 != output.sha256:
        raise RunError("The trained adapter was damaged on its way. Try again; it continues from its checkpoint.")
    return prepared


def _prepare_sample(run: TrainingRun, output: Output, path: Path) -> assets.Prepared:
    data, character = output.data, run.character
    step, seed, prompt = int(data["step"]), int(data["seed"]), str(data["prompt"])
    with Image.open(path) as image:
        image.load()
    return assets.prepare_generated(
        project=character.project,
        image=image,
        settings=GenerationSettings(
            source="persona",
            prompt=prompt,
            seed=seed,
            width=data.get("width"),
            height=data.get("height"),
            model=f"{run.pack} {run.pack_version}",
            loras=(LoraUse(name=run.trigger, weight=1.0),),
        ),
        provenance={
            "character": str(character.pk),
            "training_run": str(run.pk),
            "training_step": step,
            "job": str(run.job_id),
            "worker": str(run.job.worker) if run.job.worker else "",
        },
        name=f"{character.name} step {step}.png",
        folder=f"{character_folder(character.name, 'adapters')}/samples",
    )


def _accept(job: Job, output: Output, staged: Any) -> None:
    run = _run(job)
    pack = pack_of(run)
    if output.kind == "sample":
        _accept_sample(run, output, staged, pack)
        return
    told = {"step": int(output.data["steps"]), "rank": int(output.data.get("rank", run.recipe["rank"]))}
    if output.kind == "adapter":
        actions.accept_adapter(run=run, prepared=staged.prepared, again=staged.path, pack=pack, **told)
    else:
        actions.accept_checkpoint(run=run, prepared=staged.prepared, again=staged.path, **told)


def _accept_sample(run: TrainingRun, output: Output, staged: Staged, pack: Pack) -> None:
    asset = assets.record(staged.prepared, actor=run.created_by)
    looked = output.data.get("look")
    found = None
    if looked:
        Reading.objects.create(asset=asset, pack=pack.name, pack_version=pack.version, seen=looked)
        route = scoring.route_of(run.character)
        truth = scoring.truth_of(run.character, route, known={r["id"] for r in run.references})
        seen = contracts.looked_from_json(looked) if route.compares(pack) else None
        found = scoring.score(seen, truth, route)
    wanted = {"prompt": str(output.data["prompt"]), "seed": int(output.data["seed"])}
    TrainingSample.objects.create(
        run=run,
        step=int(output.data["step"]),
        place=run.samples_wanted.index(wanted),
        asset=asset,
        **wanted,
        score=found.value if found else None,
        cosine=found.cosine if found else None,
        no_score_reason=found.reason if found else "not looked at",
    )


def _finished(job: Job) -> None:
    actions.note_finished(run=_run(job))


def _stopped(job: Job) -> None:
    actions.note_stopped(run=_run(job))


TRAIN = JobKind(
    prepare=_prepare,
    stage=_stage,
    accept=_accept,
    finished=_finished,
    failed=_stopped,
    seconds_per_unit=0.6,
    seconds_overhead=15.0,
)
