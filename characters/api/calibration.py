"""What a studio's scores mean among its own characters."""

from __future__ import annotations

from typing import Annotated, Literal

from ninja import Query, Router
from pydantic import Field

from characters import distributions, flagged
from characters.fragments import calibration as shown
from collaboration.bands import Bands
from collaboration.permissions import access_studio
from collaboration.rest.auth import ApiRequest
from collaboration.rest.schemas import UUID, Answer

router = Router(tags=["People and projects"])


class ShareOut(Answer):
    count: int
    of: int
    share: float | None = Field(description="Null without any pairs.")
    interval: tuple[float, float] = Field(description="95 % (Wilson).")


class ThresholdOut(Answer):
    score: float
    cosine: float
    stated_false_match_rate: float = Field(description="What the pack states, measured on people of its own.")
    strangers: ShareOut = Field(description="Pairs of references of different characters that reach it.")
    same_person: ShareOut = Field(description="Pairs of references of one character that reach it.")


class DistributionOut(Answer):
    pack: str
    pack_version: str
    encoder: Literal["scoring", "figure"]
    characters: int
    edges: list[float] = Field(description="Of the bins, in cosines; one more than there are bins.")
    same_person: list[float] = Field(description="Share of the pairs in each bin.")
    strangers: list[float]
    thresholds: list[ThresholdOut]
    verdict: str = Field(description="Whether the stated rate holds here, as far as the pairs tell.")


class FlagsOut(Answer):
    excellent: int
    good: int
    review: int
    unmeasured: int


class CharacterFlagsOut(FlagsOut):
    character: UUID
    name: str


class CalibrationOut(Answer):
    characters: int
    sampled: int = Field(description="A large studio is sampled.")
    excellent: float
    good: float
    distributions: list[DistributionOut]
    variations: FlagsOut = Field(description="How many variations these bands sort where.")
    below: dict[str, int] = Field(description="Score -> variations under it.")
    by_character: list[CharacterFlagsOut] = Field(description="The hundred with most to review.")


@router.get("/studios/{slug:studio}/calibration", response=CalibrationOut, summary="Show a studio's calibration")
def calibration(
    request: ApiRequest,
    studio: str,
    excellent: Annotated[float | None, Query(description="Bands to try; the studio's own without.")] = None,
    good: Annotated[float | None, Query()] = None,
) -> CalibrationOut:
    """To those who administer it."""
    found = access_studio(request.auth, studio, administer=True)
    bands = Bands(
        excellent=found.excellent_from if excellent is None else excellent,
        good=found.good_from if good is None else good,
    )
    measured = distributions.measure(found)
    flags = flagged.in_all(found, bands, shown.scores(bands))
    return CalibrationOut(
        characters=measured.characters,
        sampled=measured.sampled,
        excellent=bands.excellent,
        good=bands.good,
        distributions=[_distribution(d, bands) for d in measured.distributions],
        variations=FlagsOut(
            excellent=flags.excellent, good=flags.good, review=flags.review, unmeasured=flags.unmeasured
        ),
        below={f"{score:g}": count for score, count in flags.below.items()},
        by_character=[
            CharacterFlagsOut(
                character=row["character_id"],
                **{key: row[key] for key in ("name", "excellent", "good", "review", "unmeasured")},
            )
            for row in flagged.by_character(found, bands)
        ],
    )


def _distribution(found: distributions.Distribution, bands: Bands) -> DistributionOut:
    edges, same, strangers = found.histogram()
    return DistributionOut(
        pack=found.pack.name,
        pack_version=found.pack.version,
        encoder=found.encoder,  # type: ignore[arg-type]
        characters=found.characters,
        edges=[round(float(edge), 4) for edge in edges],
        same_person=[round(float(share), 6) for share in same],
        strangers=[round(float(share), 6) for share in strangers],
        thresholds=[
            ThresholdOut(
                score=score,
                cosine=round(found.cosine_of(score), 4),
                stated_false_match_rate=found.stated(score),
                strangers=_share(found.strangers_at(score)),
                same_person=_share(found.same_at(score)),
            )
            for score in shown.scores(bands)
        ],
        verdict=shown.verdict(found, bands.good),
    )


def _share(share: distributions.Share) -> ShareOut:
    return ShareOut(count=share.count, of=share.of, share=share.value, interval=share.interval)
