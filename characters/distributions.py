"""A studio's own score distributions: how alike pictures of one person are, and pictures of different people.

References of one character are compared with each other (same person), those of different characters across
(impostors), by the encoder that scores them. A pack states a false-match rate for every cosine, measured on people of
its own; here stands what the same cosine lets through among the people of this studio.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from characters import scoring
from characters.models import Character, Reference
from collaboration.models import Studio
from gpu_worker import calibration
from gpu_worker.models import Reading
from gpu_worker.packs import Pack
from gpu_worker.routing import Route

MOST_CHARACTERS, MOST_REFERENCES = 60, 6
"""A larger studio is sampled: so many characters, so many references of each."""
BINS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of pairs, with its 95 % interval by Wilson (1927)."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        z, n, p = 1.96, self.of, self.count / self.of
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Cosines by one encoder of one pack."""

    pack: Pack
    encoder: str
    characters: int
    same: NDArray[np.float64]
    """[pairs of references of one character], rising."""
    impostor: NDArray[np.float64]
    """[pairs of references of different characters], rising."""

    def cosine_of(self, score: float) -> float:
        return calibration.cosine_of(score, self.pack.quantiles(self.encoder))

    def stated(self, score: float) -> float:
        """The pack's false-match rate of a score."""
        return calibration.false_match_rate(self.cosine_of(score), self.pack.quantiles(self.encoder))

    @property
    def lowest_rate(self) -> float:
        """The rarest match that the pack has measured."""
        return self.pack.quantiles(self.encoder)[-1][0]

    def strangers_at(self, score: float) -> Share:
        """Impostor pairs that reach a score: the measured false-match rate."""
        return self._reaching(self.impostor, score)

    def same_at(self, score: float) -> Share:
        """Same-person pairs that reach a score: the measured true-match rate."""
        return self._reaching(self.same, score)

    def _reaching(self, cosines: NDArray[np.float64], score: float) -> Share:
        at_least = len(cosines) - int(np.searchsorted(cosines, self.cosine_of(score), side="left"))
        return Share(count=at_least, of=len(cosines))

    def histogram(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return edges [BINS + 1] up to 1, the share of same-person pairs [BINS], and that of impostor pairs [BINS]."""
        lowest = min([-0.2, *self.same[:1], *self.impostor[:1]])
        edges = np.linspace(math.floor(lowest * 10) / 10, 1.0, BINS + 1)
        shares = [
            np.histogram(np.clip(c, edges[0], 1.0), edges)[0] / max(len(c), 1) for c in (self.same, self.impostor)
        ]
        return edges, shares[0], shares[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    distributions: Sequence[Distribution]
    characters: int
    """Present in the studio."""
    sampled: int
    unmeasured: Sequence[tuple[str, int]]
    """(reason, how many of the sampled) of those that nothing here measures."""


def measure(studio: Studio) -> Measured:
    """Compare references by what is kept of them; no model runs. A constant number of queries."""
    rows = Character.objects.present().filter(project__studio=studio)
    # Ids are random, so the first by id are a fair sample, and the same one at every visit.
    sampled = list(rows.select_related("project").order_by("pk")[:MOST_CHARACTERS])
    routes = {character.pk: scoring.route_of(character) for character in sampled}
    lost = Counter(route.reason for route in routes.values() if route.pack is None)
    embeddings = _embeddings(routes)
    packs: dict[str, Pack] = {}
    people: dict[tuple[str, str], list[NDArray[np.float64]]] = defaultdict(list)
    for pk, route in routes.items():
        if route.pack is not None and embeddings[pk]:
            packs[route.pack.name] = route.pack
            people[route.pack.name, route.encoder].append(np.array(embeddings[pk]))
    return Measured(
        distributions=[_distribution(packs[name], encoder, some) for (name, encoder), some in people.items()],
        characters=rows.count() if len(sampled) == MOST_CHARACTERS else len(sampled),
        sampled=len(sampled),
        unmeasured=lost.most_common(),
    )


def _embeddings(routes: dict[Any, Route]) -> dict[Any, list[tuple[float, ...]]]:
    """Character id -> embeddings of its references, by what measures it."""
    usable = (
        Reference.objects.usable()
        .filter(character__in=list(routes), origin=Reference.UPLOADED)
        .order_by("asset__sha256")
    )
    assets: dict[Any, list[Any]] = defaultdict(list)
    for character, asset in usable.values_list("character_id", "asset_id"):
        if len(assets[character]) < MOST_REFERENCES:
            assets[character].append(asset)
    wanted = [asset for some in assets.values() for asset in some]
    rows = Reading.objects.filter(asset_id__in=wanted).values_list("asset_id", "pack", "pack_version", "seen")
    seen = {(asset, pack, version): seen for asset, pack, version, seen in rows}
    found: dict[Any, list[tuple[float, ...]]] = {}
    for pk, route in routes.items():
        pack = route.pack
        looks = [seen.get((asset, pack.name, pack.version)) for asset in assets[pk]] if pack else []
        read = [scoring.embedding_of(scoring.looked(look), route.encoder) for look in looks if look]
        found[pk] = [embedding for embedding in read if embedding]
    return found


def _distribution(pack: Pack, encoder: str, people: Sequence[NDArray[np.float64]]) -> Distribution:
    """`people`: per character [references, dimensions]."""
    same = [(e @ e.T)[np.triu_indices(len(e), 1)] for e in people]
    impostor = [(a @ b.T).ravel() for a, b in combinations(people, 2)]
    none = np.zeros(0)
    return Distribution(
        pack=pack,
        encoder=encoder,
        characters=len(people),
        same=np.sort(np.concatenate([none, *same])),
        impostor=np.sort(np.concatenate([none, *impostor])),
    )
