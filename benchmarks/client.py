"""Speaking to an installation over HTTP: as a program with a token, and as a person with a browser."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")


class Refused(Exception):
    """The installation refused; the text says what it said."""


class Program:
    """Requests to /api/v1 with a token."""

    def __init__(self, url: str, token: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def get(self, path: str, **parameters: Any) -> Any:
        return self._answer(self.http.get(path, params=parameters))

    def post(self, path: str, body: Any = None) -> Any:
        return self._answer(self.http.post(path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())}))

    def upload(self, path: str, files: Iterable[Path]) -> Any:
        parts = [("files", (file.name, file.read_bytes())) for file in files]
        return self._answer(self.http.post(path, files=parts))

    def all(self, path: str, **parameters: Any) -> list[Any]:
        """Every entry of a list."""
        found, cursor = [], ""
        while cursor is not None:
            page = self.get(path, cursor=cursor, limit=200, **parameters)
            found += page["items"]
            cursor = page["next"]
        return found

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        if response.is_success:
            return response.json()
        try:
            said = response.json()["detail"]
        except (ValueError, KeyError):
            said = response.text[:200]
        raise Refused(f"{response.request.method} {response.request.url.path}: {response.status_code}. {said}")


class Browser:
    """A signed-in person."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)

    def sign_in(self, email: str, password: str) -> None:
        """Through the form that people use."""
        page = self.http.get("/accounts/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        if token is None:
            raise Refused(f"The sign-in page has no form ({page.status_code}).")
        fields = {"csrfmiddlewaretoken": token[1], "login": email, "password": password}
        answer = self.http.post("/accounts/login/", data=fields, headers={"Referer": str(page.url)})
        if answer.status_code != 302:
            raise Refused(f"Signing in as {email} failed ({answer.status_code}).")

    def load(self, path: str) -> tuple[float, str]:
        """Return (milliseconds until the whole page was there, the page)."""
        start = time.perf_counter()
        answer = self.http.get(path)
        took = (time.perf_counter() - start) * 1000
        if answer.status_code != 200:
            raise Refused(f"GET {path}: {answer.status_code}.")
        return took, answer.text


def wait(ask: Callable[[], T], until: Callable[[T], bool], what: str, *, seconds: float, every: float = 0.5) -> T:
    """Ask until the answer is as wanted, and return it. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not until(answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {seconds:.0f} s for {what}.")
        time.sleep(every)
    return answer
