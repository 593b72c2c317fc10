"""E-mails and webhooks: signed, tried again, given up, and never into the studio's own network."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import socket
from datetime import timedelta

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from collaboration.approvals import actions as approvals
from collaboration.models import Delivery, Event, Webhook
from collaboration.notifications import actions, addresses, sending, telling
from tests.api.conftest import ok, problem


@pytest.fixture
def hook(receiver, project, alice):
    return actions.create_webhook(
        project=project, name="#lighthouse", url=receiver.url, kinds=["approval_asked", "approval_given"], actor=alice
    )


def later(hours=24):
    """Everything that waits is due."""
    Delivery.objects.filter(state=Delivery.WAITING).update(not_before=timezone.now() - timedelta(hours=hours))


# ----------------------------------------------------------------------------------------------------------- e-mail
def test_an_email_at_once(gate, bob, leo, rita, settings):
    settings.SITE_URL = "https://studio.example"
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    assert sending.send_due() == 3
    assert sorted(m.to[0] for m in mail.outbox) == ["alice@example.com", "leo@example.com", "rita@example.com"]
    message = mail.outbox[0]
    assert message.subject == "Bob asked for the approval “Likeness” of Mara"
    assert "https://studio.example/projects/the-long-night/characters/" in message.body
    assert "https://studio.example/account/notifications/" in message.body
    assert message.extra_headers["X-Studio-Delivery"] in message.extra_headers["Message-ID"]
    assert sending.send_due() == 0
    assert len(mail.outbox) == 3


def test_what_is_due_to_one_person_is_one_email(gate, bob, leo, rita):
    for _ in range(3):
        approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    sending.send_due()
    mine = [m for m in mail.outbox if m.to == ["leo@example.com"]]
    assert [m.subject for m in mine] == ["3 things happened in The Long Night"]
    assert mine[0].body.count("asked for the approval") == 3


def test_a_digest_leaves_at_its_hour(gate, bob, leo, rita, settings):
    actions.choose(person=leo, choices={"approval_asked": ("mine", "digest")})
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    waiting = Delivery.objects.get(person=leo)
    assert waiting.is_digest
    assert waiting.not_before.hour == settings.DIGEST_HOUR
    assert timezone.now() < waiting.not_before <= timezone.now() + timedelta(days=1)
    sending.send_due()
    assert "leo@example.com" not in [m.to[0] for m in mail.outbox]
    later()
    sending.send_due()
    assert "leo@example.com" in [m.to[0] for m in mail.outbox]


def test_no_mail_goes_to_who_has_left(gate, bob, rita, alice, project):
    from collaboration.actions import remove_member

    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    remove_member(project=project, user=rita, actor=alice)
    sending.send_due()
    assert "rita@example.com" not in [m.to[0] for m in mail.outbox]
    assert Delivery.objects.get(person=rita).state == Delivery.DEAD


def test_mail_that_fails_is_tried_again_and_given_up(gate, bob, leo, client_of, monkeypatch, settings):
    settings.EMAIL_BACKEND = "tests.notifications.broken.Backend"
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    waits = []
    for _ in range(sending.MOST_ATTEMPTS):
        assert sending.send_due() == 0
        mine = Delivery.objects.get(person=leo)
        waits.append((mine.not_before - timezone.now()).total_seconds())
        later()
    mine.refresh_from_db()
    assert (mine.state, mine.attempts) == (Delivery.DEAD, sending.MOST_ATTEMPTS)
    assert "no mail today" in mine.last_error
    assert all(a < b for a, b in itertools.pairwise(waits[:6]))
    url = reverse("notifications:choices")
    assert "could not be sent" in client_of(leo).get(url).content.decode()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    client_of(leo).post(reverse("notifications:mail_again"))
    sending.send_due()
    assert "leo@example.com" in [m.to[0] for m in mail.outbox]


# --------------------------------------------------------------------------------------------------------- webhooks
def test_a_webhook_is_signed_and_understood_by_slack(receiver, hook, gate, bob, mara):
    mara.name = "Mara <b>&"
    mara.save()
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    sending.send_due()
    assert len(receiver.seen) == 1
    seen = receiver.seen[0]
    assert seen["path"] == "/hook?a=1"
    assert seen["json"]["text"] == "Bob asked for the approval “Likeness” of Mara &lt;b&gt;&amp;"
    assert seen["json"]["blocks"][0]["type"] == "section"
    meta = seen["json"]["metadata"]
    assert meta["event_type"] == "approval_asked"
    assert meta["event_payload"]["subject_id"] == str(mara.pk)
    id, stamp = seen["headers"]["webhook-id"], seen["headers"]["webhook-timestamp"]
    key = base64.b64decode(hook.secret.removeprefix("whsec_"))
    expected = hmac.new(key, f"{id}.{stamp}.".encode() + seen["body"], hashlib.sha256).digest()
    assert seen["headers"]["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert id == str(Delivery.objects.get(webhook=hook).pk)


def test_it_is_sent_again_with_the_same_id_until_it_arrives(receiver, hook, gate, bob):
    receiver.answers = [500, 302, 429]
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    for _ in range(4):
        sending.send_due()
        later()
    assert len(receiver.seen) == 4
    assert len({seen["headers"]["webhook-id"] for seen in receiver.seen}) == 1
    row = Delivery.objects.get(webhook=hook)
    assert (row.state, row.attempts, row.last_error) == (Delivery.SENT, 4, "")


def test_what_is_given_up_is_listed_and_sent_again(receiver, hook, gate, bob, leo, client_of):
    receiver.answers = [500] * sending.MOST_ATTEMPTS
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    for _ in range(sending.MOST_ATTEMPTS + 2):
        sending.send_due()
        later()
    assert len(receiver.seen) == sending.MOST_ATTEMPTS
    url = reverse("notifications:webhook", args=[hook.project.slug, hook.pk])
    page = client_of(leo).get(url).content.decode()
    assert "Given up" in page
    assert "It answered 500: no." in page
    client_of(leo).post(reverse("notifications:webhook_again", args=[hook.project.slug, hook.pk]))
    sending.send_due()
    assert Delivery.objects.get(webhook=hook).state == Delivery.SENT
    assert Event.objects.filter(kind="webhook.resent").exists()


def test_a_sender_that_died_is_followed_by_another(receiver, hook, gate, bob):
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    row = Delivery.objects.get(webhook=hook)
    assert sending._take(row)  # and then it dies
    sending.send_due()
    assert receiver.seen == []  # the lease holds
    later()
    sending.send_due()
    assert len(receiver.seen) == 1
    assert not sending._take(row)  # what it held is nobody's any more


def test_one_that_is_off_or_gone_gets_nothing(receiver, hook, gate, bob, alice):
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    actions.change_webhook(hook=hook, is_active=False, actor=alice)
    sending.send_due()
    assert receiver.seen == []
    assert Delivery.objects.get(webhook=hook).state == Delivery.DEAD
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    assert Delivery.objects.filter(webhook=hook).count() == 1
    actions.remove_webhook(hook=hook, actor=alice)
    hook.refresh_from_db()
    assert hook.secret == ""


def test_pages_of_webhooks(receiver, client_of, project, leo, bob, charlie):
    url = reverse("notifications:webhooks", args=[project.slug])
    data = {"name": "Chat", "url": receiver.url, "kinds": ["failed"]}
    assert client_of(bob).get(url).status_code == 403
    assert client_of(charlie).get(url).status_code == 404
    made = client_of(leo).post(url, data)
    hook = Webhook.objects.get()
    assert made.status_code == 201
    assert hook.secret in made.content.decode()
    assert made["Cache-Control"] == "no-store"
    assert hook.secret not in client_of(leo).get(url).content.decode()
    one = reverse("notifications:webhook", args=[project.slug, hook.pk])
    assert hook.secret not in client_of(leo).get(one).content.decode()
    tried = client_of(leo).post(one + "try/", follow=True).content.decode()
    assert "The test arrived." in tried
    assert receiver.seen[0]["json"]["metadata"]["event_type"] == "test"
    renewed = client_of(leo).post(one + "secret/").content.decode()
    assert Webhook.objects.get().secret in renewed
    assert client_of(leo).post(url, data | {"url": "ftp://x.example"}).status_code == 422
    assert client_of(leo).post(url, {"name": "x", "url": receiver.url}).status_code == 422
    client_of(leo).post(one, data | {"name": "Other"})
    assert Webhook.objects.get().name == "Other"
    for name in ("switch/", "remove/", "again/", "try/", "secret/"):
        assert client_of(leo).get(one + name).status_code == 405
        assert client_of(charlie).post(one + name).status_code == 404
    client_of(leo).post(one + "remove/")
    assert client_of(leo).get(one).status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "https://127.0.0.1/x",
        "https://10.1.2.3/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://[64:ff9b::a00:1]/x",
        "https://localhost/x",
        "https://db.internal/x",
        "https://user:pass@example.com/x",
        "https://example.com:99999/x",
        "https://0/x",
        "javascript:alert(1)",
        "https://exa mple.com/",
        "",
    ],
)
def test_addresses_that_are_refused(url):
    with pytest.raises(ValidationError):
        addresses.clean_url(url)


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1"])
def test_a_name_that_leads_inside_is_refused_when_it_is_looked_up(monkeypatch, gate, bob, project, alice, address):
    """Also one that led outside when the webhook was made."""
    hook = actions.create_webhook(
        project=project, name="x", url="https://hooks.example.com/x", kinds=["approval_asked"], actor=alice
    )
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    connected = []
    monkeypatch.setattr(socket, "create_connection", lambda *args, **kwargs: connected.append(args))
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    sending.send_due()
    row = Delivery.objects.get(webhook=hook)
    assert (row.state, connected) == (Delivery.DEAD, [])
    assert "own network" in row.last_error


def test_the_connection_goes_to_the_address_that_was_looked_at(monkeypatch):
    looks = []

    def look(host, port, **kwargs):
        looks.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    reached = []

    def connect(where, timeout):
        reached.append(where)
        raise OSError("stop here")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(addresses.Unanswered):
        addresses.post("https://hooks.example.com/x", b"{}", {})
    assert (looks, reached) == (["hooks.example.com"], [("93.184.216.34", 443)])


def test_the_api_of_webhooks(api, receiver, project, leo, bob, gate):
    body = {"name": "Bot", "url": receiver.url, "kinds": ["approval_asked"]}
    made = ok(api(leo).post(f"/projects/{project.slug}/webhooks", body), 201)
    assert made["secret"].startswith("whsec_")
    assert "secret" not in ok(api(leo).get(f"/projects/{project.slug}/webhooks"))[0]
    problem(api(bob).get(f"/projects/{project.slug}/webhooks"), 403)
    approvals.ask_approval(gate=gate, actor=bob)
    telling.tell()
    sending.send_due()
    listed = ok(api(leo).get(f"/webhooks/{made['id']}/deliveries?state=sent"))["items"]
    assert [d["state"] for d in listed] == ["sent"]
    assert ok(api(leo).patch(f"/webhooks/{made['id']}", {"is_active": False}))["is_active"] is False
    assert ok(api(leo).post(f"/webhooks/{made['id']}/send-again"))["count"] == 0
    assert api(leo).delete(f"/webhooks/{made['id']}").status_code == 204
