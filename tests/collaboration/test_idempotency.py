from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.test import Client
from django.urls import include, path
from django.utils import timezone
from ninja import NinjaAPI, Schema

from collaboration import idempotency
from collaboration.models import IdempotencyRecord

deeds: list[str] = []
answers: list[HttpResponse | Exception] = []
gate = threading.Event()


@pytest.fixture(autouse=True)
def clean_slate():
    deeds.clear()
    answers.clear()
    gate.clear()


def deed(request):
    """Does something, and answers with what the test has prepared."""
    deeds.append(request.POST.get("what", ""))
    answer = answers.pop(0) if answers else JsonResponse({"deed": len(deeds)}, status=201)
    if isinstance(answer, Exception):
        raise answer
    return answer


def slow(request):
    gate.wait(timeout=30)
    return deed(request)


def moves_on(request):
    deeds.append("moved")
    messages.success(request, "Moved.")
    answer = redirect("/elsewhere/")
    answer["HX-Trigger"] = '{"moved": 1}'
    answer.set_cookie("private", "1")
    return answer


def upload(request):
    deeds.append(request.FILES["file"].name)
    return JsonResponse({"deed": len(deeds)})


api = NinjaAPI(urls_namespace="idempotency-test")


class Wish(Schema):
    what: str


@api.post("/wish")
def wish(request, wish: Wish):
    deeds.append(wish.what)
    return {"deed": len(deeds), "what": wish.what}


urlpatterns = [
    path("deed/", deed),
    path("slow/", slow),
    path("moves-on/", moves_on),
    path("upload/", upload),
    path("api/", api.urls),
    path("", include(settings.ROOT_URLCONF)),
]

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


@pytest.fixture
def bobs(client_of, bob):
    return client_of(bob)


def post(browser, url="/deed/", data=None, *, key="k1", **headers):
    return browser.post(url, data or {"what": "train"}, headers={"Idempotency-Key": key, **headers})


def form(browser, url="/deed/", **data):
    return browser.post(url, "&".join(f"{k}={v}" for k, v in data.items()), "application/x-www-form-urlencoded")


# ----------------------------------------------------------------------------------------------------------- replay
def test_a_repeated_request_repeats_the_answer_not_the_deed(bobs):
    first, second = post(bobs), post(bobs)
    assert deeds == ["train"]
    assert (second.status_code, second.json()) == (201, {"deed": 1})
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Content-Type"] == "application/json"


def test_without_a_key_every_request_counts(bobs):
    bobs.post("/deed/", {"what": "train"})
    bobs.post("/deed/", {"what": "train"})
    assert len(deeds) == 2
    assert not IdempotencyRecord.objects.exists()


def test_reading_takes_no_key(bobs):
    for _ in range(2):
        bobs.get("/deed/", headers={"Idempotency-Key": "k1"})
    assert len(deeds) == 2


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_every_writing_method(bobs, method):
    for _ in range(2):
        getattr(bobs, method)("/deed/", headers={"Idempotency-Key": "k1"})
    assert len(deeds) == 1


def test_the_field_of_a_plain_form(bobs):
    first = form(bobs, what="train", idempotency_key="k1", csrfmiddlewaretoken="one")
    second = form(bobs, what="train", idempotency_key="k1", csrfmiddlewaretoken="two")
    assert deeds == ["train"]
    assert second.json() == first.json()


def test_a_redirect_with_its_headers_and_without_its_cookies(bobs):
    post(bobs, "/moves-on/")
    again = post(bobs, "/moves-on/")
    assert deeds == ["moved"]
    assert (again.status_code, again.headers["Location"]) == (302, "/elsewhere/")
    assert again.headers["HX-Trigger"] == '{"moved": 1}'
    assert "private" not in again.cookies


def test_an_upload_is_told_apart_by_its_header_only(bobs):
    for _ in range(2):
        file = SimpleUploadedFile("a.png", b"x" * 100)
        bobs.post("/upload/", {"file": file, "idempotency_key": "field"}, headers={"Idempotency-Key": "k1"})
    assert deeds == ["a.png"]
    bobs.post("/upload/", {"file": SimpleUploadedFile("b.png", b"x"), "idempotency_key": "field"})
    bobs.post("/upload/", {"file": SimpleUploadedFile("b.png", b"x"), "idempotency_key": "field"})
    assert deeds == ["a.png", "b.png", "b.png"], "a multipart body is not parsed to look for a key"


def test_json_requests_of_the_api(bobs):
    def ask(key, what):
        body = json.dumps({"what": what})
        return bobs.post("/api/wish", body, "application/json", headers={"Idempotency-Key": key})

    assert ask("k1", "train").json() == {"deed": 1, "what": "train"}
    assert ask("k1", "train").json() == {"deed": 1, "what": "train"}
    assert ask("k1", "generate").status_code == 422
    assert ask("k2", "train").json()["deed"] == 2
    assert deeds == ["train", "train"]


def test_answers_of_any_bytes(bobs):
    answers.append(HttpResponse(bytes(range(256)), content_type="image/x-test"))
    post(bobs)
    again = post(bobs)
    assert again.content == bytes(range(256))
    assert again.headers["Content-Type"] == "image/x-test"


# --------------------------------------------------------------------------------------------------- whose keys
def test_keys_belong_to_a_person(bobs, client_of, rita):
    post(bobs)
    assert post(client_of(rita)).json() == {"deed": 2}


def test_keys_belong_to_a_token():
    one, two = {"Authorization": "Bearer ps_one"}, {"Authorization": "Bearer ps_two"}
    assert [post(Client(), **h).json()["deed"] for h in (one, one, two)] == [1, 1, 2]
    assert "ps_one" not in str(list(IdempotencyRecord.objects.values()))


def test_keys_mean_nothing_to_somebody_unknown():
    post(Client())
    post(Client())
    assert len(deeds) == 2


# -------------------------------------------------------------------------------------------------------- conflicts
@pytest.mark.parametrize(
    ("url", "data", "method"),
    [("/deed/", {"what": "other"}, "post"), ("/deed/?x=1", {"what": "train"}, "post"), ("/deed/", "", "put")],
)
def test_a_key_is_for_one_request(bobs, url, data, method):
    form(bobs, what="train", idempotency_key="k1")
    headers = {"Idempotency-Key": "k1"}
    body = "&".join(f"{k}={v}" for k, v in data.items()) if data else ""
    answer = getattr(bobs, method)(url, body, "application/x-www-form-urlencoded", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("This idempotency key was used for another request.")
    assert deeds == ["train"]


def test_a_key_that_is_too_long(bobs):
    assert post(bobs, key="k" * 100).status_code == 201
    answer = post(bobs, key="k" * 101)
    assert answer.status_code == 422
    assert "at most 100" in answer.json()["detail"]


def test_a_person_reads_a_page_a_program_a_problem(bobs):
    post(bobs)
    page = post(bobs, data={"what": "other thing"}, Accept="text/html")
    assert page.status_code == 422
    assert "This idempotency key was used for another request." in page.text
    assert "<html" in page.text
    fragment = post(bobs, data={"what": "other thing"}, Accept="text/html", **{"HX-Request": "true"})
    assert fragment.headers["Content-Type"] == "application/problem+json"


# -------------------------------------------------------------------------------------------------------- in flight
@pytest.mark.django_db(transaction=True)
def test_a_request_still_in_flight(bobs, bob):
    def first():
        try:
            browser = Client()
            browser.force_login(bob)
            post(browser, "/slow/")
        finally:
            connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    for _ in range(1000):
        if IdempotencyRecord.objects.exists():
            break
        threading.Event().wait(0.01)
    answer = post(bobs, "/slow/")
    assert answer.status_code == 409
    assert int(answer.headers["Retry-After"]) > 0
    assert deeds == []
    gate.set()
    thread.join(timeout=30)
    assert deeds == ["train"]
    assert post(bobs, "/slow/").headers["Idempotent-Replayed"] == "true"
    assert deeds == ["train"]


def test_an_abandoned_request_is_taken_over(bobs):
    post(bobs)
    IdempotencyRecord.objects.update(status=None, body=None)
    assert post(bobs).status_code == 409
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(minutes=6))
    assert post(bobs).json() == {"deed": 2}
    assert post(bobs).headers["Idempotent-Replayed"] == "true"


def test_who_was_taken_over_does_not_overwrite(bobs):
    """The slow one comes back after another has taken its key: the answer of the other stays."""
    post(bobs)
    row = IdempotencyRecord.objects.get()
    before = IdempotencyRecord.objects.get()
    before.created_at -= timedelta(minutes=6)
    idempotency._keep(before, HttpResponse("late"))
    idempotency._ours(before).delete()
    row.refresh_from_db()
    assert bytes(row.body) == b'{"deed": 1}'


# ---------------------------------------------------------------------------------------------- what is not kept
@pytest.mark.parametrize("status", [400, 403, 404, 422, 429, 500, 503])
def test_a_refusal_frees_the_key(bobs, status):
    answers.append(HttpResponse("no", status=status))
    assert post(bobs).status_code == status
    assert not IdempotencyRecord.objects.exists()
    assert post(bobs).status_code == 201
    assert len(deeds) == 2


def test_after_a_correction_the_same_key_is_free(bobs):
    answers.append(HttpResponse("the name is empty", status=422))
    form(bobs, what="", idempotency_key="k1")
    assert form(bobs, what="train", idempotency_key="k1").status_code == 201


def test_a_crash_frees_the_key(bobs):
    bobs.raise_request_exception = False
    answers.append(RuntimeError("broken"))
    assert post(bobs).status_code == 500
    assert not IdempotencyRecord.objects.exists()
    assert post(bobs).status_code == 201


def test_a_stream_is_not_kept(bobs):
    answers.append(StreamingHttpResponse([b"a", b"b"]))
    assert post(bobs).getvalue() == b"ab"
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("is_secret", [True, False])
def test_a_secret_or_a_large_answer_is_not_kept_but_the_deed_not_repeated(bobs, is_secret):
    answer = HttpResponse("ps_very_secret") if is_secret else HttpResponse(b"x" * (256 * 1024 + 1))
    if is_secret:
        answer["Cache-Control"] = "no-store"
    answers.append(answer)
    post(bobs)
    assert IdempotencyRecord.objects.get().body is None
    again = post(bobs)
    assert again.status_code == 409
    assert "has been carried out" in again.json()["detail"]
    assert len(deeds) == 1


def test_a_wrong_csrf_token_frees_the_key(bob):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(bob)
    assert form(browser, what="train", idempotency_key="k1").status_code == 403
    assert deeds == []
    browser.get("/account/profile/")
    token = browser.cookies["csrftoken"].value
    assert form(browser, what="train", idempotency_key="k1", csrfmiddlewaretoken=token).status_code == 201


# ------------------------------------------------------------------------------------------------------------- age
def test_keys_are_forgotten_after_a_day(bobs):
    post(bobs, key="old")
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    post(bobs, key="new")
    assert idempotency.purge_old() == 1
    assert IdempotencyRecord.objects.get().key == "new"


def test_an_old_key_that_was_not_purged_yet_is_free(bobs):
    post(bobs)
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert post(bobs).json() == {"deed": 2}
