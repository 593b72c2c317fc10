"""Dramatiq actors: each message says that there may be work on its queue, nothing more.

Start workers with one thread for each process (`--threads 1`): a process runs one model at a time.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import dramatiq
from django.db import close_old_connections

from gpu_worker.fairness import group_of
from gpu_worker.models import Job

# The default limit of ten minutes would kill a training; a job's life is guarded by its lease instead.
NO_LIMIT_MS = 7 * 24 * 3600 * 1000


class ServedQueues(dramatiq.Middleware):
    """Remembers which queues this process was started for (`--queues`), and begins its part in the periodic work.

    That must not wait for a first message: after all processes were killed nobody else would send one.
    """

    names: ClassVar[frozenset[str]] = frozenset()

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        from gpu_worker.execution import this_worker

        ServedQueues.names = frozenset(worker.consumer_whitelist or ())
        for lane in {lane_of(name) for name, _ in Job.QUEUES if name in ServedQueues.names}:
            this_worker(lane)


def lane_of(queue: str) -> tuple[str, ...]:
    """The queues whose jobs this process runs in turn with those of `queue`: on one GPU all of them share one order."""
    served = ServedQueues.names | {queue}
    return tuple(name for name, _ in Job.QUEUES if name in served and group_of(name) == group_of(queue))


def work(queue: str) -> None:
    """Run waiting jobs, the fairest first, until there are none: other messages about them may have been lost."""
    from gpu_worker.execution import this_worker

    # There is no request to do it: a connection that broke while we were idle would fail this message and all others.
    close_old_connections()
    worker = this_worker(lane_of(queue))
    while worker.run_next():
        pass


dramatiq.get_broker().add_middleware(ServedQueues())


ACTORS: dict[str, dramatiq.Actor[Any, Any]] = {
    queue: dramatiq.Actor(
        partial(work, queue),
        broker=dramatiq.get_broker(),
        actor_name=f"work_{queue}",
        queue_name=queue,
        priority=0,
        options={"max_retries": 0, "time_limit": NO_LIMIT_MS},
    )
    for queue, _ in Job.QUEUES
}
