"""What the frame around every page shows: where one can go, and who is here."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from collaboration.models import Project, User
from collaboration.notifications.fragments import bell
from collaboration.permissions import Verb, verbs_of
from gpu_worker import queries
from library.sign_ins import PASSWORD, SIGN_INS


def frame(request: HttpRequest) -> dict[str, Any]:
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {"sample_sign_ins": _sample_sign_ins()} if settings.SAMPLE_SIGN_INS else {}
    match = request.resolver_match
    slug = match.kwargs.get("project") if match else None
    projects = list(Project.objects.visible_to(request.user).only("id", "name", "slug", "studio_id"))
    current = next((p for p in projects if p.slug == slug), None)
    context: dict[str, Any] = {
        "me": request.user,
        "projects": projects,
        "current_project": current,
        "places": _places(request.user, current, match),
        "settings_url": reverse("collaboration:profile"),
        "bell": bell(request.user),
    }
    heads: dict[str, Any] = getattr(request, "live_heads", {})
    context["live"] = {"person": heads.get(f"person:{request.user.pk}", "")}
    if current is not None:
        context["live"] |= {"project": current.pk, "seq": heads.get(f"project:{current.pk}", "")}
        context |= {
            "queue_pulse": pulse(current),
            "find_url": reverse("collaboration:find", args=[current.slug]),
            "search_url": reverse("characters:gallery", args=[current.slug]),
        }
    return context


def _sample_sign_ins() -> list[dict[str, str]]:
    """The people of the sample project, to pick from on the sign-in page; none where there is no sample project."""
    if not User.objects.filter(email=SIGN_INS[0].email).exists():
        return []
    return [{"email": s.email, "role": s.words, "password": PASSWORD} for s in SIGN_INS]


def pulse(project: Project) -> dict[str, Any]:
    """What the machines do for the project: context of `components/pulse.html`."""
    now = queries.pulse(project)
    words = [f"{n} {word}" for n, word in ((now["running"], "running"), (now["waiting"], "waiting")) if n]
    return {
        "url": reverse("training:queue", args=[project.slug]),
        "refresh_url": reverse("pulse", args=[project.slug]),
        "working": now["running"] > 0,
        "waiting": now["waiting"],
        "text": ", ".join(words) or "Nothing running",
    }


def _places(user: User, project: Project | None, match: Any) -> list[dict[str, Any]]:
    if project is None:
        return []
    here = match.namespace if match else ""
    named = [
        ("Characters", "users", "characters:gallery", "characters"),
        ("Reviews", "list-checks", "reviews:reviews", "reviews"),
        ("Training", "activity", "training:queue", "training"),
        ("Activity", "history", "collaboration:activity", "activity"),
        ("People", "user-plus", "collaboration:people", "people"),
    ]
    if Verb.SETTINGS in verbs_of(user, project):
        named.append(("Settings", "settings", "collaboration:settings", "settings"))
    view = match.view_name if match else ""
    return [
        {
            "label": label,
            "icon": icon,
            "url": reverse(name, args=[project.slug]),
            "current": view == name or (here == key and label in ("Characters", "Reviews", "Training")),
        }
        for label, icon, name, key in named
    ]
