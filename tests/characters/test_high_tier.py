"""The high tier: when it can be had, what is asked of the model, and where a character's face goes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from assets.models import Asset
from characters import actions, jobs, orders
from characters.keypoints import faces_of
from characters.models import Character, Reference, Variation, VariationBatch
from characters.variations import Settings
from collaboration.models import User
from gpu_worker import catalog, keypoints
from gpu_worker.contracts import Face, GenerateRequest
from gpu_worker.models import Job
from gpu_worker.packs import ControlNet, FacePlace, Pack
from tests.characters.conftest import face
from tests.characters.test_jobs import png

FRONTAL = ((0.38, 0.4), (0.62, 0.4), (0.5, 0.5), (0.42, 0.62), (0.58, 0.62))
HIGH = "Identity ControlNet, the best of 3"


@pytest.fixture
def controlled(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> Pack:
    """The paper pack with an identity ControlNet."""
    left = tuple((x - 0.05, y) for x, y in FRONTAL)
    places = (FacePlace(words=(), points=FRONTAL), FacePlace(words=("happy",), points=left))
    net = ControlNet(folder="controlnet", strength=0.9, best_of=3, places=places)
    with_net = dataclasses.replace(pack, controlnet=net)
    monkeypatch.setattr(catalog, "installed", lambda: {"paper": with_net})
    return with_net


def url(character: Character) -> str:
    return reverse("characters:variations", args=[character.project.slug, character.pk])


def request_of(batch: VariationBatch, folder: Path) -> GenerateRequest:
    request = jobs.GENERATE_VARIATIONS.prepare(Job.objects.get(pk=batch.job_id), folder)
    assert isinstance(request, GenerateRequest)
    return request


def test_the_form_offers_it_once_there_is_a_profile(
    sign_in: Callable[..., Client], bob: User, mara: Character, add: Callable[..., list[Reference]], controlled: Pack
) -> None:
    assert "it needs an identity profile" in sign_in(bob).get(url(mara)).content.decode()
    add(mara, 3)
    page = sign_in(bob).get(url(mara)).content.decode()
    assert HIGH in page


def test_what_is_asked_of_the_model(
    mara: Character, alice: User, add: Callable[..., list[Reference]], controlled: Pack, tmp_path: Path
) -> None:
    add(mara, 3)
    settings = Settings(tier="high", axes={"expression": ["neutral", "happy"]}, seed=5)
    plain = orders.propose(character=mara, settings=dataclasses.replace(settings, tier="low"))
    overhead = jobs.GENERATE_VARIATIONS.seconds_overhead
    each = orders.propose(character=mara, settings=settings).seconds - overhead
    assert each == pytest.approx(3 * (plain.seconds - overhead))
    batch = orders.order_variations(character=mara, settings=settings, actor=alice)
    assert batch.tier == "high"
    assert batch.tier_reason.startswith("High, as asked, without an adapter")
    assert Job.objects.get(pk=batch.job_id).queue == Job.HIGH
    request = request_of(batch, tmp_path)
    assert request.best_of == 3
    assert request.identity is not None
    assert request.identity.control == 0.9
    neutral, happy = (np.array(spec.keypoints) for spec in request.pictures)
    assert (happy - neutral)[:, 0] == pytest.approx(-0.05 * request.width)
    assert not np.allclose(neutral, np.array(FRONTAL) * request.width)  # it is her face, not the average one
    low = orders.order_variations(character=mara, settings=Settings(tier="low", seed=5), actor=alice)
    request = request_of(low, tmp_path)
    assert (request.best_of, request.pictures[0].keypoints) == (1, ())
    assert request.identity is not None
    assert request.identity.control == 0


def test_automatic_goes_as_high_as_the_character_is_meant_for(
    mara: Character, alice: User, add: Callable[..., list[Reference]], controlled: Pack
) -> None:
    add(mara, 3)
    assert orders.propose(character=mara, settings=Settings()).choice.tier == "low"
    Character.objects.filter(pk=mara.pk).update(tier="high")
    mara.refresh_from_db()
    choice = orders.propose(character=mara, settings=Settings()).choice
    assert (choice.tier, choice.reason.partition(",")[0]) == ("high", "High")
    without = orders.propose(character=mara, settings=Settings(image_prompt_strength=0)).choice
    assert without.tier == "low"


def test_the_best_of_several_arrives_and_the_others_are_told(
    mara: Character, alice: User, stored: Callable[..., Asset], worker: Any
) -> None:
    assets = [stored(mara, n, data=png(n)) for n in range(3)]
    actions.add_references(character=mara, assets=assets, actor=alice)
    while worker.run_next():
        pass
    mara.refresh_from_db()
    settings = Settings(tier="high", steps=2, seed=9)
    batch = orders.order_variations(character=mara, settings=settings, actor=alice)
    assert batch.tier == "high", batch.tier_reason
    while worker.run_next():
        pass
    made = Variation.objects.get(batch=batch)
    tried = made.provenance["candidates"]
    assert len(tried) == 2
    assert made.provenance["chosen_seed"] in [one["seed"] for one in tried]
    assert made.seed == made.provenance["seed"]  # the order's: it makes the same candidates again


# -------------------------------------------------------------------------------------------------- shape of a face
def turned(points: Any, degrees: float, scale: float, dx: float) -> tuple[tuple[float, float], ...]:
    c, s = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
    return tuple((c * x - s * y + dx, s * x + c * y + 3) for x, y in points)


def with_points(points: Any, yaw: float = 0.0) -> Face:
    return dataclasses.replace(face(1, yaw=yaw), keypoints=tuple(points))


def test_place_size_and_roll_are_not_the_person() -> None:
    one = keypoints.shape_of([with_points(FRONTAL)])
    same = keypoints.shape_of([with_points(turned(FRONTAL, 20, 50, 7)), with_points(turned(FRONTAL, -12, 300, 90))])
    assert one is not None
    assert same is not None
    assert np.abs(one - same).max() < 1e-6
    assert keypoints.shape_of([]) is None


def test_the_average_face_stays_on_its_template() -> None:
    shape = keypoints.shape_of([with_points(turned(FRONTAL, 0, 80, 1))])
    side = turned(FRONTAL, 0, 40, 5)
    assert np.array(keypoints.placed(side, FRONTAL, shape)) == pytest.approx(np.array(side))
    assert keypoints.placed(side, FRONTAL, None) == side


def test_wide_eyes_stay_wide_and_narrow_in_a_turned_head() -> None:
    wide = tuple((x + (0.03 if k == 1 else -0.03 if k == 0 else 0), y) for k, (x, y) in enumerate(FRONTAL))
    shape = keypoints.shape_of([with_points(wide)])

    def apart(points: Any) -> float:
        return float(points[1][0] - points[0][0])

    frontal = keypoints.placed(FRONTAL, FRONTAL, shape)
    assert apart(frontal) / apart(FRONTAL) == pytest.approx(1 + 0.06 / 0.24, rel=0.05)
    half = tuple((0.5 + (x - 0.5) / 2, y) for x, y in FRONTAL)
    assert apart(keypoints.placed(half, FRONTAL, shape)) / apart(half) == pytest.approx(apart(frontal) / 0.24, rel=1e-6)


def test_faces_that_look_aside_do_not_count(mara: Character, add: Callable[..., list[Reference]], pack: Pack) -> None:
    rows = add(mara, 3)  # left, front, right
    assert len(faces_of([str(r.pk) for r in rows], pack)) == 1
