"""Requests that are too large, sent to a real server."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from django.conf import settings

MB = b"x" * 2**20


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a server that takes 5 MB at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    env = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "DEBUG": "1",
        "REQUEST_MEGABYTES": "5",
    }
    command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(number), "config.asgi:application"]
    server = subprocess.Popen(command, cwd=settings.BASE_DIR, env=env, stderr=subprocess.DEVNULL)
    for _ in range(600):
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", number)) == 0:
                break
        time.sleep(0.1)
    yield number
    server.terminate()
    server.wait(timeout=30)


def send(port: int, path: str, megabytes: int, *, chunked: bool = False) -> tuple[int, str]:
    """POST so many megabytes; returns (status, body of the answer)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(megabytes * len(MB))}
    headers = {"Content-Type": "multipart/form-data; boundary=b", **length}
    connection.request("POST", path, body=(MB for _ in range(megabytes)), headers=headers, encode_chunked=chunked)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_beyond_the_limit_is_refused_with_a_sentence(port: int, chunked: bool) -> None:
    status, body = send(port, "/api/v1/projects", 12, chunked=chunked)
    problem = json.loads(body)
    assert (status, problem["status"], problem["instance"]) == (413, 413, "/api/v1/projects")
    assert problem["type"].endswith("#problem-too-large")
    assert problem["detail"].startswith("This request carries 12 MB; at most 5 MB are taken at once.")
    status, body = send(port, "/projects/", 12, chunked=chunked)
    assert status == 413
    assert "Send fewer or smaller files." in body


def test_a_request_within_it_is_read_by_the_application_alone(port: int) -> None:
    """The body is no form, whatever its header says: the server must not judge that before the application has."""
    status, body = send(port, "/api/v1/projects", 4)
    assert (status, json.loads(body)["title"]) == (401, "Not signed in")
