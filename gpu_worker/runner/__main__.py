"""`python -m gpu_worker.runner REQUEST.json WORKDIR`: run one request; messages are JSON lines on standard output.

SIGTERM and SIGINT stop the run at its next step. With `--watch-stdin` it also stops when standard input ends, that is,
when the process that holds its other end is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from gpu_worker.contracts import Checkpoint, Message, RunError, dumps, request_from_json
from gpu_worker.runner.warm import Runner, failure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gpu_worker.runner", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("request", type=Path, help="a request as JSON")
    parser.add_argument("workdir", type=Path, help="where result files go")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; a GPU where there is one")
    parser.add_argument("--watch-stdin", action="store_true", help="stop when standard input ends")
    arguments = parser.parse_args()

    # Libraries print; only messages may reach the reader, so everything else goes to standard error.
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    stop, gone, answers = threading.Event(), threading.Event(), threading.Semaphore(0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if arguments.watch_stdin:
        threading.Thread(target=_watch, args=(stop, gone, answers), daemon=True).start()

    def send(message: Message) -> None:
        messages.write(dumps(message) + "\n")
        messages.flush()

    try:
        request = request_from_json(json.loads(arguments.request.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        send(failure(RunError(f"The request cannot be read: {error}")))
        return 2
    for message in Runner(device=arguments.device).run(request, arguments.workdir, should_stop=stop.is_set):
        send(message)
        if arguments.watch_stdin and isinstance(message, Checkpoint):
            while not answers.acquire(timeout=0.5) and not gone.is_set():
                pass
    return 0


def _watch(stop: threading.Event, gone: threading.Event, answers: threading.Semaphore) -> None:
    # Not sys.stdin: its lock, held by a blocked read, would keep the interpreter from ending.
    while os.read(0, 1):
        answers.release()
    gone.set()
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
