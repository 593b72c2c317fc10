"""The catalogue: what is installed, under which terms, and what it scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client
from django.urls import reverse

from collaboration.models import Studio, User
from tests.gpu_worker.test_routing import Install
from tests.gpu_worker.test_routing import install as install  # noqa: PLC0414 - the fixture


def page(client: Client, studio: Studio) -> Any:
    return client.get(reverse("gpu_worker:catalogue", args=[studio.slug]))


def test_it_says_what_each_pack_scores(
    studio: Studio, install: Install, client_of: Callable[[User], Client], vera: User
) -> None:
    install("drawn", figure=True)
    install("research", domain="photograph", commercial=False)
    install("blind", calibrated=False)
    text = " ".join(page(client_of(vera), studio).text.split())
    drawn, research, blind = (text.split(f'id="pack-{name}"')[1].split("</section>")[0] for name in NAMES)
    assert "drawn faces, whole figures in drawings" in drawn
    assert "Makes the pictures" in drawn
    assert "also for commercial projects" in drawn
    assert "One pair of strangers in 100 reaches a cosine of 0.350" in drawn
    assert "Not evaluated here yet" in drawn
    assert "photographed faces" in research
    assert "not for commercial projects" in research
    assert "Nothing: it has no calibrated encoder" in blind


NAMES = ("drawn", "research", "blind")


def test_it_is_for_the_people_of_the_studio(
    studio: Studio, install: Install, client_of: Callable[[User], Client], charlie: User, client: Client
) -> None:
    install("drawn")
    assert page(client_of(charlie), studio).status_code == 404
    assert "login" in page(client, studio).url
