"""What a person may do. Code asks for verbs; roles are only named sets of them."""

from __future__ import annotations

from enum import StrEnum


class Verb(StrEnum):
    SEE = "see"
    ANNOTATE = "annotate"
    COMMENT = "comment"
    VOTE = "vote"
    CREATE = "create"
    EDIT = "edit"
    UPLOAD = "upload"
    GENERATE = "generate"
    TRAIN = "train"
    ROLL_BACK_OWN = "roll_back_own"
    APPROVE = "approve"
    ROLL_BACK = "roll_back"
    URGENT = "urgent"
    SETTINGS = "settings"
    SHARE = "share"
    MEMBERS = "members"
    BUDGET = "budget"
    DELETE = "delete"


class Role(StrEnum):
    VIEWER = "viewer"
    REVIEWER = "reviewer"
    ARTIST = "artist"
    LEAD = "lead"
    OWNER = "owner"

    @property
    def verbs(self) -> frozenset[Verb]:
        return ROLE_VERBS[self]


_VIEWER = frozenset({Verb.SEE})
_REVIEWER = _VIEWER | {Verb.ANNOTATE, Verb.COMMENT, Verb.VOTE}
_ARTIST = _REVIEWER | {Verb.CREATE, Verb.EDIT, Verb.UPLOAD, Verb.GENERATE, Verb.TRAIN, Verb.ROLL_BACK_OWN}
_LEAD = _ARTIST | {Verb.APPROVE, Verb.ROLL_BACK, Verb.URGENT, Verb.SETTINGS, Verb.SHARE}
_OWNER = _LEAD | {Verb.MEMBERS, Verb.BUDGET, Verb.DELETE}

ROLE_VERBS: dict[Role, frozenset[Verb]] = {
    Role.VIEWER: _VIEWER,
    Role.REVIEWER: _REVIEWER,
    Role.ARTIST: _ARTIST,
    Role.LEAD: _LEAD,
    Role.OWNER: _OWNER,
}

STUDIO_ADMIN_VERBS = frozenset({Verb.SEE, Verb.SETTINGS, Verb.SHARE, Verb.MEMBERS, Verb.BUDGET})
"""What an administrator of a studio may do in its projects without being a member of them."""

WORDS: dict[Verb, str] = {
    Verb.SEE: "See everything in the project",
    Verb.ANNOTATE: "Annotate pictures",
    Verb.COMMENT: "Comment",
    Verb.VOTE: "Vote",
    Verb.CREATE: "Create characters and styles",
    Verb.EDIT: "Edit characters and styles",
    Verb.UPLOAD: "Upload pictures",
    Verb.GENERATE: "Generate pictures",
    Verb.TRAIN: "Train models",
    Verb.ROLL_BACK_OWN: "Roll back own work",
    Verb.APPROVE: "Approve",
    Verb.ROLL_BACK: "Roll back anybody's work",
    Verb.URGENT: "Put work in front of the queue",
    Verb.SETTINGS: "Change the project and its scenes",
    Verb.SHARE: "Share outside the project",
    Verb.MEMBERS: "Manage people",
    Verb.BUDGET: "Manage the budget",
    Verb.DELETE: "Delete for good",
}

ROLE_WORDS: dict[Role, str] = {
    Role.VIEWER: "sees everything",
    Role.REVIEWER: "also annotates, comments and votes",
    Role.ARTIST: "also creates, uploads, generates and trains",
    Role.LEAD: "also approves, rolls back and changes the project",
    Role.OWNER: "also manages people, budget and deletion",
}
