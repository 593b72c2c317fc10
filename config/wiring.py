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
    "review": "collaboration.reviews.subjects.SUBJECT",
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
    "project.find": ["characters.finding.find"],
    "studio.places": ["characters.views.calibration.PLACE", "gpu_worker.views.PLACE"],
    "reference.derived": ["training.derivations.of"],
    "reference.erased": ["training.actions.forget_reference"],
    "adapter.references": ["training.derivations.trained_with"],
}
"""Place on a page, or question -> fragments and answers of the apps above it."""

SCHEDULES = {
    "texts.tell": ("characters.actions.tell_written", 30),
    "jobs.sweep": ("gpu_worker.sweeper.sweep", 5),
    "workers.forget": ("gpu_worker.execution.forget_old_workers", 3600),
    "idempotency.purge": ("collaboration.idempotency.purge_old", 3600),
    "assets.sweep": ("assets.actions.sweep_orphans", 86_400),
    "notifications.tell": ("collaboration.notifications.telling.tell", 1),
    "notifications.send": ("collaboration.notifications.sending.send_due", 5),
    "notifications.forget": ("collaboration.notifications.sending.forget_old", 86_400),
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
_OF_REVIEWS = (
    "review.changed",
    "review.closed",
    "review.created",
    "review.item_removed",
    "review.items_added",
    "review.reopened",
    "review.restored",
    "review.trashed",
)
_APPROVALS = ["characters.fragments.live.card", "collaboration.approvals.fragments.on_approval"]

_CHARACTER = ["characters.fragments.live.first_card", "characters.fragments.live.pages"]
_COUNTED = [*_CHARACTER, "characters.fragments.live.bar"]
_ALIKE = ["characters.fragments.live.alike", "characters.fragments.live.pages"]
_TRAINING = ["characters.fragments.live.card", "characters.fragments.live.pages", "training.live.pages"]

LIVE: dict[str, list[str]] = {
    "annotation.created": ["collaboration.annotations.fragments.on_image"],
    "annotation.changed": ["collaboration.annotations.fragments.on_image"],
    "annotation.replied": ["collaboration.annotations.fragments.on_image"],
    "annotation.reply_removed": ["collaboration.annotations.fragments.on_image"],
    "annotation.resolved": ["collaboration.annotations.fragments.on_image"],
    "annotation.reopened": ["collaboration.annotations.fragments.on_image"],
    "annotation.removed": ["collaboration.annotations.fragments.on_image"],
    "annotation.restored": ["collaboration.annotations.fragments.on_image"],
    "annotation.ordered": ["collaboration.annotations.fragments.on_image"],
    "annotation.carried": ["collaboration.annotations.fragments.on_image"],
    "*": ["collaboration.live.pages.activity"],
    # The pages of the ground floor
    **{f"member.{what}": ["collaboration.live.pages.people"] for what in ("joined", "left", "role_changed")},
    **{f"invitation.{what}": ["collaboration.live.pages.people"] for what in ("created", "revoked")},
    **{
        f"{row}.{what}": ["collaboration.live.pages.scenes"]
        for row in ("scene", "shot")
        for what in ("created", "changed", "moved", "trashed", "restored")
    },
    "project.changed": ["collaboration.live.pages.project"],
    "vote.rules_changed": ["collaboration.live.pages.voting"],
    # Characters
    **{f"character.{what}": _COUNTED for what in ("created", "changed", "restored", "rolled_back", "undone")},
    "character.trashed": ["characters.fragments.live.gone", "characters.fragments.live.pages"],
    **{f"reference.{what}": _COUNTED for what in ("added", "trashed", "restored", "erased", "separated", "rejoined")},
    "reference.checked": ["characters.fragments.live.reference", *_COUNTED],
    "profile.learnt": _CHARACTER,
    "profile.prompt_changed": _CHARACTER,
    **{f"look_alike.{what}": _ALIKE for what in ("found", "dismissed", "restored")},
    **{
        f"variation.{what}": _CHARACTER
        for what in ("ordered", "finished", "cancelled", "retried", "picked", "unpicked")
    },
    **{f"variation.{what}": [*_CHARACTER, "characters.fragments.live.variation"] for what in ("trashed", "restored")},
    **{f"measurement.{what}": _CHARACTER for what in ("ordered", "cancelled", "finished")},
    **{f"sheet.{what}": _COUNTED for what in ("ordered", "approved", "rejected", "reopened")},
    "face.ordered": _CHARACTER,
    "face.chosen": _COUNTED,
    # Training
    **{
        f"training.{what}": [*_TRAINING, "characters.fragments.live.bar"]
        for what in (
            "started",
            "paused",
            "resumed",
            "cancelled",
            "retried",
            "finished",
            "failed",
            "trashed",
            "restored",
        )
    },
    **{f"comparison.{what}": _TRAINING for what in ("started", "finished", "stopped")},
    **{f"checkpoint.{what}": _TRAINING for what in ("chosen", "erased")},
    **{f"adapter.{what}": [*_TRAINING, "characters.fragments.live.bar"] for what in ("activated", "erased")},
    # Jobs (of LIVE_STATES)
    "job.progress": ["characters.fragments.live.progress"],
    "training.progress": ["characters.fragments.live.card", "training.live.progress"],
    "job.counts": ["config.live.pulse"],
    "job.started": ["config.live.pulse"],
    # What people say and decide
    **dict.fromkeys(_AT_GATES, _APPROVALS),
    "review.decided": ["collaboration.reviews.fragments.on_decision"],
    **{kind: ["collaboration.reviews.fragments.on_review"] for kind in _OF_REVIEWS},
    "notification.told": ["collaboration.notifications.fragments.on_told"],
    "notification.read": ["collaboration.notifications.fragments.on_told"],
    "vote.cast": ["collaboration.votes.fragments.on_vote"],
    "vote.withdrawn": ["collaboration.votes.fragments.on_vote"],
}
"""Kind of event (`*`: every kind) -> `(event, audience) -> [collaboration.live.fragments.Swap]`."""

LIVE_STATES: dict[str, list[str]] = {"progress": ["gpu_worker.live.progress"]}
"""What changes without an event -> `(project ids) -> [(project id, (kind, subject kind, subject id), version)]`.

A kind whose version has changed is looked up in LIVE like an event's."""

_MENTION = ["collaboration.notifications.kinds.mention"]
_QUEUED = ["characters.notices.queued"]
_ENDED = ["characters.notices.ended"]

NOTICES: dict[str, list[str]] = {
    "annotation.created": _MENTION,
    "annotation.changed": _MENTION,
    "annotation.replied": _MENTION,
    "approval.asked": ["collaboration.notifications.kinds.approval_asked"],
    "approval.given": ["collaboration.notifications.kinds.approval_given"],
    "approval.refused": ["collaboration.notifications.kinds.approval_given"],
    "approval.lost": ["collaboration.notifications.kinds.approval_lost"],
    "character.rolled_back": ["collaboration.notifications.kinds.rollback"],
    "review.created": ["collaboration.notifications.kinds.review_created"],
    "review.closed": ["collaboration.notifications.kinds.review_closed"],
    "variation.ordered": _QUEUED,
    "variation.retried": _QUEUED,
    "face.ordered": _QUEUED,
    "sheet.ordered": _QUEUED,
    "measurement.ordered": _QUEUED,
    "variation.finished": _ENDED,
    "measurement.finished": _ENDED,
    "training.started": ["training.notices.queued"],
    "training.retried": ["training.notices.queued"],
    "training.finished": ["training.notices.finished"],
    "training.failed": ["training.notices.failed"],
    "job.started": ["gpu_worker.notices.started"],
}
"""Kind of event -> `event -> [collaboration.notifications.kinds.Notice]`."""
