"""A browser, a server without a database, and pages that fail a test when their console or their policy complains."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.test import override_settings
from django.test.testcases import LiveServerThread
from playwright.sync_api import Browser, Page, sync_playwright

from tests.interface import pages

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def interface_server() -> Iterator[str]:
    """The address of a server of `pages`, with the real settings, middleware and static files.

    For one module: while it runs, every other test of the process would get these settings and addresses too.
    """
    from django.conf import settings

    templates: list[dict[str, Any]] = [
        {**settings.TEMPLATES[0], "DIRS": [*settings.TEMPLATES[0]["DIRS"], HERE / "templates"]}
    ]
    with override_settings(ROOT_URLCONF="tests.interface.pages", TEMPLATES=templates, ALLOWED_HOSTS=["127.0.0.1"]):
        thread = LiveServerThread("127.0.0.1", StaticFilesHandler)
        thread.daemon = True
        thread.start()
        thread.is_ready.wait()
        if thread.error:
            raise thread.error
        yield f"http://127.0.0.1:{thread.port}"
        thread.terminate()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    # Playwright's loop runs in this thread; Django would take its own synchronous code here for a mistake.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(chromium: Browser, interface_server: str) -> Iterator[Page]:
    """A fresh browser profile. An error in a script or a breach of the content security policy fails the test."""
    pages.seen.clear()
    pages.answers.clear()
    context = chromium.new_context(base_url=interface_server, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(30_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # A refused or broken answer is reported by the browser and by htmx too; those are what the tests provoke.
    expected = re.compile(r"^(Failed to load resource|Response Status|htmx:|WebSocket connection)")
    page.on(
        "console", lambda m: complaints.append(m.text) if m.type == "error" and not expected.match(m.text) else None
    )
    yield page
    context.close()
    assert complaints == []
