"""Somebody else's program that listens, and the API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.api.conftest import api  # noqa: F401
from tests.approvals.conftest import gate  # noqa: F401
from tests.characters.conftest import add, batch_of, mara, pack, paper_packs, see, stored  # noqa: F401


class Receiver:
    """Notes every request; `answers` are the next statuses, then 200."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {k.lower(): v for k, v in self.headers.items()}
                receiver.seen.append({"path": self.path, "headers": headers, "body": body, "json": json.loads(body)})
                status = receiver.answers.pop(0) if receiver.answers else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(b"no" if status >= 400 else b"ok")

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook?a=1"


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    """It is in the studio's own network: the operator allows that here."""
    settings.WEBHOOKS_MAY_REACH_PRIVATE = True
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is slow: one run sends everything."""
    monkeypatch.setattr("collaboration.notifications.sending.RUN_SECONDS", 600)
