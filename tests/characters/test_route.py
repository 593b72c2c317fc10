"""What measures a character, from the form and the settings to the score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from characters import actions, scoring
from characters.models import Character, IdentityProfile, Reference
from collaboration.models import Project, User
from tests.characters.conftest import looked

Add = Callable[..., list[Reference]]


def test_what_the_references_are_is_learnt_from_them(mara: Character, add: Add) -> None:
    assert mara.domain == ""
    add(mara, 2)
    assert mara.domain == "illustration"
    add(mara, 3, first=10, photographic=0.9)
    assert mara.domain == "photograph"


def test_photographs_that_nothing_here_measures_have_a_reason_and_no_number(
    mara: Character, add: Add, vera: User, client_of: Callable[[User], Client]
) -> None:
    add(mara, 5, photographic=0.9)
    route = scoring.route_of(mara)
    found = scoring.score(looked(500), scoring.truth_of(mara, route), route)
    assert (found.value, found.cosine) == (None, None)
    assert found.reason.startswith("No installed pack measures photographed faces.")
    assert found.reason in client_of(vera).get(mara.get_absolute_url()).text


def test_the_project_may_say_that_they_are_drawings_all_the_same(
    mara: Character, add: Add, leo: User, client_of: Callable[[User], Client], project: Project
) -> None:
    add(mara, 5, photographic=0.9)
    page = reverse("collaboration:settings", args=[project.slug])
    client_of(leo).post(page, {"name": project.name, "is_commercial": "on", "domain": "illustration"})
    mara = Character.objects.get(pk=mara.pk)
    route = scoring.route_of(mara)
    found = scoring.score(looked(500), scoring.truth_of(mara, route), route)
    assert found.value is not None
    assert found.against["why"] == "paper measures drawn faces: the project is set to drawings."


@pytest.fixture
def form(mara: Character) -> dict[str, Any]:
    return {"name": "Mara", "noun": "creature", "importance": "0.5", "tier": "low"}


def test_a_creature_needs_no_face(
    mara: Character, add: Add, bob: User, client_of: Callable[[User], Client], form: dict[str, Any]
) -> None:
    rows = add(mara, 3, faces=())
    assert {r.verdict for r in rows} == {"reject"}
    edit = reverse("characters:edit", args=[mara.project.slug, mara.pk])
    client_of(bob).post(edit, form)
    mara.refresh_from_db()
    assert not mara.has_human_face
    assert mara.reference_count == 3
    assert set(mara.references.values_list("verdict", flat=True)) == {"pass"}
    route = scoring.route_of(mara)
    assert (route.pack, route.encoder) == (None, "figure"), "the pack of these tests has no figure encoder"
    client_of(bob).post(edit, form | {"has_human_face": "on"})
    mara.refresh_from_db()
    assert mara.reference_count == 0


def test_a_face_that_a_creature_happens_to_have_is_not_learnt(mara: Character, add: Add, alice: User) -> None:
    add(mara, 3)
    assert IdentityProfile.objects.get(character=mara).is_learnt
    actions.change_character(character=mara, actor=alice, has_human_face=False)
    assert not IdentityProfile.objects.filter(character=mara).exists()


def test_the_whole_figure_is_compared_where_there_is_no_face(
    mara: Character, add: Add, alice: User, pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from gpu_worker import catalog
    from gpu_worker.packs import FigureEncoder
    from tests.characters.conftest import QUANTILES

    whole = replace(
        pack,
        figure=FigureEncoder(file="figure/figure.onnx", size=128, embedding_size=2),
        calibration={**pack.calibration, "figure": {"impostor_quantiles": QUANTILES}},
    )
    monkeypatch.setattr(catalog, "installed", lambda: {whole.name: whole})
    actions.change_character(character=mara, actor=alice, has_human_face=False)
    add(mara, 3, faces=(), figure=(1.0, 0.0))
    route = scoring.route_of(mara)
    truth = scoring.truth_of(mara, route)
    assert len(truth.embeddings) == 3
    same = scoring.score(looked(500, faces=(), figure=(0.8, 0.6)), truth, route)
    assert (same.cosine, same.against["encoder"]) == (0.8, "figure")
    unmeasured = scoring.score(looked(500), truth, route)
    assert (unmeasured.value, unmeasured.reason) == (None, "the figure was not measured")
