"""What events of training change on open pages."""

from __future__ import annotations

from collaboration.live.fragments import Swap, project_page, refetched
from collaboration.models import Event


def pages(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The queue, and the page of the run."""
    found = refetched(project_page(event, "queue"), "content")
    if run := event.payload.get("run_id"):
        found += refetched(f"training:{run}", "content")
    return found


def progress(event: Event, audience: frozenset[str]) -> list[Swap]:
    """A training has come further: the queue asks for itself."""
    return [Swap("*", how="refresh", page=project_page(event, "queue"))]
