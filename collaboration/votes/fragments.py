"""Tallies as plots. What is pushed live shows of a blind tally only how many voted; what is one's own stays apart."""

from __future__ import annotations

from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse

from collaboration.live.fragments import Swap
from collaboration.models import Event, Project, User
from collaboration.subjects import Target, target
from collaboration.votes import queries
from collaboration.votes.models import Vote
from collaboration.votes.queries import Tally

COLUMN, BASE, ROOM = 40, 46, 40
"""Pixels of the plot: width of a column, its foot, and how high a column may grow."""
MINI_ROOM = 12


def people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


# --------------------------------------------------------------------------------------------------------- plots
def plot(tally: Tally) -> list[dict[str, Any]]:
    """One dot for each vote, stacked above its score: [{x, y, r, score, is_far}] in pixels of a 200 x 64 drawing."""
    most = max(*tally.scores, 1)
    radius = min(5.0, ROOM / (2 * most))
    far = {vote.pk for vote in tally.dissenters}
    dots = []
    for n, score in enumerate(Vote.SCORES):
        column = sorted((v for v in tally.votes if v.score == score), key=lambda v: v.pk in far)
        for k, vote in enumerate(column):
            dots.append(
                {
                    "x": f"{COLUMN * (n + 0.5):.1f}",
                    "y": f"{BASE - radius * (2 * k + 1):.2f}",
                    "r": f"{radius * 0.84:.2f}",
                    "score": score,
                    "who": vote.voter.display_name,
                    "is_far": vote.pk in far,
                }
            )
    return dots


def bars(tally: Tally) -> list[dict[str, Any]]:
    """The same in little: [{x, y, height}] in pixels of a 34 x 14 drawing."""
    most = max(*tally.scores, 1)
    heights = [MINI_ROOM * n / most if n else 1.0 for n in tally.scores]
    return [{"x": 7 * k, "y": f"{13 - h:.1f}", "height": f"{h:.1f}"} for k, h in enumerate(heights)]


def _said(vote: Vote) -> str:
    parts = [str(vote.score) if vote.score is not None else "", dict(Vote.VERDICTS).get(vote.verdict, "").lower()]
    return ", ".join(part for part in parts if part)


def shown(kind: str, id: str, tally: Tally, *, is_open: bool) -> dict[str, Any]:
    """Context of votes/_tally.html and votes/_mark.html. Not `is_open`: only how many voted."""
    context: dict[str, Any] = {
        "key": f"{kind}-{id}",
        "voters": tally.voters,
        "voted": f"{people(tally.voters)} voted",
        "quorum": tally.quorum,
        "missing": max(0, tally.quorum - tally.voters),
        "is_blind": tally.is_blind,
        "is_open": is_open,
    }
    if not is_open or not tally.votes:
        return context | {"state": "blind" if not is_open and tally.votes else "none"}
    dissent = tally.dissenters
    decided = tally.picks + tally.rejects
    state = "waiting" if not tally.has_quorum else "split" if dissent else "agreed"
    return context | {
        "state": state,
        "mean": tally.mean,
        "mean_x": f"{COLUMN * (tally.mean - 0.5):.1f}" if tally.mean is not None else "",
        "spread": tally.spread,
        "scored": len(tally.given),
        "dots": plot(tally),
        "bars": bars(tally),
        "picks": tally.picks,
        "rejects": tally.rejects,
        "pick_width": f"{200 * tally.picks / decided:.1f}" if decided else "",
        "dissent": [{"person": vote.voter, "said": _said(vote)} for vote in dissent],
        "sentence": _sentence(tally, state),
    }


def _sentence(tally: Tally, state: str) -> str:
    if state == "waiting":
        return f"{tally.voters} of {tally.quorum} that make a result"
    if state == "split":
        low, high = (tally.given[0], tally.given[-1]) if tally.given else (0, 0)
        return f"Split, from {low} to {high}" if high - low >= queries.FAR_OFF else "Split between pick and reject"
    if tally.picks and not tally.rejects:
        return "Agreed: pick"
    return "Agreed: reject" if tally.rejects else "Agreed"


# -------------------------------------------------------------------------------------------------------- the panel
def panel(subject: Target, user: User, *, may_vote: bool, back: str = "") -> dict[str, Any]:
    """Context of votes/_panel.html: the tally, and one's own vote."""
    tally = queries.tally(subject.project, subject.kind, subject.id)
    return panel_of(subject.project, subject.kind, subject.id, tally, user, may_vote=may_vote, back=back)


def panel_of(
    project: Project, kind: str, id: str, tally: Tally, user: User, *, may_vote: bool, back: str = ""
) -> dict[str, Any]:
    is_open = tally.is_open_to(user)
    return {
        "tally": shown(kind, id, tally, is_open=not tally.is_blind),
        "mine": {
            "key": f"{kind}-{id}",
            "vote": tally.vote_of(user),
            "url": vote_url(project, kind, id),
            "may_vote": may_vote,
            "back": back,
            "scores": Vote.SCORES,
            "revealed": shown(kind, id, tally, is_open=True) if tally.is_blind and is_open else None,
            "is_blind": tally.is_blind,
        },
    }


def vote_url(project: Project, kind: str, id: object) -> str:
    return reverse("votes:vote", args=[project.slug, kind, id])


def mark(project: Project, kind: str, id: object, tally: Tally, *, may_vote: bool) -> dict[str, Any]:
    """Context of votes/_mark.html and votes/_quick.html: the tally in little, for cells of a grid."""
    return {
        "tally": shown(kind, str(id), tally, is_open=not tally.is_blind),
        "quick": {"url": vote_url(project, kind, id), "key": f"{kind}-{id}", "scores": Vote.SCORES}
        if may_vote
        else None,
    }


# ------------------------------------------------------------------------------------------------------------- live
def on_vote(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The tally and its mark, wherever the subject is shown. Blind: who has voted asks for the tally anew."""
    kind, id = event.subject_kind, event.subject_id

    def render(template: str) -> str:
        found = target(kind, id)
        if found is None:
            return ""
        tally = queries.tally(found.project, kind, id)
        return render_to_string(template, {"tally": shown(kind, id, tally, is_open=not tally.is_blind)})

    swaps = []
    for page in event.payload["shown_on"]:
        swaps += [
            Swap(f"tally-{kind}-{id}", lambda: render("votes/_tally.html"), page=page),
            Swap(f"votes-mark-{kind}-{id}", lambda: render("votes/_mark.html"), page=page),
        ]
        if event.payload.get("score") is None and not event.payload.get("verdict"):
            swaps.append(Swap(f"mine-vote-{kind}-{id}", how="refresh", page=page))
    return swaps
