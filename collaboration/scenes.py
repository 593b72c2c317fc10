"""Writes about scenes and shots: one transaction, one event each."""

from __future__ import annotations

from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from collaboration import events
from collaboration.models import Project, Scene, Shot, User
from collaboration.names import clean_code, clean_name, clean_text

Direction = Literal["up", "down"]
DIRECTIONS: dict[str, Direction] = {"up": "up", "down": "down"}


class CodeTaken(ValidationError):
    def __init__(self, code: str, place: str) -> None:
        super().__init__(f"{code} is taken by another {place}. Choose another code.", code="code_taken")


def create_scene(*, project: Project, code: str, name: str = "", actor: User) -> Scene:
    """Add a scene at the end. Raises CodeTaken."""
    code, name = clean_code(code), _optional_name(name)
    with transaction.atomic():
        scene = Scene(project=project, code=code, name=name, order=_next_order(project.scenes.all()))
        _save(scene, project.scenes.all())
        events.record(project, events.SceneCreated(scene_id=scene.pk, code=code, name=name), actor=actor)
    return scene


def change_scene(*, scene: Scene, code: str, name: str, actor: User) -> Scene:
    """Raises CodeTaken."""
    return _change(scene, {"code": clean_code(code), "name": _optional_name(name)}, actor)


def create_shot(*, scene: Scene, code: str, description: str = "", actor: User) -> Shot:
    """Add a shot at the end of the scene. Raises CodeTaken."""
    code, description = clean_code(code), clean_text(description, limit=2000)
    with transaction.atomic():
        shot = Shot(scene=scene, code=code, description=description, order=_next_order(scene.shots.all()))
        _save(shot, scene.shots.all())
        happening = events.ShotCreated(shot_id=shot.pk, scene=scene.code, code=code)
        events.record(scene.project, happening, actor=actor)
    return shot


def change_shot(*, shot: Shot, code: str, description: str, actor: User) -> Shot:
    """Raises CodeTaken."""
    return _change(shot, {"code": clean_code(code), "description": clean_text(description, limit=2000)}, actor)


def move(*, row: Scene | Shot, direction: Direction, actor: User) -> None:
    """Swap a scene with its neighbour in the project, or a shot with its neighbour in the scene.

    The first cannot go up, nor the last down: then nothing happens.
    """
    with transaction.atomic():
        rows = list(_siblings(row).present().select_for_update().order_by("order", "code"))
        here = next((i for i, r in enumerate(rows) if r.pk == row.pk), None)
        there = -1 if here is None else here + (1 if direction == "down" else -1)
        if here is None or not 0 <= there < len(rows):
            return
        rows[here], rows[there] = rows[there], rows[here]
        for n, sibling in enumerate(rows, 1):
            sibling.order = n * 10
        type(row).objects.bulk_update(rows, ["order"])
        if isinstance(row, Scene):
            moved: events.Happening = events.SceneMoved(scene_id=row.pk, code=row.code, direction=direction)
        else:
            moved = events.ShotMoved(shot_id=row.pk, scene=row.scene.code, code=row.code, direction=direction)
        events.record(project_of(row), moved, actor=actor)


def trash(*, row: Scene | Shot, actor: User) -> None:
    """Put a scene (with its shots) or a shot into the trash, from which `restore` brings it back."""
    with transaction.atomic():
        if not type(row).objects.present().filter(pk=row.pk).update(trashed_at=timezone.now()):
            return
        if isinstance(row, Scene):
            happening: events.Happening = events.SceneTrashed(scene_id=row.pk, code=row.code)
        else:
            happening = events.ShotTrashed(shot_id=row.pk, scene=row.scene.code, code=row.code)
        events.record(project_of(row), happening, actor=actor)


def restore(*, row: Scene | Shot, actor: User) -> None:
    """Take a scene or a shot out of the trash. Raises CodeTaken when another one has its code by now."""
    with transaction.atomic():
        _refuse_taken(row, _siblings(row))
        try:
            with transaction.atomic():
                back = type(row).objects.filter(pk=row.pk).exclude(trashed_at=None).update(trashed_at=None)
        except IntegrityError:
            raise CodeTaken(row.code, _place(row)) from None
        if not back:
            return
        if isinstance(row, Scene):
            happening: events.Happening = events.SceneRestored(scene_id=row.pk, code=row.code)
        else:
            happening = events.ShotRestored(shot_id=row.pk, scene=row.scene.code, code=row.code)
        events.record(project_of(row), happening, actor=actor)


def project_of(row: Scene | Shot) -> Project:
    return row.project if isinstance(row, Scene) else row.scene.project


def _change(row: Any, fields: dict[str, str], actor: User) -> Any:
    changed = [name for name, value in fields.items() if getattr(row, name) != value]
    if not changed:
        return row
    with transaction.atomic():
        for name in changed:
            setattr(row, name, fields[name])
        _save(row, _siblings(row), update_fields=changed)
        if isinstance(row, Scene):
            happening: events.Happening = events.SceneChanged(scene_id=row.pk, code=row.code, fields=changed)
        else:
            happening = events.ShotChanged(shot_id=row.pk, scene=row.scene.code, code=row.code, fields=changed)
        events.record(project_of(row), happening, actor=actor)
    return row


def _siblings(row: Scene | Shot) -> Any:
    return row.project.scenes.all() if isinstance(row, Scene) else row.scene.shots.all()


def _place(row: Scene | Shot) -> str:
    return "scene of the project" if isinstance(row, Scene) else "shot of the scene"


def _refuse_taken(row: Scene | Shot, siblings: Any) -> None:
    if siblings.present().filter(code__iexact=row.code).exclude(pk=row.pk).exists():
        raise CodeTaken(row.code, _place(row))


def _save(row: Scene | Shot, siblings: Any, **how: Any) -> None:
    _refuse_taken(row, siblings)
    try:
        with transaction.atomic():
            row.save(**how)
    except IntegrityError:
        raise CodeTaken(row.code, _place(row)) from None


def _next_order(siblings: Any) -> int:
    return (siblings.aggregate(last=Max("order"))["last"] or 0) + 10


def _optional_name(name: str) -> str:
    return clean_name(name) if name.strip() else ""
