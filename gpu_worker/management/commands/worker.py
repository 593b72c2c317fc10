from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from gpu_worker.models import Job

LANES = {"cpu": [Job.CPU], "gpu": list(Job.GPU_QUEUES)}


def make_way(nice: int) -> None:
    """Lower this process's claim to the cores. Linux weighs sessions before processes (autogroups), so that a process
    that leads a session must lower its session's claim as well; one that was started in a terminal leaves that alone.
    """
    os.nice(nice)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(nice))


class Command(BaseCommand):
    help = "Run jobs by polling the job table: the cpu lane (checks and scores) or the gpu lane (pictures, training)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--lane", choices=LANES, required=True)
        parser.add_argument("--threads", type=int, default=0, help="Cores that models may use; 0 for all.")
        parser.add_argument("--nice", type=int, default=0, help="Make way for other processes (0-19).")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["threads"]:
            os.environ["STUDIO_THREADS"] = str(options["threads"])
        if options["nice"]:
            make_way(options["nice"])
        from gpu_worker.execution import JobWorker, take_back_from_dead_processes
        from gpu_worker.schedule import Ticker

        take_back_from_dead_processes()
        worker = JobWorker(LANES[options["lane"]], lane=options["lane"])
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: worker.stopping.set())
        ticker = Ticker()
        ticker.start()
        self.stdout.write(f"Worker for {options['lane']} is ready.")
        worker.run_forever()
        ticker.over.set()
