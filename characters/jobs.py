"""Jobs about characters: looking at references, making variations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils import timezone

from assets import actions as assets
from assets.folders import character_folder
from assets.metadata import GenerationSettings
from assets.metadata.settings import LoraUse
from assets.models import Asset, StoredFileDamaged
from characters import actions, events, scoring, suggestions
from characters.actions.references import ENCODERS
from characters.keypoints import faces_of
from characters.models import Character, IdentityProfile, Reference, Variation, VariationBatch
from characters.variations import Settings
from collaboration import events as log
from gpu_worker import catalog, contracts, keypoints, readings, selection
from gpu_worker.contracts import AdapterUse, GenerateRequest, IdentityUse, LookRequest, Output, PictureSpec, RunError
from gpu_worker.kinds import JobKind
from gpu_worker.models import Job, JobOutput, Reading
from gpu_worker.packs import Pack


def fetch(asset: Asset, folder: Path) -> Path:
    """Copy a stored file to the run's working directory, checking its hash. Raises RunError."""
    path = folder / f"{asset.pk}{Path(asset.key).suffix}"
    if path.exists():
        return path
    try:
        return asset.copy_to(path)
    except FileNotFoundError:
        raise RunError(f"The file {asset.original_name} is no longer stored. Upload it again.") from None
    except StoredFileDamaged as error:
        raise RunError(str(error)) from None


# ------------------------------------------------------------------------------------------ looking at references
def _prepare_look(job: Job, workdir: Path) -> LookRequest:
    rows = {str(r.pk): r for r in Reference.objects.filter(pk__in=job.arguments["references"]).select_related("asset")}
    pictures = [r.asset if (r := rows.get(pk)) else None for pk in job.arguments["references"]]
    if not any(a and a.erased_at is None for a in pictures):
        raise RunError("These references are gone.")
    return look_request(catalog.default_pack(), pictures, workdir)


def look_request(
    pack: Pack, pictures: Sequence[Asset | None], workdir: Path, encoders: Collection[str] = ENCODERS
) -> LookRequest:
    """Have stored pictures looked at by those of the encoders that the pack has; what is known of one already needs no
    second look. Those that are gone keep their place."""
    wanted = tuple(name for name in encoders if name in pack.encoders)
    if not wanted and not pack.figure:
        raise RunError(
            f"The model {pack.name} has no encoders to look at faces or figures with. Choose another for this."
        )
    known = readings.known(pictures, pack, wanted)
    seen = {one.index for one in known}
    return LookRequest(
        pack=str(pack.directory),
        pictures=tuple(
            str(workdir / "seen" if k in seen else _in_its_place(asset, workdir)) for k, asset in enumerate(pictures)
        ),
        encoders=wanted,
        known=known,
    )


def _in_its_place(asset: Asset | None, workdir: Path) -> Path:
    """A picture that is gone keeps its place under a name that is no file: an output's index means the same reference
    at every claim, and the others are looked at all the same."""
    if asset is not None and asset.erased_at is None:
        with suppress(RunError):
            return fetch(asset, workdir)
    return workdir / "gone"


def _accept_look(job: Job, output: Output, staged: Any) -> None:
    actions.accept_reading(reference_id=job.arguments["references"][output.index], seen=output.data)


def _looked(job: Job) -> None:
    _reject_unanswered(job, "We could not look at this image. Upload it again or choose another.")
    character = Character.objects.select_related("project").filter(pk=job.subject_id).first()
    if character is not None:
        actions.note_profile(character=character)
        actions.note_look_alikes(character=character)


def _look_failed(job: Job) -> None:
    _reject_unanswered(job, job.error or "The checks were stopped. Upload the image again to have it checked.")


def _reject_unanswered(job: Job, sentence: str) -> None:
    answered = set(JobOutput.objects.filter(job=job).values_list("index", flat=True))
    left = [pk for k, pk in enumerate(job.arguments["references"]) if k not in answered]
    actions.reject_unreadable(reference_ids=left, sentence=sentence)


LOOK_AT_REFERENCES = JobKind(
    prepare=_prepare_look,
    accept=_accept_look,
    finished=_looked,
    failed=_look_failed,
    seconds_per_unit=0.3,
    seconds_overhead=1.0,
)


# -------------------------------------------------------------------------------------------- making variations
def _batch(job: Job) -> VariationBatch:
    rows = VariationBatch.objects.select_related("character__project", "adapter__file", "job")
    return rows.get(pk=job.arguments["batch"])


def _prepare_variations(job: Job, workdir: Path) -> GenerateRequest | None:
    batch = _batch(job)
    pack = catalog.pack_named(batch.pack)
    wanted = Settings.from_json(batch.settings)
    if wanted.steps is None or wanted.guidance is None or wanted.width is None or wanted.height is None:
        raise RunError("The settings of this batch are incomplete. Order it again.")
    made = set(job.outputs.values_list("index", flat=True))
    if all(p["index"] in made for p in batch.plan):
        return None
    adapter = None
    if batch.adapter is not None:
        if batch.adapter.file is None or batch.adapter.file.erased_at is not None:
            raise RunError("The adapter for this batch has been erased. Generate again with another one.")
        adapter = AdapterUse(
            path=str(fetch(batch.adapter.file, workdir)), sha256=batch.adapter.sha256, strength=wanted.lora_strength
        )
    profile = IdentityProfile.objects.filter(character=batch.character).first()
    identity, learnt_from, control = None, [], None
    if profile is not None and profile.is_learnt and pack.ip_adapter is not None and wanted.image_prompt_strength > 0:
        control = pack.controlnet if batch.tier == selection.HIGH else None
        identity = IdentityUse(
            embedding=tuple(profile.centroid),
            strength=wanted.image_prompt_strength,
            control=control.strength if control else 0.0,
        )
        learnt_from = profile.learnt_from
    shape = keypoints.shape_of(faces_of(learnt_from, pack)) if control else None
    # The profile may change while the run goes on: what it was is kept with the job.
    job.arguments = {**job.arguments, "identity_from": learnt_from}
    Job.objects.filter(pk=job.pk).update(arguments=job.arguments)
    return GenerateRequest(
        pack=str(pack.directory),
        pictures=tuple(
            PictureSpec(
                index=p["index"],
                prompt=p["prompt"],
                seed=p["seed"],
                keypoints=keypoints.where(control, p["prompt"], wanted.width, wanted.height, shape) if control else (),
            )
            for p in batch.plan
            if p["index"] not in made
        ),
        negative_prompt=wanted.negative_prompt or "",
        width=wanted.width,
        height=wanted.height,
        steps=wanted.steps,
        guidance=wanted.guidance,
        adapter=adapter,
        identity=identity,
        best_of=control.best_of if control else 1,
        encoders=_encoders(batch, pack),
    )


def _encoders(batch: VariationBatch, pack: Pack) -> tuple[str, ...]:
    """A picture that may become a reference is seen by all that see references, while it is in memory anyway."""
    wanted = ENCODERS if batch.is_casting or batch.sheet_id is not None else (scoring.ENCODER,)
    return tuple(name for name in wanted if name in pack.encoders)


@dataclass(frozen=True, slots=True)
class Staged:
    prepared: assets.Prepared
    provenance: dict[str, Any]


def _stage_variation(job: Job, output: Output, path: Path | None) -> Staged:
    if path is None:
        raise RunError("The model run named a picture but wrote none. Try again.")
    batch = _batch(job)
    provenance = _provenance(job, batch, output)
    prepared = assets.prepare_generated(
        project=batch.character.project,
        image=path,
        settings=_generation_settings(batch, provenance),
        provenance=provenance,
        name=f"{batch.character.name} {output.index + 1}.png",
        folder=character_folder(batch.character.name, "variations"),
    )
    return Staged(prepared, provenance)


def _provenance(job: Job, batch: VariationBatch, output: Output) -> dict[str, Any]:
    """Everything that is needed to make the picture again, and who made it why."""
    plan, wanted = batch.plan[output.index], batch.settings
    identity_from = job.arguments.get("identity_from") or []
    pack = catalog.pack_named(batch.pack)
    # What the run itself says about its model, adapter and identity stands below, in full and by name.
    run = {k: v for k, v in output.data.items() if k not in ("look", "model", "adapter", "identity")}
    ran = output.data.get("model") or {}
    return run | {
        "prompt": plan["prompt"],
        "negative_prompt": wanted["negative_prompt"],
        "seed": plan["seed"],
        "steps": wanted["steps"],
        "guidance": wanted["guidance"],
        "width": wanted["width"],
        "height": wanted["height"],
        "axes": plan["axes"],
        "model": pack.name,
        "model_title": pack.title,
        "model_version": ran.get("version", pack.version),
        "model_sha256": ran.get("sha256", pack.sha256),
        "licence": pack.licence.name,
        "tier": batch.tier,
        "why_this_model": batch.tier_reason,
        "character": str(batch.character_id),
        "adapter": {
            "id": str(batch.adapter.pk),
            "version": batch.adapter.version,
            "sha256": batch.adapter.sha256,
            "strength": wanted["lora_strength"],
            "trigger": batch.adapter.trigger,
        }
        if batch.adapter
        else None,
        "image_prompt": {"strength": wanted["image_prompt_strength"], "references": identity_from}
        if identity_from
        else None,
        "batch": str(batch.pk),
        "job": str(job.pk),
        "worker": str(job.worker) if job.worker else "",
        "made_at": timezone.now().isoformat(timespec="seconds"),
        "ordered_by": job.created_by.display_name if job.created_by else "",
    }


def _generation_settings(batch: VariationBatch, provenance: dict[str, Any]) -> GenerationSettings:
    """The same in the vocabulary that other tools read."""
    adapter = provenance["adapter"]
    return GenerationSettings(
        source="persona",
        prompt=provenance["prompt"],
        negative_prompt=provenance["negative_prompt"],
        steps=provenance["steps"],
        sampler=str(provenance.get("sampler", "")),
        cfg=provenance["guidance"],
        seed=provenance["seed"],
        width=provenance["width"],
        height=provenance["height"],
        model=f"{provenance['model']} {provenance['model_version']}",
        loras=(LoraUse(name=f"{adapter['trigger']}-v{adapter['version']}", weight=adapter["strength"]),)
        if adapter
        else (),
    )


def _accept_variation(job: Job, output: Output, staged: Staged) -> None:
    batch = _batch(job)
    pack = catalog.pack_named(batch.pack)
    asset = assets.record(staged.prepared, actor=job.created_by)
    looked = output.data.get("look")
    seen = contracts.looked_from_json(looked) if looked else None
    if looked:
        Reading.objects.create(asset=asset, pack=pack.name, pack_version=pack.version, seen=looked)
    plan = batch.plan[output.index]
    variation = Variation.objects.create(
        batch=batch,
        character=batch.character,
        index=output.index,
        asset=asset,
        prompt=plan["prompt"],
        seed=plan["seed"],
        axes=plan["axes"],
        provenance=staged.provenance,
    )
    is_compared = scoring.route_of(batch.character).compares(pack)
    actions.measure_variation(variation=variation, seen=seen if is_compared else None)
    if batch.sheet_id is not None:
        actions.note_take(variation=variation)
    if batch.revises_id is not None:
        suggestions.carry_over(variation)


def _variations_ended(job: Job) -> None:
    batch = _batch(job)
    actions.show_median(batch.character)
    _measure_elsewhere(batch)
    happening = events.VariationsFinished(
        character_id=batch.character_id,
        name=batch.character.name,
        batch_id=batch.pk,
        count=batch.variations.count(),
        state=job.state,
    )
    log.record(batch.character.project, happening, actor=None)


def _measure_elsewhere(batch: VariationBatch) -> None:
    """Where another pack measures the character than the one that made the pictures, it has yet to look at them."""
    route = scoring.route_of(batch.character)
    if route.pack is not None and not route.compares(catalog.pack_named(batch.pack)):
        made = list(batch.variations.present().select_related("asset"))
        if made:
            actions.order_measurement(character=batch.character, variations=made, actor=batch.created_by)


GENERATE_VARIATIONS = JobKind(
    prepare=_prepare_variations,
    stage=_stage_variation,
    accept=_accept_variation,
    finished=_variations_ended,
    failed=_variations_ended,
    seconds_per_unit=1.2,
    seconds_overhead=3.0,
)


# -------------------------------------------------------------------------------------------- measuring variations
def _prepare_measuring(job: Job, workdir: Path) -> LookRequest:
    references = {
        str(r.pk): r.asset for r in Reference.objects.filter(pk__in=job.arguments["references"]).select_related("asset")
    }
    made = {
        str(v.pk): v.asset
        for v in Variation.objects.present().filter(pk__in=job.arguments["variations"]).select_related("asset")
    }
    pictures = [references.get(pk) for pk in job.arguments["references"]]
    pictures += [made.get(pk) for pk in job.arguments["variations"]]
    if not any(a and a.erased_at is None for a in made.values()):
        raise RunError("These pictures are gone.")
    pack = catalog.installed().get(job.arguments["pack"])
    if pack is None:
        raise RunError(
            f"The model pack {job.arguments['pack']} is not installed any more. Measure these pictures again."
        )
    return look_request(pack, pictures, workdir)


def _accept_measuring(job: Job, output: Output, staged: Any) -> None:
    actions.accept_look(job=job, index=output.index, seen=output.data)


def _measuring_ended(job: Job) -> None:
    actions.note_measured(job=job)


MEASURE_VARIATIONS = JobKind(
    prepare=_prepare_measuring,
    accept=_accept_measuring,
    finished=_measuring_ended,
    failed=_measuring_ended,
    seconds_per_unit=0.2,
    seconds_overhead=1.0,
)
