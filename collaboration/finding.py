"""Finding by name what a project has. The apps above answer through the slot `project.find`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from collaboration.models import Project
from collaboration.wired import entries

MOST = 10


@dataclass(frozen=True, slots=True)
class Found:
    title: str
    kind: str
    """In a word, for people: Character."""
    url: str
    picture: str = ""
    """Address of a small picture."""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def find(project: Project, name: str) -> list[Found]:
    """The best first. Callables of the slot take (project, name, how many at most)."""
    if not name or "\0" in name:
        return []
    found = [row for answer in entries("SLOTS", "project.find") for row in answer(project, name, MOST)]
    return sorted(found, key=lambda row: not row.title.casefold().startswith(name.casefold()))[:MOST]
