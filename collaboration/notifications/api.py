"""/api/v1: one's notifications, how one is told, and webhooks."""

from __future__ import annotations

from typing import Literal, cast

from django.http import Http404
from ninja import Router, Status
from pydantic import Field

from collaboration.notifications import actions, queries
from collaboration.notifications.kinds import KINDS
from collaboration.notifications.messages import sentence
from collaboration.notifications.models import Delivery, Notification, Webhook
from collaboration.permissions import Verb, access_project, require
from collaboration.rest.auth import ApiRequest
from collaboration.rest.paging import Cursor, Limit, Page, page
from collaboration.rest.schemas import UUID, Answer, Body, PersonOut, datetime, person

router = Router(tags=["Notifications"])

Reach = Literal["none", "mine", "all"]
Mail = Literal["off", "now", "digest"]


class NotificationOut(Answer):
    id: int
    kind: str = Field(examples=["approval_asked"])
    words: str = Field(examples=["Rita Okafor asked for the approval “Likeness” of Mara"])
    topic: str = Field(description="Notifications of one kind about one thing share it.")
    project: str | None = Field(description="Slug.")
    subject_kind: str
    subject_id: str
    actor: PersonOut | None
    at: datetime
    is_read: bool


class NotificationPage(Page):
    items: list[NotificationOut]


class ReadIn(Body):
    topic: str = Field("", description="Only those of this topic; empty: all.")
    upto: int | None = Field(None, description="None newer than the notification with this id.")


class ReadOut(Answer):
    read: int


class ChoiceOut(Answer):
    kind: str
    label: str
    reach: Reach = Field(description="`none`, `mine` (what concerns you) or `all` (everything in your projects).")
    mail: Mail


class ChoiceIn(Body):
    reach: Reach
    mail: Mail


class WebhookOut(Answer):
    id: UUID
    name: str
    url: str
    kinds: list[str]
    is_active: bool
    sent: int
    waiting: int
    given_up: int


class WebhookMadeOut(WebhookOut):
    secret: str = Field(description="Signs what is sent (Standard Webhooks); shown only in this answer.")


class WebhookIn(Body):
    name: str
    url: str = Field(examples=["https://hooks.slack.example/services/T/B/x"])
    kinds: list[str] = Field(description="Of the kinds that `/notification-choices` lists.")


class WebhookChangeIn(Body):
    name: str | None = None
    url: str | None = None
    kinds: list[str] | None = None
    is_active: bool | None = None


class DeliveryOut(Answer):
    id: UUID = Field(description="The header `webhook-id`: the same each time it is sent again.")
    kind: str
    words: str
    state: Literal["waiting", "sent", "dead"]
    attempts: int
    last_error: str
    created_at: datetime
    sent_at: datetime | None


class DeliveryPage(Page):
    items: list[DeliveryOut]


class SentAgainOut(Answer):
    count: int


def _notification(row: Notification) -> NotificationOut:
    return NotificationOut(
        id=row.pk,
        kind=row.kind,
        words=sentence(row.event, row.words),
        topic=row.topic,
        project=row.project.slug if row.project else None,
        subject_kind=row.event.subject_kind,
        subject_id=row.event.subject_id,
        actor=person(row.event.actor),
        at=row.at,
        is_read=row.read_at is not None,
    )


@router.get("/notifications", response=NotificationPage, summary="List your notifications")
def list_notifications(
    request: ApiRequest, unread: bool = False, cursor: Cursor = "", limit: Limit = 50
) -> NotificationPage:
    """The newest first."""
    rows = queries.visible(request.auth).select_related("event__actor", "project")
    rows = rows.filter(read_at=None) if unread else rows
    found, after = page(rows, order=("-id",), cursor=cursor, limit=limit)
    return NotificationPage(items=[_notification(row) for row in found], next=after)


@router.post("/notifications/read", response=ReadOut, summary="Mark notifications as read")
def read(request: ApiRequest, payload: ReadIn) -> ReadOut:
    return ReadOut(read=actions.mark_read(person=request.auth, topic=payload.topic, upto=payload.upto))


@router.get("/notification-choices", response=list[ChoiceOut], summary="See what you are told of")
def list_choices(request: ApiRequest) -> list[ChoiceOut]:
    return [
        ChoiceOut(
            kind=kind,
            label=KINDS[kind].label,
            reach=cast("Reach", choice.reach),
            mail=cast("Mail", choice.mail),
        )
        for kind, choice in queries.choices_of(request.auth).items()
    ]


@router.put("/notification-choices/{slug:kind}", response=list[ChoiceOut], summary="Choose what you are told of")
def put_choice(request: ApiRequest, kind: str, payload: ChoiceIn) -> list[ChoiceOut]:
    actions.choose(person=request.auth, choices={kind: (payload.reach, payload.mail)})
    return list_choices(request)


# -------------------------------------------------------------------------------------------------------- webhooks
def _hook(request: ApiRequest, id: UUID) -> Webhook:
    hook = Webhook.objects.select_related("project__studio").filter(pk=id, removed_at=None).first()
    if hook is None:
        raise Http404
    require(request.auth, Verb.SETTINGS, hook.project)
    return hook


def _webhook(hook: Webhook) -> WebhookOut:
    row = queries.webhooks_of(hook.project).get(pk=hook.pk)
    return WebhookOut(
        id=row.pk,
        name=row.name,
        url=row.url,
        kinds=row.kinds,
        is_active=row.is_active,
        sent=row.sent,  # type: ignore[attr-defined] # by the query
        waiting=row.waiting,  # type: ignore[attr-defined]
        given_up=row.given_up,  # type: ignore[attr-defined]
    )


@router.get("/projects/{slug:project}/webhooks", response=list[WebhookOut], summary="List the webhooks of a project")
def list_webhooks(request: ApiRequest, project: str) -> list[WebhookOut]:
    film = access_project(request.auth, project, verb=Verb.SETTINGS)
    return [_webhook(hook) for hook in queries.webhooks_of(film)]


@router.post("/projects/{slug:project}/webhooks", response={201: WebhookMadeOut}, summary="Make a webhook")
def create_webhook(request: ApiRequest, project: str, payload: WebhookIn) -> Status[WebhookMadeOut]:
    film = access_project(request.auth, project, verb=Verb.SETTINGS)
    hook = actions.create_webhook(project=film, actor=request.auth, **payload.model_dump())
    return Status(201, WebhookMadeOut(**_webhook(hook).model_dump(), secret=hook.secret))


@router.patch("/webhooks/{uuid:id}", response=WebhookOut, summary="Change a webhook")
def change_webhook(request: ApiRequest, id: UUID, payload: WebhookChangeIn) -> WebhookOut:
    fields = {name: value for name, value in payload.given().items() if value is not None}
    return _webhook(actions.change_webhook(hook=_hook(request, id), actor=request.auth, **fields))


@router.delete("/webhooks/{uuid:id}", response={204: None}, summary="Remove a webhook")
def remove_webhook(request: ApiRequest, id: UUID) -> Status[None]:
    actions.remove_webhook(hook=_hook(request, id), actor=request.auth)
    return Status(204, None)


@router.get("/webhooks/{uuid:id}/deliveries", response=DeliveryPage, summary="See what was sent, and what given up")
def list_deliveries(
    request: ApiRequest,
    id: UUID,
    state: Literal["", "waiting", "sent", "dead"] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> DeliveryPage:
    rows = Delivery.objects.filter(webhook=_hook(request, id)).select_related("event__actor")
    rows = rows.filter(state=state) if state else rows
    found, after = page(rows, order=("-created_at", "-id"), cursor=cursor, limit=limit)
    items = [
        DeliveryOut(
            id=row.pk,
            kind=row.kind,
            words=sentence(row.event, row.words),
            state=cast("Literal['waiting', 'sent', 'dead']", row.state),
            attempts=row.attempts,
            last_error=row.last_error,
            created_at=row.created_at,
            sent_at=row.sent_at,
        )
        for row in found
    ]
    return DeliveryPage(items=items, next=after)


@router.post("/webhooks/{uuid:id}/send-again", response=SentAgainOut, summary="Begin anew with what was given up")
def send_again(request: ApiRequest, id: UUID) -> SentAgainOut:
    return SentAgainOut(count=actions.send_again(hook=_hook(request, id), actor=request.auth))
