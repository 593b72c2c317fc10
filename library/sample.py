"""The sample project: a film with people of every role, a cast with references, scenes and shots.

Everything is made by the same actions as by hand, so references are looked at as soon as a worker runs. Making it again
adds what is missing and leaves alone what somebody has changed, renamed or moved to the trash since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.db import transaction

from assets import actions as assets
from assets.folders import character_folder
from characters import actions as characters
from characters.models import Character
from collaboration import actions, scenes
from collaboration.models import Event, Membership, Project, Stream, Studio, User
from library import people
from library.sign_ins import PASSWORD, SIGN_INS

STUDIO, PROJECT = "Northlight Pictures", "The Lighthouse"
PICTURE_SIZE = 512
"""Pixels on each side of a painted reference."""


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    person: int
    """Number of the sample person who plays it: see `library.people`."""
    importance: float
    tier: str
    references: int
    tags: tuple[str, ...]
    description: str


CAST = (
    Part(
        "Mara Voss", 13, 1.0, "standard", 12, ("lead", "lighthouse"),
        "Keeper of the light since her father went missing. Writes down every ship and trusts none of them.",
    ),
    Part(
        "Elias Brandt", 30, 0.8, "standard", 10, ("lead", "harbour"),
        "Fisherman, the last to speak with Mara's father. Says little, sees everything.",
    ),
    Part(
        "Inspector Jonas Reed", 6, 0.7, "standard", 10, ("mainland",),
        "Comes with the mail boat to close a case nobody wants opened.",
    ),
    Part(
        "Agnes Thorne", 17, 0.5, "standard", 8, ("harbour",),
        "Runs the inn above the harbour and remembers who owed what to whom.",
    ),
    Part(
        "Tove Hallberg", 19, 0.6, "high", 7, ("lighthouse", "night"),
        "Radio operator on the night shift. Hears the signal first.",
    ),
    Part(
        "Kit Marlowe", 18, 0.2, "low", 6, ("harbour", "extra"),
        "Ship's mate, nineteen, third voyage.",
    ),
)  # fmt: skip

SCENES = (
    ("SC010", "The lamp room, night", (
        ("010", "Wide. The beam crosses the empty sea; Mara counts the seconds."),
        ("020", "Close on Mara as the radio starts to hiss."),
        ("030", "Over her shoulder: a light answers where no ship can be."),
    )),
    ("SC020", "Harbour, morning", (
        ("010", "The mail boat lands. Inspector Reed steps off, hat in hand."),
        ("020", "Elias mends a net and does not look up."),
    )),
    ("SC030", "The inn, evening", (
        ("010", "Agnes pours; the inspector asks; nobody answers."),
        ("020", "Two shot: Tove slides the log book across the table."),
    )),
)  # fmt: skip


def make_sample_project() -> Project:
    """Make what is missing of it and return the project."""
    users = _people()
    owner = users[SIGN_INS[0].email]
    project = _project(owner)
    for sign_in in SIGN_INS:
        if (
            sign_in.role is not None
            and not Membership.objects.filter(project=project, user=users[sign_in.email]).exists()
        ):
            actions.set_role(project=project, user=users[sign_in.email], role=sign_in.role, actor=owner)
    artist = users["bob@studio.example"]
    for part in CAST:
        _play(part, project, artist)
    _scenes(project, users["leo@studio.example"])
    return project


def sign_ins_in_words() -> str:
    lines = [f"  {s.email:<26}{s.words:<10}{s.person}" for s in SIGN_INS]
    return "\n".join([f"Sample sign-ins, password “{PASSWORD}”:", *lines])


def _people() -> dict[str, User]:
    known = {u.email: u for u in User.objects.filter(email__in=[s.email for s in SIGN_INS])}
    if len(known) < len(SIGN_INS):
        hashed = make_password(PASSWORD)  # slow on purpose: once for all
        for sign_in in SIGN_INS:
            if sign_in.email not in known:
                with transaction.atomic():
                    user = User.objects.create(email=sign_in.email, name=sign_in.person, password=hashed)
                    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
                known[user.email] = user
    return known


def _project(owner: User) -> Project:
    """The one that was made for this owner first, whatever it is called now."""
    first = Event.objects.filter(kind="project.created", actor=owner, payload__name=PROJECT).order_by("at").first()
    if first is not None:
        return Project.objects.get(pk=first.payload["project_id"])
    studio = Studio.objects.filter(memberships__user=owner, memberships__is_admin=True).first()
    with transaction.atomic():
        studio = studio or actions.create_studio(name=STUDIO, admin=owner)
        return actions.create_project(
            studio=studio,
            name=PROJECT,
            actor=owner,
            description="A missing keeper, an island that keeps quiet, and a light that answers.",
        )


def _happened(project: Project, kind: str) -> Sequence[dict[str, str]]:
    stream = Stream.objects.get(kind=Stream.PROJECT, key=str(project.pk))
    return list(Event.objects.filter(stream=stream, kind=kind).values_list("payload", flat=True))


def _play(part: Part, project: Project, actor: User) -> None:
    """Create the character unless that was done before, and its references unless it ever had any."""
    made = next((p for p in _happened(project, "character.created") if p["name"] == part.name), None)
    if made is not None:
        character = Character.objects.get(pk=made["character_id"])
    else:
        character = characters.create_character(
            project=project,
            actor=actor,
            name=part.name,
            description=part.description,
            importance=part.importance,
            tier=part.tier,
            tags=part.tags,
            **people.member_of_the_cast(part.person),
        )
    if character.references.exists() or character.trashed_at is not None:
        return
    folder = character_folder(part.name, "references")
    painted = people.pictures_of_the_cast(part.person, count=part.references, size=PICTURE_SIZE)
    prepared = [
        assets.prepare_picture(project=project, file=data, name=f"{part.name} {name}", folder=folder)
        for name, data in painted
    ]
    with transaction.atomic():
        stored = [assets.record(one, actor=actor) for one in prepared]
        characters.add_references(character=character, assets=stored, actor=actor)


def _scenes(project: Project, actor: User) -> None:
    if project.scenes.exists():
        return
    with transaction.atomic():
        for code, name, shots in SCENES:
            scene = scenes.create_scene(project=project, code=code, name=name, actor=actor)
            for shot_code, description in shots:
                scenes.create_shot(scene=scene, code=shot_code, description=description, actor=actor)
