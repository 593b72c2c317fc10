"""Reads that assemble the pages of characters. A list costs the same number of queries however long it is."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db.models import Count, F, FloatField, Prefetch, Q, QuerySet, Value, Window
from django.db.models.functions import Coalesce, Lower, RowNumber

from characters import scoring
from characters.models import (
    TIERS,
    Character,
    IdentityProfile,
    LookAlike,
    Measurement,
    Preset,
    Reference,
    Tag,
    Variation,
    VariationBatch,
)
from collaboration.approvals import queries as approvals
from collaboration.events import stream_of
from collaboration.models import Project, Revision, Stream
from collaboration.votes import queries as votes
from gpu_worker.models import Adapter, Job, JobQuerySet

PAGE = 30
SEGMENT = 60
"""Characters that the scrolled grid asks for at once."""
BATCH_PAGE = 12
SCRUBBED = 5
"""Further references a card shows when the pointer moves over it."""
TAG_FACETS = 12
FACETS_KEPT_SECONDS = 600
HISTORY_PAGE = 20


# ----------------------------------------------------------------------------------------------------- the gallery
@dataclass(frozen=True, slots=True)
class Sort:
    label: str
    key: Any
    descending: bool = True


SORTS: dict[str, Sort] = {
    "updated": Sort("Last changed", F("updated_at")),
    "name": Sort("Name", Lower("name"), descending=False),
    "importance": Sort("Importance", F("importance")),
    "score": Sort("Identity score", Coalesce("score", Value(-1.0), output_field=FloatField())),
}


def _typed(text: str, limit: int) -> str:
    # PostgreSQL cannot compare with U+0000.
    return text.replace("\0", "").strip()[:limit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What the gallery was asked for; unknown values are left out."""

    search: str = ""
    tag: str = ""
    tier: str = ""
    status: str = ""
    sort: str = "updated"

    @classmethod
    def of(cls, query: Any) -> Filter:
        status, tier, sort = query.get("status", ""), query.get("tier", ""), query.get("sort", "")
        return cls(
            search=_typed(query.get("q", ""), 200),
            tag=_typed(query.get("tag", ""), 40),
            tier=tier if tier in dict(TIERS) else "",
            status=status if status in dict(Character.STATUSES) else "",
            sort=sort if sort in SORTS else "updated",
        )

    @property
    def is_empty(self) -> bool:
        return not (self.search or self.tag or self.tier or self.status)

    def apply(self, rows: QuerySet[Character]) -> QuerySet[Character]:
        if self.search:
            tagged = Tag.objects.filter(name__icontains=self.search).values("characters")
            words = Q(name__icontains=self.search) | Q(description__icontains=self.search) | Q(pk__in=tagged)
            rows = rows.filter(words)
        if self.tag:
            rows = rows.filter(tags__name=self.tag)
        if self.tier:
            rows = rows.filter(tier=self.tier)
        if self.status:
            rows = rows.filter(status=self.status)
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    characters: Sequence[Character]
    trainings: dict[str, Job]
    """Character id -> its open training, which the card shows."""
    look_alikes: dict[UUID, list[str]]
    """Character id -> names of whom it looks like."""
    next: str
    """Cursor of the next page; empty at the end."""
    previous: str = ""
    """Cursor before which the previous page ends; empty on the first page."""


def gallery(
    project: Project, wanted: Filter, *, after: str = "", until: str = "", before: str = "", limit: int = 0
) -> Page:
    """One page of the present characters, or with `until` all those from behind `after` up to and with that one.

    `before`: the page that ends before that one. Raises ValidationError for a cursor that is none.
    """
    limit = limit or (2 * SEGMENT if until else PAGE)
    sort = SORTS[wanted.sort]
    rows = _sorted(project, wanted)
    if after:
        rows = rows.filter(_beyond(after, wanted.sort))
    if until:
        rows = rows.filter(_beyond(until, wanted.sort, backwards=True, itself=True))
    if before:
        rows = rows.filter(_beyond(before, wanted.sort, backwards=True))
    rows = with_card_data(rows).order_by(*_order(sort, backwards=bool(before)))
    found = list(rows[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    approvals.attach("character", found)
    has_next, has_previous = more, bool(after)
    if before:
        found.reverse()
        has_next, has_previous = True, more
    return Page(
        characters=found,
        trainings=open_trainings(found),
        look_alikes=look_alikes_among(found),
        next=_cursor_of(found[-1], wanted) if has_next and found else "",
        previous=_cursor_of(found[0], wanted) if has_previous and found else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """How a list of any length is cut, so that a grid can be laid out without its cards."""

    total: int
    size: int
    """Cards in each, but for the last one."""
    cursors: Sequence[str]
    """Behind which each begins; empty for the first."""


def segments(project: Project, wanted: Filter) -> Segments:
    """Two queries over the index of the order, however many characters there are."""
    rows = _sorted(project, wanted)
    order = [F(key.removeprefix("-")).desc() if key[0] == "-" else F(key).asc() for key in _order(SORTS[wanted.sort])]
    numbered = rows.annotate(place=Window(RowNumber(), order_by=order)).annotate(over=F("place") % SEGMENT)
    ends = numbered.filter(over=0).order_by("place").values_list("sort_key", "pk")
    total = rows.count()
    cursors = ["", *(_as_cursor(value, pk, wanted.sort) for value, pk in ends)]
    return Segments(total=total, size=SEGMENT, cursors=cursors[: max(1, -(-total // SEGMENT))])


def _sorted(project: Project, wanted: Filter) -> QuerySet[Any]:
    """The wanted characters, not yet in their order, with the `sort_key` of it."""
    return wanted.apply(Character.objects.present().filter(project=project)).annotate(sort_key=SORTS[wanted.sort].key)


def _order(sort: Sort, *, backwards: bool = False) -> tuple[str, str]:
    sign = "-" if sort.descending != backwards else ""
    return f"{sign}sort_key", f"{sign}id"


def _beyond(cursor: str, sort: str, *, backwards: bool = False, itself: bool = False) -> Q:
    """What comes after the cursor in the order, or before it. The first condition is one an index can begin at."""
    value, id = _cursor(cursor, sort)
    step = "lt" if SORTS[sort].descending != backwards else "gt"
    last = f"{step}e" if itself else step
    return Q(**{f"sort_key__{step}e": value}) & (
        Q(**{f"sort_key__{step}": value}) | Q(sort_key=value, **{f"id__{last}": id})
    )


def _cursor_of(character: Any, wanted: Filter) -> str:
    return _as_cursor(character.sort_key, character.pk, wanted.sort)


def with_card_data(rows: QuerySet[Any]) -> QuerySet[Any]:
    """With what `fragments.card` reads of each character."""
    # By queries of their own: as a subquery PostgreSQL would look at every reference there is.
    generated = Reference.objects.present().generated().only("character", "asset")
    rows = rows.select_related("picture").prefetch_related(
        _scrubbed(), Prefetch("references", queryset=generated, to_attr="generated_references")
    )
    return rows.defer("description", "traits", "picture__generation", "picture__notes")


def _scrubbed() -> Prefetch:
    """Of each only whose picture it is: a card shows it by its address."""
    rows = Reference.objects.usable().filter(asset__erased_at=None).order_by("added_at", "id")
    return Prefetch("references", queryset=rows.only("character", "asset")[:SCRUBBED], to_attr="scrubbed")


def open_trainings(characters: Sequence[Character]) -> dict[str, Job]:
    ids = [str(c.pk) for c in characters]
    rows = Job.objects.open().filter(kind="training.train", subject_kind="character", subject_id__in=ids)
    return {job.subject_id: job for job in rows}


def look_alikes_among(characters: Sequence[Character]) -> dict[UUID, list[str]]:
    """Character id -> names of those it looks like, among them or not; what is dismissed is left out."""
    ids = [c.pk for c in characters]
    rows = LookAlike.objects.open().filter(Q(first__in=ids) | Q(second__in=ids)).order_by("-cosine")
    names: dict[UUID, list[str]] = {}
    for first, second, first_name, second_name in rows.values_list("first", "second", "first__name", "second__name"):
        names.setdefault(first, []).append(second_name)
        names.setdefault(second, []).append(first_name)
    return names


def _as_cursor(value: Any, id: UUID, sort: str) -> str:
    plain = value.isoformat() if isinstance(value, datetime) else value
    return base64.urlsafe_b64encode(json.dumps([sort, plain, str(id)]).encode()).decode().rstrip("=")


def _cursor(text: str, sort: str) -> tuple[Any, UUID]:
    refused = ValidationError("This page of the list does not exist any more. Start from its first page.")
    try:
        of, value, id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        key = UUID(id)
        value = _KINDS[sort](value)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error):
        raise refused from None
    if of != sort:
        raise refused
    return value, key


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment.astimezone(UTC)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError(value)
    return value


_KINDS: dict[str, Callable[[Any], Any]] = {"updated": _moment, "name": _text, "importance": _finite, "score": _finite}
"""Sort -> reads the value of a cursor. Raises ValueError, TypeError or OverflowError for what cannot be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """Value -> how many present characters have it."""

    total: int
    tags: dict[str, int]
    tiers: dict[str, int]
    statuses: dict[str, int]


def facets(project: Project) -> Facets:
    """Counted once after each event of the project: what they count changes with an event only."""
    # Read first: what is counted may be newer than this, never older.
    kind, key = stream_of(project)
    head = Stream.objects.filter(kind=kind, key=key).values_list("head", flat=True).first()
    place = f"characters.facets:{project.pk}:{head}"
    found: Facets | None = cache.get(place)
    if found is None:
        found = _count_facets(project)
        cache.set(place, found, timeout=FACETS_KEPT_SECONDS)
    return found


def _count_facets(project: Project) -> Facets:
    rows = Character.objects.present().filter(project=project)
    counts = rows.order_by().values_list("tier", "status").annotate(n=Count("pk"))
    tiers: dict[str, int] = {}
    statuses: dict[str, int] = {}
    for tier, status, n in counts:
        tiers[tier] = tiers.get(tier, 0) + n
        statuses[status] = statuses.get(status, 0) + n
    tags = (
        Tag.objects.filter(project=project, characters__trashed_at=None)
        .annotate(n=Count("characters"))
        .filter(n__gt=0)
        .order_by("-n", "name")
    )
    return Facets(
        total=sum(tiers.values()),
        tags=dict(tags.values_list("name", "n")[:TAG_FACETS]),
        tiers=tiers,
        statuses=statuses,
    )


def trash(project: Project, *, limit: int = 200) -> list[Character]:
    rows = Character.objects.filter(project=project).exclude(trashed_at=None).select_related("picture")
    return list(rows.prefetch_related(_scrubbed()).order_by("-trashed_at")[:limit])


def selected(project: Project, ids: list[str]) -> list[Character]:
    """Characters of the project by id, present or not, in the order of their names; ids that are none are left out."""
    rows = Character.objects.filter(project=project, pk__in=_uuids(ids)).select_related("project", "picture")
    return list(rows.order_by(Lower("name")))


# --------------------------------------------------------------------------------------------------- one character
def references_of(character: Character) -> list[Reference]:
    """Those present, newest first."""
    rows = character.references.present().select_related("asset", "added_by")
    return list(rows.order_by("-added_at", "-id"))


def trashed_references_of(character: Character) -> list[Reference]:
    """Those removed whose picture still exists, so that they can come back or be erased."""
    rows = character.references.exclude(trashed_at=None).filter(asset__erased_at=None)
    return list(rows.select_related("asset", "added_by").order_by("-trashed_at"))


def look_alikes_of(character: Character) -> list[LookAlike]:
    """Whom of the cast it looks like, those dismissed last."""
    rows = LookAlike.objects.of(character).present().select_related("first__picture", "second__picture", "dismissed_by")
    return list(rows.order_by(F("dismissed_at").asc(nulls_first=True), "-cosine"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    references: int
    variations: int


def counts_of(character: Character) -> Counts:
    return Counts(references=character.references.present().count(), variations=character.variations.present().count())


def active_adapter(character: Character) -> Adapter | None:
    return Adapter.objects.of("character", character.pk).filter(is_active=True).first()


def has_profile(character: Character) -> bool:
    """Whether there is an identity to condition pictures on."""
    profile = IdentityProfile.objects.filter(character=character).first()
    return profile is not None and profile.is_learnt


def picked_of(character: Character, *, limit: int = 12) -> list[Variation]:
    rows = (
        character.variations.present()
        .exclude(picked_at=None)
        .select_related("asset", "picked_by", "batch__job", "batch__adapter")
    )
    return list(rows.order_by("-picked_at")[:limit])


def presets_of(project: Project) -> list[Preset]:
    return list(Preset.objects.present().filter(project=project))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    batches: Sequence[VariationBatch] = ()
    next: str = ""


def batches_of(character: Character, *, after: str = "", but: VariationBatch | None = None) -> Batches:
    """Batches without `but`, newest first, each with at most four pictures as `shown`. Raises as `gallery`."""
    rows = character.batches.select_related("job", "created_by", "adapter")
    if but is not None:
        rows = rows.exclude(pk=but.pk)
    if after:
        value, id = _cursor(after, "updated")
        rows = rows.filter(Q(created_at__lt=value) | Q(created_at=value, id__lt=id))
    pictures = Variation.objects.present().select_related("asset").order_by(F("score").desc(nulls_last=True), "index")
    rows = rows.prefetch_related(Prefetch("variations", queryset=pictures[:4], to_attr="shown"))
    rows = rows.annotate(made=Count("variations", filter=Q(variations__trashed_at=None)))
    found = list(rows.order_by("-created_at", "-id")[: BATCH_PAGE + 1])
    more, found = len(found) > BATCH_PAGE, found[:BATCH_PAGE]
    return Batches(
        batches=found, next=_as_cursor(found[-1].created_at, found[-1].pk, "updated") if more and found else ""
    )


def latest_batch(character: Character) -> VariationBatch | None:
    rows = character.batches.select_related("job", "created_by", "adapter", "character__project__studio")
    return rows.order_by("-created_at", "-id").first()


def variations_of(batch: VariationBatch) -> dict[int, Variation]:
    """Place in the batch -> picture, those in the trash too."""
    found = {v.index: v for v in batch.variations.select_related("asset", "picked_by")}
    votes.attach(batch.character.project, "variation", found.values())
    return found


def neighbours_of(variation: Variation) -> tuple[Variation | None, Variation | None]:
    """The pictures before and after it in its batch."""
    rows = Variation.objects.present().filter(batch_id=variation.batch_id)
    before = rows.filter(index__lt=variation.index).order_by("-index").first()
    after = rows.filter(index__gt=variation.index).order_by("index").first()
    return before, after


def neighbours_of_reference(reference: Reference) -> tuple[Reference | None, Reference | None]:
    """The references before and after it, in the order of the list: the newest first."""
    rows = list(references_of(reference.character))
    place = next((k for k, row in enumerate(rows) if row.pk == reference.pk), None)
    if place is None:
        return None, None
    return (rows[place - 1] if place else None), (rows[place + 1] if place + 1 < len(rows) else None)


# ----------------------------------------------------------------------------------------------------------- history
@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    pairs: list[tuple[Revision, Revision | None]]
    """(revision, the one before it), the newest first."""
    older: int | None
    """The number before which the next page ends."""


def history_of(character: Character, *, before: int | None = None, field: str = "") -> History:
    """One page of the revisions, or of those that changed one field of the snapshot."""
    rows = Revision.objects.filter(subject_kind="character", subject_id=str(character.pk)).select_related("author")
    if before is not None:
        rows = rows.filter(number__lt=before)
    pairs: list[tuple[Revision, Revision | None]] = []
    later: Revision | None = None
    looked = 0
    for row in rows.order_by("-number").iterator(chunk_size=HISTORY_PAGE + 1):
        if later is not None:
            if not field or later.snapshot.get(field) != row.snapshot.get(field):
                pairs.append((later, row))
            if len(pairs) == HISTORY_PAGE or looked > 50 * HISTORY_PAGE:
                return History(pairs=pairs, older=later.number)
        later, looked = row, looked + 1
    if later is not None and (not field or later.snapshot.get(field)):
        pairs.append((later, None))
    return History(pairs=pairs, older=None)


# ------------------------------------------------------------------------------------------------------ measurements
OLDEST_LOOKED_FOR = 500
"""How many of the newest pictures of a character are searched for outdated measurements."""


def open_measurements(character: Character) -> list[Job]:
    """The jobs that measure its variations and have not ended, in the order in which they were given."""
    return list(_measuring_jobs(character).open().order_by("created_at"))


def last_measurement(character: Character) -> Job | None:
    """The measuring job that ended last."""
    ended = _measuring_jobs(character).filter(state__in=Job.ENDED)
    return ended.order_by(F("ended_at").desc(nulls_last=True), "-created_at").first()


def _measuring_jobs(character: Character) -> JobQuerySet:
    return Job.objects.filter(kind="variation.measure", subject_kind="character", subject_id=str(character.pk))


def being_measured(character: Character) -> set[str]:
    """Ids of the variations that a job is about to measure."""
    return {pk for job in open_measurements(character) for pk in job.arguments["variations"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """Variations whose measurement does not stand for what it would be measured by now."""

    by_references: frozenset[UUID] = frozenset()
    """Measured against other references than those of today."""
    by_model: frozenset[UUID] = frozenset()
    """Measured by another model, or another version of it."""

    @property
    def all(self) -> frozenset[UUID]:
        return self.by_references | self.by_model


def outdated(character: Character) -> Outdated:
    """Among the newest variations; those being measured already are left out. Reads `project`."""
    route = scoring.route_of(character)
    if route.pack is None:
        return Outdated()
    made = Variation.objects.present().filter(character=character, asset__erased_at=None).order_by("-made_at")
    rows = made.values_list("pk", "batch_id", "asset__sha256", "score", "measured_against")[:OLDEST_LOOKED_FOR]
    waiting = being_measured(character)
    found = [row for row in rows if str(row[0]) not in waiting]
    batches = VariationBatch.objects.filter(pk__in={row[1] for row in found}).select_related("job")
    known = scoring.known_to(batches)
    # The pool of a truth needs no readings.
    enrolled = scoring.Enrolment(references=list(character.references.usable().select_related("asset")), seen={})
    pools: dict[tuple[Any, str], set[str]] = {}
    shown = {r.asset.sha256 for r in enrolled.references}
    by_references, by_model = set(), set()
    for pk, batch_id, sha256, score, against in found:
        key = (batch_id, sha256 if sha256 in shown else "")
        if key not in pools:
            truth = enrolled.truth(encoder=route.encoder, known=known[batch_id], itself=key[1])
            pools[key] = set(truth.pool)
        if (against.get("pack"), against.get("pack_version"), against.get("encoder")) != (
            route.pack.name,
            route.pack.version,
            route.encoder,
        ):
            by_model.add(pk)
        elif pools[key] != set(against.get("pool", against.get("reference_ids", ()))) and (
            score is not None or not against.get("pool")
        ):  # a picture without a face stays without a score, whatever it is compared with
            by_references.add(pk)
    return Outdated(by_references=frozenset(by_references), by_model=frozenset(by_model))


def measurements_of(variation: Variation) -> list[Measurement]:
    """The newest first."""
    return list(variation.measurements.select_related("asked_by"))


def variations_by_id(character: Character, ids: Sequence[str]) -> list[Variation]:
    """Those of the character that are present, in the order in which they were made; ids that are none are left out."""
    rows = character.variations.present().filter(pk__in=_uuids(ids)).select_related("asset")
    return list(rows.order_by("made_at", "index"))


def references_by_id(character: Character, ids: Sequence[str]) -> list[Reference]:
    """Those of the character, removed or not; ids that are none are left out."""
    rows = character.references.filter(pk__in=_uuids(ids)).select_related("asset")
    return list(rows.order_by("added_at", "id"))


def references_in(project: Project, ids: Sequence[str]) -> list[Reference]:
    """Those of the project, of whatever character, removed or not; ids that are none are left out."""
    return list(Reference.objects.filter(character__project=project, pk__in=_uuids(ids)).select_related("asset"))


def _uuids(ids: Sequence[str]) -> list[UUID]:
    keys = []
    for id in ids[:500]:
        try:
            keys.append(UUID(str(id)))
        except ValueError:
            continue
    return keys
