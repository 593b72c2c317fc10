"""The report of a pack's evaluation, as pages and programs reach it."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from gpu_worker import catalog, reports
from gpu_worker.packs import Pack
from gpu_worker.queries import latest_report

STYLE = "body { color: #e8e8e8; }"
PAGE = f"<!doctype html><title>Mini</title><style>{STYLE}</style><p>Low 62 %</p>"


@pytest.fixture
def pack() -> Pack:
    return catalog.default_pack()


@pytest.fixture
def folder(settings: Any, tmp_path: Path, pack: Pack) -> Path:
    settings.EVALUATIONS_DIR = tmp_path
    return reports.folder_for(pack, tmp_path)


@pytest.fixture
def report(folder: Path, pack: Pack) -> Path:
    folder.mkdir()
    figures = {
        "date": "2026-02-03T10:00:00+00:00",
        "summary": "Low 62 %.",
        "pack": {"name": pack.name, "version": pack.version, "sha256": pack.sha256},
        "tiers": {"low": {"verified_at_fmr_1e3": {"value": 0.62, "low": 0.5, "high": 0.7}}},
    }
    (folder / "report.json").write_text(json.dumps(figures))
    (folder / "report.html").write_text(PAGE)
    return folder


def url(pack: Pack, version: str = "") -> str:
    return reverse("gpu_worker:report", args=[pack.name, version or pack.version])


def test_a_member_reads_the_report_under_a_policy_of_its_own(report, pack, vera, client_of) -> None:
    response = client_of(vera).get(url(pack))
    assert response.status_code == 200
    assert response.content.decode() == PAGE
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "sandbox" in policy
    assert response["Cache-Control"] == "private, no-cache"


def test_who_is_not_signed_in_is_asked_to(report, pack, db) -> None:
    response = Client().get(url(pack))
    assert response.status_code == 302
    assert "/accounts/login/" in response["Location"]


def test_a_stranger_learns_nothing(report, pack, charlie, client_of) -> None:
    assert client_of(charlie).get(url(pack)).status_code == 404


def test_an_administrator_of_the_studio_reads_it(report, pack, alice, studio, client_of) -> None:
    assert client_of(alice).get(url(pack)).status_code == 200


def test_it_is_only_read(report, pack, vera, client_of) -> None:
    assert client_of(vera).post(url(pack)).status_code == 405


@pytest.mark.parametrize("version", ["0.1", "..", "1.1%2F..%2Fsecret"])
def test_only_installed_versions_have_one(report, pack, vera, client_of, version: str) -> None:
    assert client_of(vera).get(f"/catalogue/{pack.name}/{version}/evaluation/").status_code == 404


def test_a_pack_that_was_not_evaluated_has_none(folder, pack, vera, client_of) -> None:
    assert latest_report(pack) is None
    assert client_of(vera).get(url(pack)).status_code == 404


def test_what_was_measured_can_be_asked_for(report, pack, db) -> None:
    found = latest_report(pack)
    assert found is not None
    assert (found.summary, found.made_at.year, found.is_current) == ("Low 62 %.", 2026, True)
    assert found.url == url(pack)


def test_a_report_on_other_files_is_not_current(report, pack, db) -> None:
    figures = json.loads((report / "report.json").read_text())
    figures["pack"]["sha256"] = "0" * 64
    (report / "report.json").write_text(json.dumps(figures))
    found = latest_report(pack)
    assert found is not None
    assert not found.is_current


@pytest.mark.parametrize("damage", ["{", "[]", '{"date": "yesterday"}'])
def test_a_damaged_report_is_no_report(report, pack, vera, client_of, damage: str, caplog) -> None:
    (report / "report.json").write_text(damage)
    assert client_of(vera).get(url(pack)).status_code == 404
    assert "evaluate mini anew" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "is not installed"),
        (["mini", "--identities", "0"], "too small for --identities"),
        (["mini", "--people", "/nowhere"], "is not a folder"),
    ],
)
def test_the_command_says_what_it_needs(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("evaluate", *arguments)
