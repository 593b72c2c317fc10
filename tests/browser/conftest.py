"""Real pages on real rows, in real browsers: each person of the cast has one of their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from collaboration.models import User
from tests.interface.conftest import chromium

__all__ = ["chromium"]

# Browsers on a busy machine are slow; that says nothing about the pages.
expect.set_options(timeout=30_000)

# A refused or broken answer is reported by the browser and by htmx too; those are what tests provoke.
EXPECTED = re.compile(r"^(Failed to load resource|Response Status|htmx:|WebSocket connection)")


@pytest.fixture
def open_as(chromium: Browser, live_server: Any) -> Iterator[Callable[..., Page]]:
    """`open_as(bob, "/projects/", javascript=True)`: a browser of the person's own, on that page.

    An error in a script or a breach of the content security policy fails the test.
    """
    contexts, complaints = [], list[str]()

    def start(
        user: User,
        path: str,
        *,
        javascript: bool = True,
        bypass_csp: bool = False,
        width: int = 1440,
        height: int = 900,
    ) -> Page:
        client = Client()
        client.force_login(user)
        context = chromium.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": height},
            java_script_enabled=javascript,
            bypass_csp=bypass_csp,
        )
        contexts.append(context)
        value = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": live_server.url}])
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda m: complaints.append(m.text) if m.type == "error" and not EXPECTED.match(m.text) else None,
        )
        page.goto(path)
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []
