"""Which pack and encoder measure what: on paper packs, which say everything about themselves and hold no weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collaboration.models import Project
from gpu_worker import routing

QUANTILES = {"impostor_quantiles": [[0.5, 0.0], [0.1, 0.2], [0.01, 0.35], [0.001, 0.5]]}
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, settings: Any) -> Install:
    """`install("paper", domain=..., commercial=..., figure=..., calibrated=...)`; the first one is the default pack."""
    settings.MODEL_PACKS = [tmp_path]
    installed: list[str] = []

    def make(
        name: str,
        *,
        domain: str = "illustration",
        commercial: bool = True,
        face: bool = True,
        figure: bool = False,
        calibrated: bool = True,
    ) -> None:
        files = {"figure/figure.onnx": "0" * 64} if figure else {}
        manifest: dict[str, Any] = {
            "format": 1,
            "name": name,
            "title": f"The {name} pack",
            "version": "1.0",
            "family": "sd",
            "architecture": "stable-diffusion-v1",
            "domain": domain,
            "licence": {"name": "Some terms", "commercial": commercial},
            "resolution": 64,
            "sizes": [[64, 64]],
            "pipeline": None,
            "encoders": {"scoring": "identity/scoring"} if face else {},
            "calibration": {"scoring": QUANTILES, "figure": QUANTILES} if calibrated else {},
            "files": files,
        }
        if figure:
            manifest["figure"] = {"file": "figure/figure.onnx", "size": 128, "embedding_size": 256}
        (tmp_path / name).mkdir()
        (tmp_path / name / "pack.json").write_text(json.dumps(manifest))
        installed.append(name)
        settings.DEFAULT_PACK = installed[0]

    return make


def route(project: Project, domain: str = "", *, has_human_face: bool = True) -> tuple[str, str, str]:
    found = routing.route(project=project, domain=domain, has_human_face=has_human_face)
    return found.pack.name if found.pack else "", found.encoder, found.reason


def test_each_domain_goes_to_the_pack_that_knows_it(project: Project, install: Install) -> None:
    install("drawn")
    install("filmed", domain="photograph")
    name, encoder, reason = route(project, "illustration")
    assert (name, encoder) == ("drawn", "scoring")
    assert reason == "drawn measures drawn faces: the references are drawings."
    name, encoder, reason = route(project, "photograph")
    assert (name, encoder) == ("filmed", "scoring")
    assert reason == "filmed measures photographed faces: the references are photographs."


def test_what_the_project_says_goes_before_what_the_references_look_like(project: Project, install: Install) -> None:
    install("drawn")
    install("filmed", domain="photograph")
    project.domain = Project.PHOTOGRAPH
    assert route(project, "illustration")[0] == "filmed"
    assert "the project is set to photographs" in route(project, "illustration")[2]
    project.domain = Project.ILLUSTRATION
    assert route(project, "photograph")[0] == "drawn"


def test_while_nothing_is_known_the_pack_that_makes_the_pictures_measures(project: Project, install: Install) -> None:
    install("filmed", domain="photograph")
    install("drawn")
    assert route(project)[0] == "filmed"


def test_the_default_pack_goes_before_others_that_fit_too(project: Project, install: Install) -> None:
    install("zebra")
    install("ant")
    assert route(project, "illustration")[0] == "zebra"


def test_without_a_human_face_the_whole_figure_is_measured(project: Project, install: Install) -> None:
    install("faces")
    install("figures", figure=True, face=False)
    name, encoder, reason = route(project, "illustration", has_human_face=False)
    assert (name, encoder) == ("figures", "figure")
    assert "whole figures in drawings" in reason
    assert route(project, "illustration")[:2] == ("faces", "scoring")


@pytest.mark.parametrize(
    ("domain", "has_human_face", "what"),
    [
        ("photograph", True, "photographed faces"),
        ("photograph", False, "whole figures in photographs"),
        ("illustration", False, "whole figures in drawings"),
    ],
)
def test_where_nothing_fits_it_says_so(
    project: Project, install: Install, domain: str, has_human_face: bool, what: str
) -> None:
    install("drawn")
    name, _, reason = route(project, domain, has_human_face=has_human_face)
    assert name == ""
    assert reason.startswith(f"No installed pack measures {what}.")
    assert len(reason) <= 200


def test_an_encoder_that_was_not_calibrated_measures_nothing(project: Project, install: Install) -> None:
    install("drawn", calibrated=False)
    assert route(project, "illustration")[0] == ""


def test_a_commercial_project_is_not_measured_by_weights_it_may_not_use(project: Project, install: Install) -> None:
    install("drawn")
    install("research", domain="photograph", commercial=False)
    name, _, reason = route(project, "photograph")
    assert name == ""
    assert reason == "research measures photographed faces, but may not be used in a commercial project."
    project.is_commercial = False
    assert route(project, "photograph")[0] == "research"


@pytest.mark.parametrize(
    ("values", "domain"),
    [
        ([], ""),
        ([0.9], "photograph"),
        ([0.02, 0.1, 0.9], "illustration"),
        ([0.02, 0.6, 0.9], "photograph"),
        ([0.3, 0.3], ""),
    ],
)
def test_what_most_references_are_is_what_the_character_is(values: list[float], domain: str) -> None:
    assert routing.domain_of(values) == domain
