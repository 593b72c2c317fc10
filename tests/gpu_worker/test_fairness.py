"""Everybody gets their turn: the order, and what it promises whatever arrives."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collaboration import actions as collaboration
from collaboration.models import Project, User
from collaboration.verbs import Role
from gpu_worker import claims, fairness, queries
from gpu_worker.fairness import CLOCK, HEAD_START, WEIGHT, Waiting, clock_of, in_order
from gpu_worker.models import Job, Share, Worker

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
GPU = list(Job.GPU_QUEUES)


def waiting(n: int, *, studio: str = "a", user: str = "", at: float | None = None, **fields: Any) -> Waiting:
    """Job `n`, created `at` seconds after the beginning."""
    values: dict[str, Any] = {
        "id": UUID(int=n),
        "studio": f"studio:{studio}",
        "user": f"user:{studio}:{user or studio}",
        "priority": 1,
        "cost": 10.0,
        "created_at": BEGIN + timedelta(seconds=n if at is None else at),
        "is_short": True,
        "yielded_at": None,
    }
    return Waiting(**(values | fields))


def numbers(jobs: list[Waiting]) -> list[int]:
    return [job.id.int for job in jobs]


# ----------------------------------------------------------------------------------------------------- the order
def test_one_person_is_served_in_the_order_of_asking() -> None:
    assert numbers(in_order([waiting(3), waiting(1), waiting(2)], {})) == [1, 2, 3]


def test_studios_take_turns_however_much_one_of_them_asks_for() -> None:
    many = [waiting(n, studio="a") for n in range(1, 7)]
    few = [waiting(n, studio="b") for n in (10, 11)]
    assert numbers(in_order([*many, *few], {})) == [1, 10, 2, 11, 3, 4, 5, 6]


def test_people_of_a_studio_take_turns() -> None:
    jobs = [waiting(n, user="x") for n in (1, 2, 3)] + [waiting(9, user="y")]
    assert numbers(in_order(jobs, {})) == [1, 9, 2, 3]


def test_who_asks_for_less_time_is_served_more_often() -> None:
    long = [waiting(n, studio="a", cost=40.0) for n in (1, 2)]
    short = [waiting(n, studio="b", cost=10.0) for n in range(10, 16)]
    assert numbers(in_order([*long, *short], {}))[:7] == [1, 10, 11, 12, 13, 2, 14]


def test_priority_makes_time_cheaper() -> None:
    urgent = [waiting(n, studio="a", priority=3) for n in range(1, 6)]
    usual = [waiting(n, studio="b") for n in range(10, 13)]
    order = numbers(in_order([*urgent, *usual], {}))
    assert order[:6] == [1, 10, 2, 3, 4, 5]


def test_between_equals_the_more_urgent_goes_first() -> None:
    assert numbers(in_order([waiting(1, studio="a"), waiting(2, studio="b", priority=3)], {})) == [2, 1]


def test_own_urgent_jobs_go_first_but_not_for_ever() -> None:
    old = waiting(1, at=0)
    urgent = waiting(2, at=60, priority=3)
    assert numbers(in_order([old, urgent], {})) == [2, 1]
    later = waiting(3, at=HEAD_START[3].total_seconds() + 1, priority=3)
    assert numbers(in_order([old, later], {})) == [1, 3]


def test_who_was_idle_has_saved_nothing_up() -> None:
    times = {CLOCK: 100.0, "studio:a": 105.0}
    jobs = [waiting(n, studio="a") for n in (1, 2)] + [waiting(n, studio="b") for n in (10, 11, 12)]
    # b starts at the clock, not at zero: it goes first, and then they take turns.
    assert numbers(in_order(jobs, times)) == [10, 1, 11, 2, 12]


def test_people_are_counted_by_the_clock_of_their_own_studio() -> None:
    times = {CLOCK: 1000.0, "studio:a": 1000.0, clock_of("studio:a"): 90.0, "user:a:x": 190.0, "user:a:y": 100.0}
    jobs = [waiting(1, user="x"), waiting(2, user="y"), waiting(3, user="y")]
    assert numbers(in_order(jobs, times)) == [2, 3, 1]


def test_a_training_that_made_way_goes_behind_those_it_made_way_for_and_before_later_ones() -> None:
    training = waiting(1, at=0, cost=100.0, is_short=False, yielded_at=BEGIN + timedelta(seconds=50))
    before = [waiting(n, studio=f"s{n}", at=40) for n in (2, 3)]
    after = [waiting(n, studio=f"s{n}", at=60) for n in (4, 5)]
    order = numbers(in_order([training, *before, *after], {}))
    assert order.index(1) == 1 + max(order.index(2), order.index(3))


# -------------------------------------------------------------------------------------------- whatever may arrive
jobs_of_anybody = st.lists(
    st.builds(
        lambda n, studio, user, at, cost, priority: (n, studio, user, at, cost, priority),
        st.integers(0, 10**9),
        st.sampled_from("abc"),
        st.sampled_from("xyz"),
        st.floats(0, 10_000),
        st.floats(0.1, 500),
        st.sampled_from([0, 1, 2, 3]),
    ),
    max_size=40,
)


@given(jobs_of_anybody, st.dictionaries(st.sampled_from(["studio:a", "studio:b", CLOCK]), st.floats(0, 1e6)))
def test_every_job_is_served_exactly_once(drawn: list[Any], times: dict[str, float]) -> None:
    jobs = [
        waiting(k, studio=s, user=u, at=at, cost=cost, priority=p) for k, (_, s, u, at, cost, p) in enumerate(drawn)
    ]
    order = in_order(jobs, times)
    assert sorted(numbers(order)) == list(range(len(jobs)))
    assert numbers(in_order(list(reversed(jobs)), times)) == numbers(order), "the order of asking must not matter"


@given(jobs_of_anybody)
def test_two_studios_that_always_want_more_get_the_same_up_to_one_job_each(drawn: list[Any]) -> None:
    """Goyal, Vin and Cheng 1996, theorem 1: while both are backlogged, their weighted service differs by no more than
    the largest charge of each."""
    jobs = [waiting(k, studio=s, at=at, cost=cost, priority=p) for k, (_, s, _, at, cost, p) in enumerate(drawn)]
    charges = {s: [j.cost / WEIGHT[j.priority] for j in jobs if j.studio == s] for s in {j.studio for j in jobs}}
    left = {studio: len(c) for studio, c in charges.items()}
    served: dict[str, float] = defaultdict(float)
    for job in in_order(jobs, {}):
        served[job.studio] += job.cost / WEIGHT[job.priority]
        left[job.studio] -= 1
        backlogged = [s for s in left if left[s] > 0]
        for one in backlogged:
            for other in backlogged:
                bound = max(charges[one]) + max(charges[other])
                assert abs(served[one] - served[other]) <= bound + 1e-6


@given(st.integers(0, 2**32), st.sampled_from([0, 1]))
@settings(max_examples=40)
def test_nobody_starves_beside_a_stream_of_urgent_work(seed: int, priority: int) -> None:
    """One job of a small studio against others that never stop asking: it is served after a bounded amount of work."""
    rng = random.Random(seed)
    times: dict[str, float] = {CLOCK: 500.0, **{f"studio:{s}": 500.0 + rng.random() * 50 for s in "ab"}}
    mine = waiting(0, studio="small", at=0, cost=20.0, priority=priority)
    queue = [mine]
    done = 0.0
    for n in range(1, 200):
        while len(queue) < 8:
            s = rng.choice("ab")
            queue.append(waiting(n * 100 + len(queue), studio=s, cost=rng.uniform(1, 60), priority=rng.choice([1, 3])))
        job = in_order(queue, times)[0]
        if job is mine:
            break
        start = max(times.get(job.studio, 0.0), times[CLOCK])
        times[job.studio] = start + job.cost / WEIGHT[job.priority]
        times[job.user] = max(times.get(job.user, 0.0), times.get(clock_of(job.studio), 0.0)) + job.cost
        times[CLOCK] = max(times[CLOCK], start)
        queue.remove(job)
        done += job.cost
    else:
        pytest.fail("never served")
    # Each of the two others may at most be one job ahead and finish what it was ahead by.
    assert done <= 2 * (60 + 50) * WEIGHT[3]


@given(st.integers(0, 2**32))
@settings(max_examples=40)
def test_own_low_priority_jobs_do_not_starve_either(seed: int) -> None:
    rng = random.Random(seed)
    mine = waiting(0, at=0, priority=0)
    at, queue = 0.0, [mine]
    for n in range(1, 2000):
        at += rng.uniform(30, 120)
        queue.append(waiting(n, at=at, priority=3))
        job = in_order(queue, {})[0]
        queue.remove(job)
        if job is mine:
            break
    assert job is mine
    assert at <= (HEAD_START[3] - HEAD_START[0]).total_seconds() + 240


# ---------------------------------------------------------------------------------------------------- in the table
@pytest.fixture
def other_project(make_user: Callable[..., User]) -> Project:
    dora = make_user("dora")
    return collaboration.start_project(name="Elsewhere", actor=dora, studio_name="Southlight")


@pytest.mark.django_db
def test_claims_follow_the_order_and_book_what_they_take(
    enqueue: Callable[..., Job], project: Project, other_project: Project, worker_row: Worker
) -> None:
    ours = [enqueue(f"ours {n}", units=10) for n in range(3)]
    theirs = [enqueue(f"theirs {n}", units=10, project=other_project, actor=None) for n in range(2)]
    predicted = [w.id for w in fairness.queue_order(GPU)]
    claimed = []
    while (job := claims.claim(GPU, worker_row)) is not None:
        claimed.append(job.pk)
    assert claimed == predicted == [ours[0].pk, theirs[0].pk, ours[1].pk, theirs[1].pk, ours[2].pk]
    share = Share.objects.get(group="gpu", party=f"studio:{project.studio_id}")
    assert share.virtual_time == pytest.approx(3 * ours[0].estimated_seconds)


@pytest.mark.django_db
def test_what_a_claim_really_took_is_settled_when_it_ends(
    enqueue: Callable[..., Job], project: Project, bob: User, worker_row: Worker
) -> None:
    enqueue(units=100)  # 204 s by the first guess
    job = claims.claim(GPU, worker_row)
    assert job is not None
    Job.objects.update(claimed_at=claims.after(-30))
    job.refresh_from_db()
    claims.release(job)
    for party in (f"studio:{project.studio_id}", f"user:{project.studio_id}:{bob.pk}"):
        assert 30 <= Share.objects.get(group="gpu", party=party).virtual_time < 40


@pytest.mark.django_db
def test_a_training_that_goes_on_costs_only_what_is_left(enqueue: Callable[..., Job]) -> None:
    job = enqueue(units=100)
    Job.objects.filter(pk=job.pk).update(checkpoint_step=75, estimated_seconds=200)
    (row,) = fairness.waiting_jobs(GPU)
    assert row.cost == pytest.approx(50)


@pytest.mark.django_db
def test_a_heavy_user_does_not_push_a_light_one_of_the_same_studio_aside(
    enqueue: Callable[..., Job], project: Project, make_member: Callable[..., User], bob: User, worker_row: Worker
) -> None:
    carol = make_member("carol", Role.ARTIST, project)
    for _ in range(2):
        enqueue("heavy", units=100, actor=bob)
    claims.claim(GPU, worker_row)
    for n in range(3):
        enqueue(f"light {n}", units=10, actor=carol)
    order = []
    while (job := claims.claim(GPU, worker_row)) is not None:
        order.append(job.title)
    assert order == ["light 0", "light 1", "light 2", "heavy"]


@pytest.mark.django_db
def test_the_cpu_has_an_account_of_its_own(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    enqueue(queue=Job.CPU)
    claims.claim([Job.CPU], worker_row)
    assert set(Share.objects.values_list("group", flat=True)) == {"cpu"}


# -------------------------------------------------------------------------------------- position and time to start
@pytest.mark.django_db
def test_the_forecast_is_the_order_of_the_claims(
    enqueue: Callable[..., Job], other_project: Project, worker_row: Worker
) -> None:
    jobs = [enqueue(f"ours {n}", units=10 + n) for n in range(3)]
    jobs += [enqueue("theirs", units=5, project=other_project, actor=None)]
    places = queries.forecast()
    expected = sorted(jobs, key=lambda j: places[j.pk][0])
    start = 0.0
    for position, job in enumerate(expected, 1):
        assert places[job.pk] == (position, pytest.approx(start))
        start += job.estimated_seconds
    assert [claims.claim(GPU, worker_row).pk for _ in jobs] == [j.pk for j in expected]  # type: ignore[union-attr]


@pytest.mark.django_db
def test_two_lanes_start_two_jobs_at_once(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    Worker.objects.create(host="another", pid=2, lane="gpu", queues=GPU)
    for n in range(3):
        enqueue(f"job {n}", units=10)
    starts = sorted(start for _, start in queries.forecast().values())
    assert starts == [0.0, 0.0, pytest.approx(24.0)]


@pytest.mark.django_db
def test_what_runs_delays_what_waits_by_its_own_pace(enqueue: Callable[..., Job], worker_row: Worker) -> None:
    enqueue("running", units=100)
    running = claims.claim(GPU, worker_row)
    assert running is not None
    Job.objects.filter(pk=running.pk).update(step=40, measured={"steps_per_second": [[40, 2.0]]})
    waiting_job = enqueue("waiting")
    assert queries.forecast()[waiting_job.pk] == (1, pytest.approx(30.0))


@pytest.mark.django_db
def test_a_new_job_is_forecast_where_it_would_stand(
    enqueue: Callable[..., Job], project: Project, leo: User, worker_row: Worker
) -> None:
    for n in range(2):
        enqueue(f"bob's {n}", units=10)  # 24 s each
    assert queries.start_of_another(Job.STANDARD, project, leo, 100) == pytest.approx(24.0)
    Worker.objects.update(queues=[Job.CPU])
    assert queries.start_of_another(Job.STANDARD, project, leo, 100) is None


@pytest.mark.django_db
def test_a_short_job_is_forecast_at_the_next_checkpoint_of_a_training(
    enqueue: Callable[..., Job], worker_row: Worker
) -> None:
    enqueue("training", units=1000, is_short=False)
    training = claims.claim(GPU, worker_row)
    assert training is not None
    Job.objects.filter(pk=training.pk).update(step=100, measured={"seconds_left": [[100, 900.0]]})
    short, another = enqueue("short", units=10), enqueue("another", units=10)  # 24 s each
    long = enqueue("another training", units=500, is_short=False)
    places = {pk: start for pk, (_, start) in queries.forecast().items()}
    assert places == {short.pk: 60.0, another.pk: pytest.approx(84.0), long.pk: pytest.approx(948.0)}


@pytest.mark.django_db
def test_a_training_that_nearly_ends_is_not_forecast_longer_than_it_takes(
    enqueue: Callable[..., Job], worker_row: Worker
) -> None:
    enqueue("training", units=1000, is_short=False)
    training = claims.claim(GPU, worker_row)
    assert training is not None
    Job.objects.filter(pk=training.pk).update(step=990, measured={"seconds_left": [[990, 9.0]]})
    short = enqueue("short")
    assert queries.forecast()[short.pk] == (1, 9.0)
