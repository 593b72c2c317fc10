"""The pages of training: who may see and do what, and that they work without JavaScript."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from characters import actions as characters
from characters.models import REFERENCES_NEEDED, Character
from collaboration import actions as people
from collaboration.models import Event, User
from gpu_worker import actions as jobs
from gpu_worker import claims
from gpu_worker.models import Adapter, Job, Worker
from training import actions, queries, recipes
from training.models import TrainingRun
from training.recipes import Recipe

pytestmark = pytest.mark.django_db
SHORT = Recipe(rank=4, alpha=8.0, learning_rate=1e-3, steps=6, batch_size=2, resolution=32)
GPU = list(Job.GPU_QUEUES)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def run(mara: Character, bob: User) -> TrainingRun:
    return actions.start_training(character=mara, tier="standard", recipe=SHORT, actor=bob)


@pytest.fixture
def adapter(mara: Character) -> Adapter:
    return jobs.create_adapter(
        project=mara.project,
        subject=("character", mara.pk),
        activate=False,
        sha256="0" * 64,
        pack="tiny",
        pack_version="1.0",
        architecture="stable-diffusion-v1",
        trigger="sks",
        rank=4,
        licence={"name": "CC0"},
    )


def url(name: str, of: Any) -> str:
    project = of.project if isinstance(of, Adapter | Character) else of.character.project
    return reverse(f"training:{name}", args=[project.slug, of.pk])


def queue_url(run: TrainingRun) -> str:
    return reverse("training:queue", args=[run.character.project.slug])


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def assert_strict(response: Any) -> None:
    """Nothing in the page that the content security policy forbids."""
    page = response.content.decode()
    assert not re.search(r"\sstyle=|<style|hx-on|\son[a-z]+=|javascript:", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)


# ------------------------------------------------------------------------------------------------------------- access
RUN_POSTS = ["pause", "resume", "cancel", "retry", "trash", "restore"]


@pytest.mark.parametrize("name", ["queue", "run", "tab"])
def test_a_viewer_sees_and_a_stranger_learns_nothing(
    client_of: Callable[[User], Client], vera: User, charlie: User, run: TrainingRun, name: str
) -> None:
    address = {"queue": queue_url(run), "run": url("run", run), "tab": url("tab", run.character)}[name]
    assert client_of(vera).get(address, headers=HTMX).status_code == 200
    assert client_of(charlie).get(address, headers=HTMX).status_code == 404
    assert Client().get(address).status_code == 302


@pytest.mark.parametrize("name", RUN_POSTS)
def test_only_who_may_train_changes_a_run(
    client_of: Callable[[User], Client], rita: User, charlie: User, run: TrainingRun, name: str
) -> None:
    assert client_of(rita).post(url(name, run)).status_code == 403
    assert client_of(charlie).post(url(name, run)).status_code == 404
    assert Job.objects.get(pk=run.job_id).state == Job.WAITING


@pytest.mark.parametrize("method", ["get", "post"])
def test_only_who_may_train_orders_a_training(
    client_of: Callable[[User], Client], rita: User, charlie: User, mara: Character, method: str
) -> None:
    assert getattr(client_of(rita), method)(url("new", mara)).status_code == 403
    assert getattr(client_of(charlie), method)(url("new", mara)).status_code == 404
    assert not TrainingRun.objects.exists()


def test_erasing_an_adapter_is_for_who_may_delete(
    client_of: Callable[[User], Client], bob: User, charlie: User, adapter: Adapter
) -> None:
    assert client_of(bob).post(url("adapter_erase", adapter)).status_code == 403
    assert client_of(charlie).post(url("adapter_erase", adapter)).status_code == 404
    assert client_of(charlie).post(url("adapter_activate", adapter)).status_code == 404
    adapter.refresh_from_db()
    assert adapter.erased_at is None


@pytest.mark.parametrize("name", RUN_POSTS)
def test_changes_are_posts(client_of: Callable[[User], Client], bob: User, run: TrainingRun, name: str) -> None:
    assert client_of(bob).get(url(name, run)).status_code == 405


@pytest.mark.parametrize("name", ["adapter_activate", "adapter_erase"])
def test_changes_to_adapters_are_posts(
    client_of: Callable[[User], Client], alice: User, adapter: Adapter, name: str
) -> None:
    assert client_of(alice).get(url(name, adapter)).status_code == 405


@pytest.mark.parametrize("name", ["queue", "run"])
def test_pages_take_no_posts(client_of: Callable[[User], Client], bob: User, run: TrainingRun, name: str) -> None:
    assert client_of(bob).post(queue_url(run) if name == "queue" else url("run", run)).status_code == 405


def test_another_project_in_the_address_finds_nothing(
    client_of: Callable[[User], Client], bob: User, run: TrainingRun
) -> None:
    for name, pk in (("run", run.pk), ("new", run.character.pk), ("run", uuid.uuid4())):
        address = reverse(f"training:{name}", args=["elsewhere" if pk == run.pk else run.character.project.slug, pk])
        if name != "new":
            assert client_of(bob).get(address).status_code == 404


# -------------------------------------------------------------------------------------------------------------- queue
def test_an_empty_queue_says_what_to_do(client_of: Callable[[User], Client], vera: User, mara: Character) -> None:
    response = client_of(vera).get(reverse("training:queue", args=[mara.project.slug]))
    assert "Nothing has been trained yet" in text(response)
    assert "data-refresh-url" not in response.content.decode().partition("<main")[2]
    assert_strict(response)


def test_a_waiting_run_says_its_place_and_why(
    client_of: Callable[[User], Client], vera: User, run: TrainingRun
) -> None:
    response = client_of(vera).get(queue_url(run))
    assert "No worker for this queue is running" in text(response)
    Worker.objects.create(host="elsewhere", pid=1, lane="gpu", queues=GPU)
    response = client_of(vera).get(queue_url(run))
    assert "Starts in a moment · Next in line." in text(response)
    assert_strict(response)


def test_what_is_ahead_delays_the_start(
    client_of: Callable[[User], Client], vera: User, run: TrainingRun, leo: User
) -> None:
    worker = Worker.objects.create(host="elsewhere", pid=1, lane="gpu", queues=GPU)
    Job.objects.filter(pk=run.job_id).update(state=Job.RUNNING, worker=worker, claimed_at=timezone.now(), step=2)
    Job.objects.filter(pk=run.job_id).update(measured={"steps_per_second": [[2, 4 / 130]]}, total=6)
    other = Character.objects.create(project=run.character.project, name="Noor", noun="man")
    waiting = TrainingRun.objects.get(pk=run.pk)
    job = Job.objects.get(pk=run.job_id)
    job.pk, job.state, job.worker, job.step, job.measured, job._state.adding = (
        uuid.uuid4(),
        Job.WAITING,
        None,
        0,
        {},
        True,
    )
    job.save()
    waiting.pk, waiting.job, waiting.character, waiting._state.adding = uuid.uuid4(), job, other, True
    waiting.save()
    page = text(client_of(vera).get(queue_url(run)))
    assert "Now running" in page
    assert "Starts in about 2 min" in page


def test_a_running_run_shows_progress_and_asks_for_itself(
    client_of: Callable[[User], Client], bob: User, run: TrainingRun
) -> None:
    row = Worker.objects.create(host="elsewhere", pid=1, lane="gpu", queues=GPU)
    job = claims.claim(GPU, row)
    assert job is not None
    claims.beat(job, step=3, measured={"loss": [[1, 0.5], [2, 0.4], [3, 0.25]], "seconds_left": [[3, 42.0]]})
    client = client_of(bob)
    for address in (queue_url(run), url("run", run)):
        response = client.get(address)
        assert "Step 3 of 6 · loss 0.250" in text(response)
        assert "about 40 s left" in text(response)
        region = client.get(address, headers=HTMX).content.decode()
        assert f'data-refresh-url="{address}"' in region
        assert "<html" not in region
        assert_strict(response)


def test_an_ended_run_does_not_ask_any_more(client_of: Callable[[User], Client], bob: User, run: TrainingRun) -> None:
    actions.cancel_training(run=run, actor=bob)
    for address in (queue_url(run), url("run", run)):
        assert "data-refresh-url" not in client_of(bob).get(address, headers=HTMX).content.decode()


def test_ended_runs_come_in_pages(
    client_of: Callable[[User], Client], vera: User, run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "RUNS_PER_PAGE", 3)
    template, job = TrainingRun.objects.get(pk=run.pk), Job.objects.get(pk=run.job_id)
    for n in range(7):
        job.pk, job.state, job._state.adding = uuid.uuid4(), Job.DONE, True
        job.save()
        template.pk, template.job, template._state.adding = uuid.uuid4(), job, True
        template.created_at = timezone.now() - timedelta(minutes=n // 2)  # pairs at the same moment
        template.save()
    client, seen, address = client_of(vera), [], queue_url(run)
    for _ in range(5):
        if not address:
            break
        page = client.get(address, headers=HTMX).content.decode()
        seen += re.findall(r'id="run-([0-9a-f-]+)"', page)
        more = re.search(r'class="more" hx-get="([^"]+)"', page)
        address = more[1].replace("&amp;", "&") if more else ""
    assert len(seen) == 8
    assert len(set(seen)) == 8
    assert client.get(queue_url(run) + "?before=nonsense").status_code == 200


def test_the_number_of_queries_does_not_grow_with_the_runs(
    client_of: Callable[[User], Client], vera: User, run: TrainingRun, django_assert_max_num_queries: Any
) -> None:
    template, job = TrainingRun.objects.get(pk=run.pk), Job.objects.get(pk=run.job_id)
    for _ in range(15):
        job.pk, job.state, job._state.adding = uuid.uuid4(), Job.DONE, True
        job.save()
        template.pk, template.job, template._state.adding = uuid.uuid4(), job, True
        template.save()
    client = client_of(vera)
    client.get(queue_url(run))
    with django_assert_max_num_queries(18):
        client.get(queue_url(run))


# ------------------------------------------------------------------------------------------------------------ one run
def test_a_failed_run_says_why_and_offers_to_go_on(
    client_of: Callable[[User], Client], bob: User, vera: User, run: TrainingRun
) -> None:
    Job.objects.filter(pk=run.job_id).update(
        state=Job.FAILED, error="The memory was too small.", error_detail="Traceback: secret", checkpoint_step=4
    )
    page = client_of(bob).get(url("run", run))
    assert "The memory was too small." in text(page)
    assert "Continue from step 4" in text(page)
    assert "secret" not in text(page), "details are for operators"
    assert "Continue" not in text(client_of(vera).get(url("run", run)))


def test_names_are_escaped(client_of: Callable[[User], Client], bob: User, run: TrainingRun) -> None:
    Character.objects.update(name='<img src=x onerror=alert(1)>"')
    for address in (queue_url(run), url("run", run), url("new", run.character)):
        assert b"<img src=x" not in client_of(bob).get(address).content


def test_buttons_change_the_run_and_lead_back(client_of: Callable[[User], Client], bob: User, run: TrainingRun) -> None:
    client, back = client_of(bob), queue_url(run)
    states = []
    for name in ("pause", "resume", "cancel", "retry"):
        response = client.post(url(name, run), {"next": back})
        assert (response.status_code, response["Location"]) == (302, back)
        states.append(Job.objects.get(pk=run.job_id).state)
    assert states == [Job.PAUSED, Job.WAITING, Job.CANCELLED, Job.WAITING]


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", ""])
def test_nobody_is_led_elsewhere(
    client_of: Callable[[User], Client], bob: User, run: TrainingRun, elsewhere: str
) -> None:
    response = client_of(bob).post(url("pause", run), {"next": elsewhere})
    assert response["Location"] == url("run", run)


def test_what_does_not_fit_the_state_is_said(client_of: Callable[[User], Client], bob: User, run: TrainingRun) -> None:
    client = client_of(bob)
    client.post(url("cancel", run))
    response = client.post(url("pause", run), follow=True)
    assert "ended already" in text(response)
    response = client.post(url("pause", run), headers=HTMX)
    assert response.status_code == 422
    assert "ended already" in response.json()["detail"]


def test_the_same_button_twice_with_one_key_acts_once(
    client_of: Callable[[User], Client], bob: User, mara: Character
) -> None:
    client = client_of(bob)
    sent = {"data": "tier=standard&idempotency_key=one", "content_type": "application/x-www-form-urlencoded"}
    first, second = client.post(url("new", mara), **sent), client.post(url("new", mara), **sent)
    assert first.status_code == second.status_code == 302
    assert first["Location"] == second["Location"]
    assert TrainingRun.objects.count() == 1


def test_an_ended_run_is_removed_and_brought_back(
    client_of: Callable[[User], Client], bob: User, run: TrainingRun
) -> None:
    actions.cancel_training(run=run, actor=bob)
    client = client_of(bob)
    response = client.post(url("trash", run), follow=True)
    assert "was removed from the list" in text(response)
    assert f"run-{run.pk}" not in response.content.decode()
    client.post(url("restore", run))
    assert f"run-{run.pk}" in client.get(queue_url(run)).content.decode()


# ---------------------------------------------------------------------------------------------------------- a new one
def test_the_form_shows_preset_references_checks_and_estimate(
    client_of: Callable[[User], Client], bob: User, mara: Character
) -> None:
    response = client_of(bob).get(url("new", mara))
    page = response.content.decode()
    assert len(re.findall(r'name="reference" value="[0-9a-f-]+" checked', page)) == 8
    assert re.search(r'name="steps" value="4"', page)
    assert "8 to learn from, 2 more kept to measure with; standard needs 10." in text(response)
    assert "there is nothing to train" in text(response)
    assert "No worker for it is running" in text(response)
    assert_strict(response)


def form_of(response: Any) -> dict[str, Any]:
    """What a browser would send: every field of the page's form as it stands."""
    page = response.content.decode()
    fields: dict[str, Any] = dict(re.findall(r'<input[^>]*name="([a-z_]+)" value="([^"]*)"', page))
    fields["reference"] = re.findall(r'name="reference" value="([0-9a-f-]+)" checked', page)
    fields["priority"] = "1"
    fields["tier"] = "standard"
    return {k: v for k, v in fields.items() if k != "csrfmiddlewaretoken"}


def test_train_starts_with_what_stands_in_the_form(
    client_of: Callable[[User], Client], bob: User, mara: Character
) -> None:
    client = client_of(bob)
    form = form_of(client.get(url("new", mara))) | {"steps": "12", "learning_rate": "2e-4"}
    response = client.post(url("new", mara), form)
    run = TrainingRun.objects.get()
    assert response["Location"] == url("run", run)
    assert (run.recipe["steps"], run.recipe["learning_rate"], run.recipe["rank"]) == (12, 2e-4, 4)
    assert len(run.references) == 8


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"learning_rate": "nan"}, "The learning rate must be a number above 0 and at most 1"),
        ({"learning_rate": "inf"}, "The learning rate must be a number above 0 and at most 1"),
        ({"learning_rate": "fast"}, "Write a number."),
        ({"steps": "99999"}, "must be from 1 to 20,000; 99,999 is not."),
        ({"steps": "9" * 400}, "The number of steps must be a whole number from 1 to 20,000."),
        ({"tier": "high"}, "has no recipe for the high tier"),
        ({"reference": []}, "Choose 8 more"),
        ({"priority": "3"}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_is_said_beside_what_was_typed(
    client_of: Callable[[User], Client], bob: User, mara: Character, change: dict[str, Any], sentence: str
) -> None:
    client = client_of(bob)
    form = form_of(client.get(url("new", mara))) | {"rank": "7"} | change
    response = client.post(url("new", mara), form)
    assert response.status_code == 422
    assert sentence in text(response)
    if "tier" not in change:
        assert 'name="rank" value="7"' in response.content.decode(), "what was typed stays"
    assert not TrainingRun.objects.exists()


def test_a_lead_may_hurry(client_of: Callable[[User], Client], leo: User, mara: Character) -> None:
    client = client_of(leo)
    client.post(url("new", mara), form_of(client.get(url("new", mara))) | {"priority": "3"})
    assert Job.objects.get(kind="training.train").priority == 3


def test_too_few_references_cannot_be_sent(
    client_of: Callable[[User], Client], bob: User, empty_mara: Character, add_references: Callable[..., Any]
) -> None:
    add_references(empty_mara, 6)
    client = client_of(bob)
    response = client.get(url("new", empty_mara))
    assert "Mara has 6 of the 10 references that standard needs. Add 4 more." in text(response)
    assert re.search(r'<button class="button primary wide" type="submit" disabled', response.content.decode())
    assert client.post(url("new", empty_mara), {"tier": "standard"}).status_code == 422


def test_leaving_references_out_changes_the_checks(
    client_of: Callable[[User], Client], bob: User, mara: Character
) -> None:
    client = client_of(bob)
    form = form_of(client.get(url("new", mara)))
    form["reference"] = form["reference"][:5]
    response = client.get(url("new", mara), form)
    assert "This selection has 7 of the 10 references that standard needs. Choose 3 more." in text(response)


def test_who_trains_already_is_led_to_the_training(
    client_of: Callable[[User], Client], bob: User, run: TrainingRun
) -> None:
    response = client_of(bob).get(url("new", run.character))
    assert "is being trained already" in text(response)
    assert url("run", run) in response.content.decode()


def test_another_tier_brings_its_own_recipe(
    client_of: Callable[[User], Client], bob: User, mara: Character, monkeypatch: pytest.MonkeyPatch
) -> None:
    presets = {"standard": SHORT, "high": Recipe(rank=8, steps=9, resolution=32)}
    monkeypatch.setattr(recipes, "preset", lambda tier, pack: presets.get(tier))
    monkeypatch.setattr(recipes, "presets", lambda pack: presets)
    monkeypatch.setitem(REFERENCES_NEEDED, "high", 10)
    client = client_of(bob)
    form = form_of(client.get(url("new", mara))) | {"tier": "high", "priority": "0"}
    assert (form["preset_of"], form["steps"]) == ("standard", "6")
    assert client.post(url("new", mara), form).status_code == 302
    run = TrainingRun.objects.get()
    assert (run.tier, run.recipe["steps"], run.recipe["rank"], run.job.priority) == ("high", 9, 8, 0)


@pytest.mark.parametrize(
    ("caption", "sentence"),
    [
        ("x" * 401, "401 characters; at most 400 fit."),
        ("smile \u202eevil", "has invisible control characters."),
        ("smile\0", "has invisible control characters."),
    ],
)
def test_a_caption_that_cannot_be_kept_is_said(
    client_of: Callable[[User], Client], bob: User, mara: Character, caption: str, sentence: str
) -> None:
    client = client_of(bob)
    form = form_of(client.get(url("new", mara)))
    response = client.post(url("new", mara), form | {f"caption-{form['reference'][0]}": caption})
    assert response.status_code == 422
    assert sentence in text(response)
    assert not TrainingRun.objects.exists()


# ----------------------------------------------------------------------------------------------- the character's tab
def test_the_tab_shows_versions_and_what_may_be_done_with_them(
    client_of: Callable[[User], Client], alice: User, vera: User, mara: Character, adapter: Adapter
) -> None:
    mine = client_of(alice).get(url("tab", mara), headers=HTMX).content.decode()
    assert url("adapter_activate", adapter) in mine
    assert url("adapter_erase", adapter) in mine
    assert url("new", mara) in mine
    theirs = client_of(vera).get(url("tab", mara), headers=HTMX).content.decode()
    assert "v1" in theirs
    assert url("adapter_activate", adapter) not in theirs
    assert url("new", mara) not in theirs


def test_an_older_version_is_activated_from_the_tab(
    client_of: Callable[[User], Client], bob: User, mara: Character, adapter: Adapter
) -> None:
    response = client_of(bob).post(url("adapter_activate", adapter), {"next": mara.get_absolute_url()})
    assert response["Location"] == mara.get_absolute_url()
    mara.refresh_from_db()
    assert mara.adapter_version == 1


def test_an_adapter_is_not_found_under_another_project(
    client_of: Callable[[User], Client], alice: User, mara: Character, adapter: Adapter
) -> None:
    elsewhere = people.create_project(studio=mara.project.studio, name="Elsewhere", actor=alice)
    for name in ("adapter_activate", "adapter_erase"):
        where = reverse(f"training:{name}", args=[elsewhere.slug, adapter.pk])
        assert client_of(alice).post(where).status_code == 404


def test_nothing_is_activated_in_the_trash(
    client_of: Callable[[User], Client], bob: User, mara: Character, adapter: Adapter
) -> None:
    characters.trash_character(character=mara, actor=bob)
    response = client_of(bob).post(url("adapter_activate", adapter), follow=True)
    assert "Mara is in the trash. Restore the character first." in text(response)
    adapter.refresh_from_db()
    assert not adapter.is_active


def test_the_queries_of_the_tab_do_not_grow(
    client_of: Callable[[User], Client], bob: User, run: TrainingRun, django_assert_max_num_queries: Any
) -> None:
    client, where = client_of(bob), url("tab", run.character)
    actions.cancel_training(run=run, actor=bob)
    fields = {"pack": "tiny", "pack_version": "1.0", "architecture": "stable-diffusion-v1", "trigger": "sks"}

    def version() -> None:
        jobs.create_adapter(
            project=run.character.project,
            subject=("character", run.character_id),
            activate=False,
            sha256="0" * 64,
            rank=4,
            licence={"name": "CC0"},
            **fields,
        )

    version()
    client.get(where, headers=HTMX)
    with django_assert_max_num_queries(40) as before:
        client.get(where, headers=HTMX)
    for _ in range(4):
        version()
        actions.cancel_training(
            run=actions.start_training(character=run.character, tier="standard", recipe=SHORT, actor=bob), actor=bob
        )
    with django_assert_max_num_queries(len(before)):
        client.get(where, headers=HTMX)


def test_the_tab_stands_on_the_page_of_the_character(
    client_of: Callable[[User], Client], bob: User, run: TrainingRun
) -> None:
    response = client_of(bob).get(url("tab", run.character), follow=True)
    assert response.status_code == 200
    assert 'id="training-tab"' in response.content.decode()
    assert_strict(response)


# ------------------------------------------------------------------------------------------------------- the operator
def test_the_operator_sees_runs_and_acts_by_actions(
    client_of: Callable[[User], Client], make_user: Callable[..., User], run: TrainingRun
) -> None:
    olga = make_user("olga", is_staff=True, is_superuser=True)
    client, where = client_of(olga), reverse("admin:training_trainingrun_changelist")
    assert "Mara" in client.get(where + "?trashed=no").content.decode()
    assert client.get(reverse("admin:training_trainingrun_add")).status_code == 403
    chosen = {"_selected_action": str(run.pk)}
    assert "still under way" in text(client.post(where, chosen | {"action": "trash"}, follow=True))
    for action in ("cancel", "trash"):
        client.post(where, chosen | {"action": action})
    run.refresh_from_db()
    assert run.trashed_at is not None
    told = Event.objects.filter(kind__in=["training.cancelled", "training.trashed"])
    assert {event.actor for event in told} == {olga}
