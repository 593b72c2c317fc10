"""The only module that knows everyone: dotted paths by which those below reach those above.

A system check (`config/checks.py`) imports every entry.
"""

from __future__ import annotations

SUBJECTS = {
    "project": "collaboration.projects.SUBJECT",
    "scene": "collaboration.projects.SCENE",
    "shot": "collaboration.projects.SHOT",
    "character": "characters.subjects.CHARACTER",
    "variation": "characters.subjects.VARIATION",
    "reference": "characters.subjects.REFERENCE",
    "training": "training.subjects.RUN",
}
"""Subject kind -> `collaboration.subjects.Subject`."""

JOB_KINDS = {
    "reference.look": "characters.jobs.LOOK_AT_REFERENCES",
    "variation.generate": "characters.jobs.GENERATE_VARIATIONS",
    "variation.measure": "characters.jobs.MEASURE_VARIATIONS",
    "training.train": "training.jobs.TRAIN",
    "training.compare": "training.comparing.COMPARE",
}
"""Job kind -> `gpu_worker.kinds.JobKind`."""

SLOTS = {
    "asset.erased": ["gpu_worker.readings.forget", "collaboration.annotations.actions.forget"],
    "character.tabs": ["training.fragments.CHARACTER_TAB"],
    "studio.places": ["characters.views.calibration.PLACE", "gpu_worker.views.PLACE"],
    "reference.derived": ["training.derivations.of"],
    "reference.erased": ["training.actions.forget_reference"],
    "adapter.references": ["training.derivations.trained_with"],
}
"""Place on a page, or question -> fragments and answers of the apps above it."""

SCHEDULES = {
    "jobs.sweep": ("gpu_worker.sweeper.sweep", 5),
    "workers.forget": ("gpu_worker.execution.forget_old_workers", 3600),
    "idempotency.purge": ("collaboration.idempotency.purge_old", 3600),
    "assets.sweep": ("assets.actions.sweep_orphans", 86_400),
}
"""Name -> (what to call, every so many seconds)."""

_AT_GATES = (
    "approval.asked",
    "approval.given",
    "approval.lost",
    "approval.refused",
    "approval.withdrawn",
    "gate.changed",
    "gate.created",
    "gate.removed",
    "gate.restored",
)
_APPROVALS = ["characters.fragments.live.card", "collaboration.approvals.fragments.on_approval"]

LIVE: dict[str, list[str]] = {
    **dict.fromkeys(_AT_GATES, _APPROVALS),
    "vote.cast": ["collaboration.votes.fragments.on_vote"],
    "vote.withdrawn": ["collaboration.votes.fragments.on_vote"],
    "character.created": ["characters.fragments.live.first_card"],
    "character.changed": ["characters.fragments.live.first_card"],
    "character.trashed": ["characters.fragments.live.card"],
    "character.restored": ["characters.fragments.live.first_card"],
}
"""Kind of event (`*`: every kind) -> `(event, audience) -> [collaboration.live.fragments.Swap]`."""

LIVE_STATES: dict[str, list[str]] = {"progress": []}
"""What changes without an event -> `(project ids) -> [(project id, (kind, subject kind, subject id), version)]`.

A kind whose version has changed is looked up in LIVE like an event's."""
