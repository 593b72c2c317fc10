"""The order in which waiting jobs are served, and what it means for each: one ordering for claim, position and ETA.

Start-time fair queueing (P. Goyal, H. Vin, H. Cheng: "Start-time Fair Queueing", SIGCOMM 1996) on two levels: first
over studios, then over the people of a studio. Each job costs its estimated seconds divided by the weight of its
priority; the party with the smallest virtual time is next. A party that was idle starts at the clock of its level (of
the group for studios, of the studio for its people), so it can neither save up service nor be punished for what it
used when nobody else wanted it. What a claim really took is settled when it ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Greatest

from gpu_worker.models import Job, Share

WEIGHT = {0: 0.5, 1: 1.0, 2: 2.0, 3: 4.0}
HEAD_START = {p: timedelta(hours=h) for p, h in ((0, -1), (1, 0), (2, 1), (3, 4))}
"""Among the jobs of one person, priority counts as time waited: the urgent goes first, and nothing waits for ever."""
CLOCK = "clock"
LEAST_COST = 0.1
MOST_CONSIDERED = 2000


@dataclass(frozen=True, slots=True)
class Waiting:
    id: UUID
    studio: str
    user: str
    priority: int
    cost: float
    created_at: datetime
    is_short: bool
    yielded_at: datetime | None


def group_of(queue: str) -> str:
    """GPU queues share their machines, so they share one account; the CPU has its own."""
    return "cpu" if queue == Job.CPU else "gpu"


def waiting_jobs(queues: Iterable[str]) -> list[Waiting]:
    """Claimable jobs, the oldest first. A job that has a checkpoint costs only what is left of it."""
    rows = (
        Job.objects.claimable()
        .filter(queue__in=list(queues))
        .order_by("created_at", "id")
        .values_list(
            "id",
            "project__studio_id",
            "created_by_id",
            "priority",
            "estimated_seconds",
            "checkpoint_step",
            "total",
            "created_at",
            "is_short",
            "yielded_at",
        )[:MOST_CONSIDERED]
    )
    return [
        Waiting(
            id=id,
            studio=f"studio:{studio}",
            user=f"user:{studio}:{user}",
            priority=priority,
            cost=max(left_of(seconds, done, total), LEAST_COST),
            created_at=created_at,
            is_short=is_short,
            yielded_at=yielded_at,
        )
        for id, studio, user, priority, seconds, done, total, created_at, is_short, yielded_at in rows
    ]


def left_of(seconds: float, done: int, total: int) -> float:
    """What is left of a job's estimate from its checkpoint on."""
    return seconds * (1 - min(done / total, 1)) if total else seconds


def clock_of(studio: str) -> str:
    """The clock of a studio's people."""
    return f"{CLOCK}:{studio}"


def in_order(jobs: Iterable[Waiting], virtual_times: Mapping[str, float]) -> list[Waiting]:
    """Return the jobs in the order in which they will be served if nothing else arrives."""
    lines: dict[str, dict[str, list[Waiting]]] = defaultdict(lambda: defaultdict(list))
    for job in sorted(jobs, key=_own_order):
        lines[job.studio][job.user].append(job)
    times: dict[str, float] = {}
    for studio, people in lines.items():
        times[studio] = max(virtual_times.get(studio, 0.0), virtual_times.get(CLOCK, 0.0))
        clock = virtual_times.get(clock_of(studio), 0.0)
        times |= {user: max(virtual_times.get(user, 0.0), clock) for user in people}
    ordered: list[Waiting] = []
    while lines:
        studio = min(lines, key=lambda s: (times[s], min(_rank(line[0]) for line in lines[s].values())))
        people = lines[studio]
        user = min(people, key=lambda u: (times[u], _rank(people[u][0])))
        job = people[user].pop(0)
        ordered.append(job)
        times[studio] += job.cost / WEIGHT[job.priority]
        times[user] += job.cost / WEIGHT[job.priority]
        if not people[user]:
            del people[user]
        if not people:
            del lines[studio]
    return _after_those_yielded_to(ordered)


def _own_order(job: Waiting) -> tuple[datetime, UUID]:
    return job.created_at - HEAD_START[job.priority], job.id


def _rank(job: Waiting) -> tuple[int, datetime, UUID]:
    """Between parties that have had the same: the more urgent, then the older."""
    return -job.priority, job.created_at, job.id


def _after_those_yielded_to(ordered: list[Waiting]) -> list[Waiting]:
    """A training that made way goes behind the short jobs that were waiting then, and before those that came later
    in its line: it is delayed by at most one round, so a stream of short jobs cannot starve it."""
    for job, yielded_at in [(j, j.yielded_at) for j in ordered if j.yielded_at]:
        ahead = [k for k, j in enumerate(ordered) if j.is_short and j.created_at <= yielded_at]
        here = ordered.index(job)
        if ahead and ahead[-1] > here:
            ordered.insert(ahead[-1] + 1, job)
            del ordered[here]
    return ordered


def queue_order(queues: Iterable[str], also: Sequence[Waiting] = ()) -> list[Waiting]:
    """Waiting jobs of the queues, and `also`, in the order in which they will be served."""
    queues = list(queues)
    jobs = [*waiting_jobs(queues), *also]
    if len(jobs) < 2:
        return jobs
    group = group_of(queues[0])
    return in_order(jobs, dict(Share.objects.filter(group=group).values_list("party", "virtual_time")))


def charge(group: str, job: Waiting) -> None:
    """Book the service of a job that was just claimed, in the claim's transaction."""
    cost = job.cost / WEIGHT[job.priority]
    # Whoever claims next to us waits here: virtual times are read, then written.
    clocks = {name: _locked(group, name) for name in (CLOCK, clock_of(job.studio))}
    for party, clock in ((job.studio, clocks[CLOCK]), (job.user, clocks[clock_of(job.studio)])):
        share = _locked(group, party)
        start = max(share.virtual_time, clock.virtual_time)
        Share.objects.filter(pk=share.pk).update(virtual_time=start + cost)
        # The clock is the start tag of the job in service.
        Share.objects.filter(pk=clock.pk).update(virtual_time=Greatest(F("virtual_time"), start))


def settle(job: Job, took_seconds: float) -> None:
    """Correct what the claim of `job` booked in advance by what it really took, in the transaction that ends it."""
    difference = (took_seconds - job.charged_seconds) / WEIGHT[job.priority]
    studio = f"studio:{job.project.studio_id}"
    user = f"user:{job.project.studio_id}:{job.created_by_id}"
    for party in (studio, user):  # in the order in which a claim locks them
        Share.objects.filter(group=group_of(job.queue), party=party).update(
            virtual_time=Greatest(F("virtual_time") + difference, 0.0)
        )


def _locked(group: str, party: str) -> Share:
    Share.objects.get_or_create(group=group, party=party)
    return Share.objects.select_for_update().get(group=group, party=party)
