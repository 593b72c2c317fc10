"""The queue, one run, a new run, and what can be done with them. All works without JavaScript."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from characters.models import Character
from characters.permissions import access_character
from characters.queries import active_adapter
from collaboration.pages import refused, render_region, undone
from collaboration.permissions import Verb, access_project
from collaboration.requests import AuthenticatedRequest
from gpu_worker.models import Adapter
from gpu_worker.selection import NoModel
from training import actions, fragments, ordering, queries
from training.models import TrainingRun
from training.permissions import access_adapter, access_run


# -------------------------------------------------------------------------------------------------------------- pages
@require_safe
@login_required
def queue(request: AuthenticatedRequest, project: str) -> HttpResponse:
    film = access_project(request.user, project)
    before = request.GET.get("before", "")
    context = fragments.queue(request, film, before)
    if before and request.htmx:
        return render(request, "training/_ended.html", context)
    return render_region(request, "training/queue.html", "training/_queue.html", context)


@require_safe
@login_required
def run(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    context = fragments.run(request, _run(request, project, run_id))
    return render_region(request, "training/run.html", "training/_run.html", context)


@require_safe
@login_required
def tab(request: AuthenticatedRequest, project: str, character_id: UUID) -> HttpResponse:
    """The region of the character's page that asks for itself while a training is under way."""
    character = _character(request, project, character_id, Verb.SEE)
    if not request.htmx:
        return redirect(fragments.CHARACTER_TAB.url(character))
    return HttpResponse(fragments.CHARACTER_TAB.render(request, character))


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: AuthenticatedRequest, project: str, character_id: UUID) -> HttpResponse:
    """GET shows what would be trained and how, and checks it; POST starts it."""
    character = _character(request, project, character_id, Verb.TRAIN)
    try:
        order = ordering.Order.read(request, character)
    except NoModel as error:
        return render(request, "training/new.html", ordering.heading(character) | {"refusal": str(error)}, status=422)
    status = 200
    if request.method == "POST":
        if started := order.start(request.user):
            messages.success(request, f"{character.name} is in the queue.")
            return redirect(started)
        status = 422
    return render(request, "training/new.html", order.context(), status=status)


# ------------------------------------------------------------------------------------------------------------ one run
def _act(request: AuthenticatedRequest, project: str, run_id: UUID, name: str) -> HttpResponse:
    """Do `actions.<name>` with the run, and go back to where the button was."""
    run = _run(request, project, run_id, Verb.TRAIN)
    try:
        getattr(actions, name)(run=run, actor=request.user)
    except ValidationError as error:
        return _refused(request, error, _back(request, run.get_absolute_url()))
    return redirect(_back(request, run.get_absolute_url()))


@require_POST
@login_required
def pause(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    return _act(request, project, run_id, "pause_training")


@require_POST
@login_required
def resume(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    return _act(request, project, run_id, "resume_training")


@require_POST
@login_required
def cancel(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    return _act(request, project, run_id, "cancel_training")


@require_POST
@login_required
def retry(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    return _act(request, project, run_id, "retry_training")


@require_POST
@login_required
def trash(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    run = _run(request, project, run_id, Verb.TRAIN)
    try:
        actions.trash_run(run=run, actor=request.user)
    except ValidationError as error:
        return _refused(request, error, run.get_absolute_url())
    undo = "undo:" + reverse("training:restore", args=[project, run.pk])
    messages.success(request, f"The training of {run.character.name} was removed from the list.", extra_tags=undo)
    queue_url = reverse("training:queue", args=[project])
    back = _back(request, queue_url)
    return redirect(queue_url if back == run.get_absolute_url() else back)


@require_POST
@login_required
def restore(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    run = _run(request, project, run_id, Verb.TRAIN)
    actions.restore_run(run=run, actor=request.user)
    return undone(request, "training:queue", project)


# -------------------------------------------------------------------------------------------------------- checkpoints
@require_POST
@login_required
def compare(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    return _act(request, project, run_id, "start_comparison")


@require_POST
@login_required
def compare_cancel(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    return _act_on_comparison(request, project, run_id, "cancel_comparison")


@require_POST
@login_required
def compare_retry(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    return _act_on_comparison(request, project, run_id, "retry_comparison")


def _act_on_comparison(request: AuthenticatedRequest, project: str, run_id: UUID, name: str) -> HttpResponse:
    """Do `actions.<name>` with the run's latest comparison, and go back to where the button was."""
    run = _run(request, project, run_id, Verb.TRAIN)
    comparison = queries.latest_comparison(run)
    if comparison is None:
        raise Http404
    try:
        getattr(actions, name)(comparison=comparison, actor=request.user)
    except ValidationError as error:
        return _refused(request, error, _back(request, run.get_absolute_url()))
    return redirect(_back(request, run.get_absolute_url()))


@require_POST
@login_required
def checkpoint_use(request: AuthenticatedRequest, project: str, run_id: UUID, step: int) -> HttpResponse:
    """Make the checkpoint of that step the active adapter; the toast switches back."""
    run = _run(request, project, run_id, Verb.TRAIN)
    before = active_adapter(run.character)
    try:
        adapter = actions.use_checkpoint(run=run, step=step, actor=request.user)
    except ValidationError as error:
        return _refused(request, error, _back(request, run.get_absolute_url()))
    _say_active(request, adapter, before, f", the checkpoint of step {step:,}")
    return redirect(_back(request, run.get_absolute_url()))


@require_POST
@login_required
def checkpoints_erase(request: AuthenticatedRequest, project: str, run_id: UUID) -> HttpResponse:
    run = _run(request, project, run_id, Verb.DELETE)
    try:
        count = actions.erase_checkpoints(run=run, actor=request.user)
    except ValidationError as error:
        return _refused(request, error, _back(request, run.get_absolute_url()))
    what = "One checkpoint has" if count == 1 else f"{count} checkpoints have"
    messages.success(request, f"{what} been erased. The adapter versions stay.")
    return redirect(_back(request, run.get_absolute_url()))


# ----------------------------------------------------------------------------------------------------------- adapters
@require_POST
@login_required
def adapter_activate(request: AuthenticatedRequest, project: str, adapter_id: UUID) -> HttpResponse:
    adapter = _adapter(request, project, adapter_id, Verb.TRAIN)
    before = active_adapter(Character(pk=adapter.subject_id))
    try:
        actions.activate_adapter(adapter=adapter, actor=request.user)
    except ValidationError as error:
        messages.error(request, error.messages[0])
    else:
        _say_active(request, adapter, before)
    if request.htmx and not request.htmx.boosted:  # the undo of a toast, which stands in a page of any kind
        return HttpResponseClientRefresh()
    return redirect(_back(request, reverse("training:queue", args=[adapter.project.slug])))


def _say_active(request: AuthenticatedRequest, adapter: Adapter, before: Adapter | None, also: str = "") -> None:
    """With the way back to the version that was active before."""
    undo = ""
    if before is not None and before.pk != adapter.pk:
        undo = "undo:" + reverse("training:adapter_activate", args=[adapter.project.slug, before.pk])
    text = f"Pictures are made with adapter v{adapter.version}{also} from now on."
    messages.success(request, text, extra_tags=undo)


@require_POST
@login_required
def adapter_erase(request: AuthenticatedRequest, project: str, adapter_id: UUID) -> HttpResponse:
    adapter = _adapter(request, project, adapter_id, Verb.DELETE)
    actions.erase_adapter(adapter=adapter, actor=request.user)
    messages.success(request, f"Adapter v{adapter.version} has been erased.")
    return redirect(_back(request, reverse("training:queue", args=[adapter.project.slug])))


def _refused(request: AuthenticatedRequest, error: ValidationError, back: str) -> HttpResponse:
    """Say why it was not done: where the button stood, or on the page that comes."""
    if request.htmx:
        return refused(error.messages[0])
    messages.error(request, error.messages[0])
    return redirect(back)


# ------------------------------------------------------------------------------------------------------------- access
def _run(request: AuthenticatedRequest, project: str, run_id: UUID, verb: Verb = Verb.SEE) -> TrainingRun:
    run = access_run(request.user, run_id, verb=verb)
    if run.character.project.slug != project:
        raise Http404
    return run


def _adapter(request: AuthenticatedRequest, project: str, adapter_id: UUID, verb: Verb) -> Adapter:
    adapter = access_adapter(request.user, adapter_id, verb=verb)
    if adapter.project.slug != project:
        raise Http404
    return adapter


def _character(request: AuthenticatedRequest, project: str, character_id: UUID, verb: Verb) -> Character:
    character = access_character(request.user, character_id, verb=verb)
    if character.project.slug != project:
        raise Http404
    return character


def _back(request: AuthenticatedRequest, otherwise: str) -> str:
    """Where the button stood: an address of ours in the field `next`."""
    wanted = request.POST.get("next", "")
    allowed = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if allowed and wanted.startswith("/") else otherwise
