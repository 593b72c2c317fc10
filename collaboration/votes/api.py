"""/api/v1: votes on images, and how a project votes."""

from __future__ import annotations

from typing import Literal, cast

from ninja import Router
from pydantic import Field

from collaboration.permissions import Verb, access_project, access_target
from collaboration.rest.auth import ApiRequest
from collaboration.rest.problems import Problem
from collaboration.rest.schemas import UUID, Answer, Body, PersonOut
from collaboration.subjects import Target
from collaboration.votes import actions, queries
from collaboration.votes.models import Vote
from collaboration.votes.queries import Tally

router = Router(tags=["Votes"])

ImageKind = Literal["variation", "reference"]
Verdict = Literal["pick", "reject"]


class VoteOut(Answer):
    score: int | None = Field(description="1-5.", examples=[4])
    verdict: Verdict | None


class PersonsVoteOut(VoteOut):
    person: PersonOut
    dissents: bool = Field(description="Two or more points from the median, or on the smaller side of pick and reject.")


class TallyOut(Answer):
    voters: int = Field(description="How many voted.", examples=[3])
    quorum: int = Field(description="How many make a result.", examples=[2])
    has_quorum: bool
    is_blind: bool = Field(description="Whether who has not voted sees only how many have.")
    is_open: bool = Field(description="Whether you may see the result; where not, what follows is null or empty.")
    mine: VoteOut | None = Field(description="Your own vote.")
    mean: float | None = Field(description="1-5.", examples=[4.3])
    median: float | None
    spread: float | None = Field(description="Standard deviation of the scores; 0 where all agree.", examples=[0.5])
    scores: list[int] = Field(description="How many gave 1, 2, 3, 4 and 5.", examples=[[0, 0, 0, 2, 1]])
    picks: int | None
    rejects: int | None
    votes: list[PersonsVoteOut]


class VoteIn(Body):
    """What is left out stays as it is; null takes it back."""

    score: Literal[1, 2, 3, 4, 5] | None = None
    verdict: Verdict | None = None


class VotingRulesOut(Answer):
    is_blind: bool
    quorum: int = Field(examples=[2])


class VotingRulesIn(Body):
    is_blind: bool
    quorum: int = Field(description="1-50.", examples=[2])


def _tally(request: ApiRequest, tally: Tally) -> TallyOut:
    mine = tally.vote_of(request.auth)

    def verdict(vote: Vote) -> Verdict | None:
        return cast("Verdict", vote.verdict) if vote.verdict else None

    is_open = tally.is_open_to(request.auth)
    far = {vote.pk for vote in tally.dissenters} if is_open else set()
    return TallyOut(
        voters=tally.voters,
        quorum=tally.quorum,
        has_quorum=tally.has_quorum,
        is_blind=tally.is_blind,
        is_open=is_open,
        mine=VoteOut(score=mine.score, verdict=verdict(mine)) if mine else None,
        mean=tally.mean if is_open else None,
        median=tally.median if is_open else None,
        spread=tally.spread if is_open else None,
        scores=list(tally.scores) if is_open else [],
        picks=tally.picks if is_open else None,
        rejects=tally.rejects if is_open else None,
        votes=[
            PersonsVoteOut(
                score=vote.score,
                verdict=verdict(vote),
                person=PersonOut(id=vote.voter_id, name=vote.voter.display_name),
                dissents=vote.pk in far,
            )
            for vote in tally.votes
        ]
        if is_open
        else [],
    )


def _image(request: ApiRequest, kind: str, id: UUID, verb: Verb = Verb.SEE) -> Target:
    found = access_target(request.auth, kind, id, verb=verb)
    if found.handler.picture is None:
        raise Problem("not-found")
    return found


@router.get("/images/{kind}/{uuid:id}/votes", response=TallyOut, summary="See how an image was voted on")
def get_votes(request: ApiRequest, kind: ImageKind, id: UUID) -> TallyOut:
    found = _image(request, kind, id)
    return _tally(request, queries.tally(found.project, found.kind, found.id))


@router.put("/images/{kind}/{uuid:id}/vote", response=TallyOut, summary="Vote on an image")
def put_vote(request: ApiRequest, kind: ImageKind, id: UUID, payload: VoteIn) -> TallyOut:
    """Your vote, once for each image; voting again changes it."""
    found = _image(request, kind, id, Verb.VOTE)
    given = payload.given()
    if "verdict" in given:
        given["verdict"] = given["verdict"] or ""
    actions.cast_vote(subject=found, actor=request.auth, **given)
    return _tally(request, queries.tally(found.project, found.kind, found.id))


@router.delete("/images/{kind}/{uuid:id}/vote", response=TallyOut, summary="Take your vote back")
def delete_vote(request: ApiRequest, kind: ImageKind, id: UUID) -> TallyOut:
    found = _image(request, kind, id, Verb.VOTE)
    actions.withdraw_vote(subject=found, actor=request.auth)
    return _tally(request, queries.tally(found.project, found.kind, found.id))


@router.get("/projects/{slug:project}/voting-rules", response=VotingRulesOut, summary="See how a project votes")
def get_voting_rules(request: ApiRequest, project: str) -> VotingRulesOut:
    rules = queries.rules_of(access_project(request.auth, project))
    return VotingRulesOut(is_blind=rules.is_blind, quorum=rules.quorum)


@router.put("/projects/{slug:project}/voting-rules", response=VotingRulesOut, summary="Set how a project votes")
def put_voting_rules(request: ApiRequest, project: str, payload: VotingRulesIn) -> VotingRulesOut:
    film = access_project(request.auth, project, verb=Verb.SETTINGS)
    rules = actions.set_voting_rules(project=film, is_blind=payload.is_blind, quorum=payload.quorum, actor=request.auth)
    return VotingRulesOut(is_blind=rules.is_blind, quorum=rules.quorum)
