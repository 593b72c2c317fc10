"""What is said of characters, in answers."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import Field

from assets.api import address_of
from assets.models import Asset
from characters import fragments, scoring
from characters.models import Character, IdentityProfile, Measurement, Reference, Variation, VariationBatch
from collaboration.bands import Band, Bands
from collaboration.models import Project
from collaboration.rest.paging import Page
from collaboration.rest.schemas import UUID, Answer, PersonOut, datetime, person
from gpu_worker.api import JobOut, Places, job_out
from gpu_worker.routing import Route

Tier = Literal["low", "standard", "high"]
Status = Literal["draft", "ready", "training", "trained"]
Verdict = Literal["checking", "pass", "warn", "reject"]
Origin = Literal["uploaded", "cast", "sheet"]


class PictureOut(Answer):
    asset: UUID = Field(description="Id of the file: see `/assets/{id}`.")
    file: str = Field(description="Address of the file; add `?size=320` for a thumbnail.")
    width: int | None = Field(description="Pixels.", examples=[1024])
    height: int | None = Field(description="Pixels.", examples=[1024])


class RouteOut(Answer):
    """What measures whether a picture shows the character."""

    pack: str | None = Field(description="Null where nothing installed fits; then there are no scores.")
    encoder: Literal["scoring", "figure"] = Field(description="Of the face, or of the whole figure.")
    reason: str = Field(examples=["mini measures drawn faces: the references are drawings."])


class CharacterOut(Answer):
    id: UUID
    project: str = Field(description="Slug of the project.", examples=["the-lighthouse"])
    name: str = Field(examples=["Mara"])
    description: str
    noun: str = Field(description="What a prompt calls them.", examples=["woman"])
    age: str = Field(examples=["young"])
    traits: str = Field(description="What always stays, separated by commas.", examples=["brown hair, round glasses"])
    has_human_face: bool = Field(description="False for animals, creatures and machines.")
    tags: list[str] = Field(examples=[["lead"]])
    importance: float = Field(description="0 for an extra, 1 for the lead.", examples=[0.9])
    tier: Tier
    status: Status
    score: float | None = Field(description="Median identity score of the latest batch, 0-100.", examples=[82.5])
    band: Band | None = Field(description="Of that score, by the bands of the studio.")
    reference_count: int = Field(
        description="Usable references: those that passed their checks, with or without a warning."
    )
    generated_count: int = Field(description="How many of the usable references a model made.")
    references_needed: int = Field(description="How many usable references training in this tier takes.", examples=[10])
    references_missing: int
    domain: Literal["", "illustration", "photograph"] = Field(
        description="What its usable references are, as far as they show it; empty while that is unclear."
    )
    measured_by: RouteOut
    adapter_version: int | None = Field(description="Version of the active adapter; null before the first training.")
    picture: PictureOut | None
    created_at: datetime
    updated_at: datetime
    trashed_at: datetime | None = Field(description="Set while it is in the trash.")


class CharacterPage(Page):
    items: list[CharacterOut]


class CheckOut(Answer):
    name: str = Field(
        description="`face`, `size`, `sharpness`, `exposure`, `angle`, `duplicate`, `domain` or `identity`.",
        examples=["face"],
    )
    verdict: Verdict
    word: str = Field(examples=["One face"])
    sentence: str = Field(examples=["One clear face."])


class ReferenceOut(Answer):
    id: UUID
    character: UUID
    verdict: Verdict = Field(description="That of the worst check; `checking` until a worker has looked at it.")
    checks: list[CheckOut]
    is_held_out: bool = Field(description="Kept from conditioning and training, to measure against.")
    origin: Origin = Field(
        description="`uploaded`, or generated: `cast` from words and chosen as the face, or approved on a character "
        "`sheet`."
    )
    is_generated: bool = Field(
        description="A model made it. It counts for training, and is never held out nor measured against while there "
        "are uploaded ones."
    )
    made_from: UUID | None = Field(description="The variation that a generated one is, with its provenance.")
    caption: str
    name: str = Field(description="The file's name as it came, made safe.")
    notes: list[str] = Field(description="What was changed on the way in.")
    picture: PictureOut
    added_by: PersonOut | None
    added_at: datetime
    trashed_at: datetime | None


class ReferencePage(Page):
    items: list[ReferenceOut]


class RefusedOut(Answer):
    name: str = Field(examples=["notes.txt"])
    code: str = Field(examples=["not_a_picture"])
    sentence: str = Field(description="What is wrong with the file and what to do.")


class AddedOut(Answer):
    added: list[ReferenceOut]
    refused: list[RefusedOut] = Field(description="Files that were not taken in; the others were.")
    job: UUID | None = Field(description="The job that looks at them.")


class ColourOut(Answer):
    colour: str = Field(examples=["#a1b2c3"])
    share: float = Field(description="0-1, of all the references' pixels.", examples=[0.31])


class FacetOut(Answer):
    name: str = Field(examples=["Angles"])
    words: str = Field(examples=["4 front, 2 left"])


class ProfileOut(Answer):
    character: UUID
    pack: str = Field(description="The model pack that looked at the references.", examples=["mini"])
    is_learnt: bool = Field(description="False while there are no usable references to learn from.")
    spread: float = Field(description="1 - mean cosine of the references to their centre: 0 when all are alike.")
    colours: list[ColourOut]
    facets: list[FacetOut] = Field(description="What can be said of the character in words.")
    base_prompt: str = Field(
        description="What every prompt begins with.", examples=["portrait of a young woman, brown hair"]
    )
    is_prompt_edited: bool = Field(description="Whether a person wrote it; then it is never overwritten.")
    learnt_from: list[UUID] = Field(description="Ids of the references; none of those held out.")
    updated_at: datetime


class OtherFaceOut(Answer):
    box: tuple[float, float, float, float] = Field(description="Pixels: left, top, right, bottom.")
    cosine: float | None = Field(description="Mean cosine to the references.")
    is_like: bool = Field(description="Whether it is like the character, too.")


class OutfitOut(Answer):
    agreement: float | None = Field(description="0-100, of the colours below the face; null: see the reason.")
    difference: float | None = Field(description="CIEDE2000 to the reference that is dressed most alike.")
    reference: str = Field(description="Id of that reference; empty without one.")
    reason: str = Field(description="Why it was not measured.")


class FigureOut(Answer):
    score: float | None = Field(description="0-100, calibrated as identity is; null: see the reason.")
    cosine: float | None
    false_match_rate: float | None
    reason: str = Field(description="Why it was not measured.")


class CopyOut(Answer):
    is_copy: bool = Field(description="Too like one reference in face, pose and expression.")
    reference: str = Field(description="Id of the reference it is most like.")
    likeness: float | None = Field(
        description="Copy-paste measure: 1 is that reference, 0 is as near to the others.", examples=[0.18]
    )
    pose: float | None = Field(description="Difference of pose and expression, in eye distances.")
    bits: int = Field(description="Hamming distance of the perceptual hashes, 0-64.")


class FindingsOut(Answer):
    """What is measured beside identity; the numbers are never blended."""

    box: tuple[float, float, float, float] | None = Field(description="Of the face that was measured, in pixels.")
    others: list[OtherFaceOut] = Field(description="Faces nobody was asked for, largest first.")
    outfit: OutfitOut
    figure: FigureOut
    copy_paste: CopyOut | None = Field(description="Null without references.")


class MeasurementOut(Answer):
    score: float | None = Field(description="0-100; null: see the reason.")
    verified: bool | None = Field(description="Whether identity is verified; null where it could not be measured.")
    cosine: float | None
    no_score_reason: str
    measured_against: dict[str, Any]
    findings: FindingsOut | None = Field(description="Null where only identity was measured.")
    asked_by: PersonOut | None = Field(description="Null where it was measured as it was made.")
    measured_at: datetime


class MeasurementsOut(Answer):
    items: list[MeasurementOut] = Field(description="The newest first; the first is the variation's own.")


class VariationOut(Answer):
    id: UUID
    batch: UUID
    character: UUID
    index: int = Field(description="Place in the batch, from 0.")
    prompt: str
    seed: int = Field(examples=[1234])
    axes: dict[str, str] = Field(examples=[{"expression": "happy"}])
    score: float | None = Field(description="0-100, calibrated on pictures of different people; null: see the reason.")
    band: Band | None = Field(description="By the bands of the studio; null without a score.")
    cosine: float | None = Field(
        description="Mean cosine to the references it is measured against, by the scoring encoder.", examples=[0.71]
    )
    verified: bool | None = Field(
        description="Whether identity is verified: anything but *needs review*; null where it could not be measured."
    )
    no_score_reason: str = Field(description="Why there is no score.", examples=["no face found"])
    measured_against: dict[str, Any] = Field(
        description="`method` (`held_out`, `leave_one_out` or `only_one`), `held_out`, `generated` (whether there were "
        "only pictures that a model made), `references` (how many), `reference_ids`, `left_out`, `encoder`, `pack`, "
        "`pack_version`, and `false_match_rate`: share of strangers who would score as high."
    )
    findings: FindingsOut | None = Field(description="Null where only identity was measured.")
    measured_at: datetime
    tier: str
    model: str
    picture: PictureOut
    picked_at: datetime | None
    made_at: datetime
    trashed_at: datetime | None


class VariationPage(Page):
    items: list[VariationOut]


class ProvenanceOut(Answer):
    variation: UUID
    provenance: dict[str, Any] = Field(
        description="Everything it takes to make the picture again; also inside the PNG."
    )


class SummaryOut(Answer):
    made: int
    scored: int = Field(description="Those whose identity could be measured.")
    mean_cosine: float | None = Field(description="Of those scored.", examples=[0.68])
    median_score: float | None = Field(description="0-100, of those scored.", examples=[81.0])
    measured_on_held_out: bool | None = Field(
        description="Whether they were measured against held-out references only."
    )


class AdapterUsedOut(Answer):
    id: UUID
    version: int


class BatchOut(Answer):
    id: UUID
    character: UUID
    count: int = Field(description="Pictures ordered.", examples=[12])
    tier: Tier
    tier_reason: str = Field(examples=["Standard, because adapter v1 is ready."])
    pack: str
    adapter: AdapterUsedOut | None
    settings: dict[str, Any] = Field(description="Everything that was set, complete.")
    is_casting: bool = Field(description="Faces from words alone, to choose one from.")
    sheet: UUID | None = Field(description="The character sheet that its pictures are takes of.")
    job: JobOut
    created_by: PersonOut | None
    created_at: datetime


class BatchPage(Page):
    items: list[BatchOut]


class BatchDetailOut(BatchOut):
    summary: SummaryOut
    variations: list[VariationOut] = Field(description="Those made so far, by index.")


# ------------------------------------------------------------------------------------------------------- from rows
def picture_out(asset: Asset | None) -> PictureOut | None:
    if asset is None or asset.erased_at is not None:
        return None
    return PictureOut(asset=asset.pk, file=address_of(asset.pk), width=asset.width, height=asset.height)


def _picture(asset: Asset) -> PictureOut:
    return PictureOut(asset=asset.pk, file=address_of(asset.pk), width=asset.width, height=asset.height)


def character_out(character: Character, project: Project) -> CharacterOut:
    """Reads `picture` and the prefetched `tags`."""
    character.project = project
    return CharacterOut(
        id=character.pk,
        project=project.slug,
        name=character.name,
        description=character.description,
        noun=character.noun,
        age=character.age,
        traits=character.traits,
        has_human_face=character.has_human_face,
        tags=[tag.name for tag in character.tags.all()],
        importance=character.importance,
        tier=cast("Tier", character.tier),
        status=cast("Status", character.status),
        score=character.score,
        band=_band(character.score, project.studio.bands),
        reference_count=character.reference_count,
        generated_count=character.generated_count,
        references_needed=character.references_needed,
        references_missing=character.references_missing,
        domain=cast("Any", character.domain),
        measured_by=_route_out(scoring.route_of(character)),
        adapter_version=character.adapter_version,
        picture=picture_out(character.picture),
        created_at=character.created_at,
        updated_at=character.updated_at,
        trashed_at=character.trashed_at,
    )


def _route_out(route: Route) -> RouteOut:
    return RouteOut(
        pack=route.pack.name if route.pack else None, encoder=cast("Any", route.encoder), reason=route.reason
    )


def reference_out(reference: Reference) -> ReferenceOut:
    """Reads `asset` and `added_by`."""
    return ReferenceOut(
        id=reference.pk,
        character=reference.character_id,
        verdict=cast("Verdict", reference.verdict),
        checks=[CheckOut(**check) for check in reference.checks],
        is_held_out=reference.is_held_out,
        origin=cast("Origin", reference.origin),
        is_generated=reference.is_generated,
        made_from=reference.made_from_id,
        caption=reference.caption,
        name=reference.asset.original_name,
        notes=reference.asset.notes,
        picture=_picture(reference.asset),
        added_by=person(reference.added_by),
        added_at=reference.added_at,
        trashed_at=reference.trashed_at,
    )


def profile_out(profile: IdentityProfile) -> ProfileOut:
    return ProfileOut(
        character=profile.character_id,
        pack=profile.pack,
        is_learnt=bool(profile.centroid),
        spread=profile.spread,
        colours=[ColourOut(colour=colour, share=share) for colour, share in profile.colours],
        facets=[FacetOut(**facet) for facet in profile.facets],
        base_prompt=profile.base_prompt,
        is_prompt_edited=profile.is_prompt_edited,
        learnt_from=profile.learnt_from,
        updated_at=profile.updated_at,
    )


def _band(score: float | None, bands: Bands) -> Band | None:
    return None if score is None else bands.of(score)


def variation_out(variation: Variation, bands: Bands) -> VariationOut:
    """Reads `asset` and `batch`."""
    return VariationOut(
        id=variation.pk,
        batch=variation.batch_id,
        character=variation.character_id,
        index=variation.index,
        prompt=variation.prompt,
        seed=variation.seed,
        axes=variation.axes,
        score=variation.score,
        band=_band(variation.score, bands),
        cosine=variation.cosine,
        verified=fragments.verified(variation.score, bands),
        no_score_reason=variation.no_score_reason,
        measured_against=variation.measured_against,
        findings=_findings(variation.findings),
        measured_at=variation.measured_at,
        tier=variation.batch.tier,
        model=variation.model_name,
        picture=_picture(variation.asset),
        picked_at=variation.picked_at,
        made_at=variation.made_at,
        trashed_at=variation.trashed_at,
    )


def measurement_out(row: Measurement, bands: Bands) -> MeasurementOut:
    """Reads `asked_by`."""
    return MeasurementOut(
        score=row.score,
        verified=fragments.verified(row.score, bands),
        cosine=row.cosine,
        no_score_reason=row.no_score_reason,
        measured_against=row.measured_against,
        findings=_findings(row.findings),
        asked_by=person(row.asked_by),
        measured_at=row.measured_at,
    )


def _findings(found: dict[str, Any]) -> FindingsOut | None:
    if not found:
        return None
    outfit = {name: found["outfit"][name] for name in OutfitOut.model_fields}
    return FindingsOut(
        box=found["box"],
        others=[OtherFaceOut(**other) for other in found["others"]],
        outfit=OutfitOut(**outfit),
        figure=FigureOut(**found["figure"]),
        copy_paste=CopyOut(**found["copy"]) if found["copy"] else None,
    )


def batch_fields(batch: VariationBatch, places: Places) -> dict[str, Any]:
    """Reads `adapter`, `created_by` and `job.created_by`."""
    used = AdapterUsedOut(id=batch.adapter.pk, version=batch.adapter.version) if batch.adapter else None
    return {
        "id": batch.pk,
        "character": batch.character_id,
        "count": len(batch.plan),
        "tier": batch.tier,
        "tier_reason": batch.tier_reason,
        "pack": batch.pack,
        "adapter": used,
        "settings": batch.settings,
        "is_casting": batch.is_casting,
        "sheet": batch.sheet_id,
        "job": job_out(batch.job, places),
        "created_by": person(batch.created_by),
        "created_at": batch.created_at,
    }
