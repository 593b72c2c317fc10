"""What the frame around every page shows live."""

from __future__ import annotations

from django.template.loader import render_to_string

from collaboration.live.fragments import Swap, project_page
from collaboration.models import Event, Project
from config.context import pulse as pulse_context


def pulse(event: Event, audience: frozenset[str]) -> list[Swap]:
    """What the machines do for the project."""

    def html() -> str:
        project = Project.objects.get(pk=event.stream.key)
        return render_to_string("components/pulse.html", {"queue_pulse": pulse_context(project)})

    return [Swap("queue-pulse", html, page=project_page(event))]
