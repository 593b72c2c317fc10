"""References: upload as files and as base64, verdicts, trash."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest

from assets.models import Asset
from characters.models import Reference
from collaboration.verbs import Verb
from gpu_worker.models import Job
from tests.api.conftest import ok, png, problem, upload


@pytest.fixture
def path(mara):
    return f"/characters/{mara.pk}/references"


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_several_files_are_added_at_once_and_looked_at_by_one_job(api, bob, mara, path):
    files = [upload(f"mara-{k}.png", png(k)) for k in range(3)]
    answer = ok(api(bob).post(path, files=files), 201)
    assert [r["name"] for r in answer["added"]] == ["mara-0.png", "mara-1.png", "mara-2.png"]
    assert {r["verdict"] for r in answer["added"]} == {"checking"}
    assert answer["refused"] == []
    job = Job.objects.get()
    assert answer["job"] == str(job.pk)
    assert job.arguments["references"] == [r["id"] for r in answer["added"]]
    assert answer["added"][0]["picture"]["width"] == 320
    assert ok(api(bob).get(path))["items"] == answer["added"]


def test_images_come_as_base64_too(api, bob, path):
    images = [{"name": "a.png", "data": coded(png(1))}, {"data": "data:image/png;base64," + coded(png(2))}]
    answer = ok(api(bob).post(path, {"images": images}), 201)
    assert [r["name"] for r in answer["added"]] == ["a.png", "image"]


def test_a_file_that_cannot_be_used_does_not_keep_the_others_out(api, bob, path):
    files = [upload("good.png", png(1)), upload("notes.txt", b"Dear Mara, " * 50), upload("cut.png", png(2)[:2000])]
    answer = ok(api(bob).post(path, files=files), 201)
    assert [r["name"] for r in answer["added"]] == ["good.png"]
    assert {(r["name"], r["code"]) for r in answer["refused"]} == {("notes.txt", "text"), ("cut.png", "truncated")}
    assert all(r["sentence"].endswith(".") for r in answer["refused"])
    assert Asset.objects.count() == 1


def _huge_png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("notes.png", b"just some words in a file " * 20, "text"),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        ("huge.png", _huge_png(), "50,000"),
        ("empty.png", b"", "empty"),
        ("tiny.png", png(1, size=1), "1 × 1"),
    ],
)
def test_when_no_file_can_be_used_each_reason_is_said(api, bob, path, name, data, words):
    body = {"images": [{"name": name, "data": coded(data)}]}
    refusal = problem(api(bob).post(path, body), 422)
    assert words in refusal["errors"][name][0]
    assert not Asset.objects.exists()
    assert not Job.objects.exists()


def test_a_file_that_is_too_large_is_413(api, bob, path, monkeypatch):
    monkeypatch.setattr("assets.limits.MAX_PICTURE_BYTES", 1000)
    problem(api(bob).post(path, files=[upload("large.png", png(1))]), 413)


def test_a_json_body_that_is_too_large_is_413(api, bob, path, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    refusal = problem(api(bob).post(path, {"images": [{"data": coded(png(1))}]}), 413)
    assert "multipart" in refusal["detail"]


def test_names_of_files_are_made_safe(api, bob, path):
    names = ["../../etc/passwd", "mara\u202egnp.exe", "<b>x</b>.png", "x" * 9000 + ".png", "Zoë 🌊.png"]
    images = [{"name": name, "data": coded(png(k))} for k, name in enumerate(names)]
    added = [r["name"] for r in ok(api(bob).post(path, {"images": images}), 201)["added"]]
    assert added[0] == "passwd"
    assert "\u202e" not in added[1]
    assert "<" not in added[2]
    assert len(added[3]) <= 200
    assert added[4] == "Zoë 🌊.png"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "images"),
        ({"images": []}, "images"),
        ({"images": [{"name": "a.png"}]}, "images.0.data"),
        ({"images": [{"data": "%%% not base64"}]}, "images.0.data"),
        ({"images": [{"data": "YWJj", "size": 3}]}, "images.0.size"),
        ({"images": [{"data": "YQ=="}] * 31}, "images"),
        ({"images": "YWJj"}, "images"),
    ],
)
def test_a_body_that_is_wrong_is_refused_by_field(api, bob, path, body, field):
    assert field in problem(api(bob).post(path, body), 422)["errors"]


@pytest.mark.parametrize("body", ["{", "", "[1, 2", b"\xff\xfe", "[" * 100_000, '{"images": "\\u0000"}'])
def test_what_is_no_json_is_400(api, bob, path, body):
    problem(api(bob).post(path, body or " "), 400)


def test_another_kind_of_body_is_refused(api, bob, path):
    asking = api(bob)
    headers = asking.headers
    response = asking.client.post(f"/api/v1{path}", png(1), content_type="image/png", headers=headers)
    assert "multipart" in problem(response, 400)["detail"]


def test_files_in_another_field_are_named(api, bob, path):
    assert "`files`" in problem(api(bob).post(path, picture=upload("a.png", png(1))), 422)["detail"]
    assert "no file" in problem(api(bob).post(path, files="text"), 422)["detail"]


def test_verdicts_checks_and_who_is_held_out(api, bob, mara, path, with_references):
    with_references(mara, 10)
    found = ok(api(bob).get(path))["items"]
    assert {r["verdict"] for r in found} == {"pass"}
    assert sum(r["is_held_out"] for r in found) == 2
    assert {"face", "sharpness", "duplicate"} <= {c["name"] for c in found[0]["checks"]}
    assert all(c["sentence"] and c["word"] for c in found[0]["checks"])
    assert len(ok(api(bob).get(path, verdict="reject"))["items"]) == 0
    character = ok(api(bob).get(f"/characters/{mara.pk}"))
    assert (character["reference_count"], character["references_missing"], character["status"]) == (10, 0, "ready")


def test_the_same_picture_twice_is_rejected_by_its_check(api, bob, mara, path, with_references):
    with_references(mara, 2)
    again = ok(api(bob).post(path, files=[upload("again.png", png(0))]), 201)["added"][0]
    assert again["verdict"] == "checking"
    assert Reference.objects.count() == 3


def test_to_the_trash_and_back(api, bob, mara, path, with_references):
    first = with_references(mara, 5)[0]
    asking = api(bob)
    assert ok(asking.delete(f"/references/{first.pk}"))["trashed_at"]
    assert len(ok(asking.get(path))["items"]) == 4
    assert ok(asking.get(f"/characters/{mara.pk}"))["reference_count"] == 4
    assert [r["id"] for r in ok(asking.get(path, trashed=True))["items"]] == [str(first.pk)]
    assert ok(asking.post(f"/references/{first.pk}/restore"))["trashed_at"] is None
    assert ok(asking.get(f"/references/{first.pk}"))["verdict"] == "pass"


def test_what_was_erased_does_not_come_back(api, bob, mara, with_references):
    from characters import actions

    first = with_references(mara, 1)[0]
    actions.erase_reference(reference=first, actor=bob)
    problem(api(bob).post(f"/references/{first.pk}/restore"), 410)
    problem(api(bob).get(f"/assets/{first.asset_id}/file"), 410)
    assert ok(api(bob).get(f"/references/{first.pk}"))["name"] == "Erased"


def test_strangers_and_viewers(api, charlie, vera, mara, path, with_references):
    reference = with_references(mara, 1)[0]
    files = {"files": [upload("a.png", png(5))]}
    problem(api(charlie).post(path, **files), 404)
    problem(api(charlie).get(path), 404)
    problem(api(charlie).get(f"/references/{reference.pk}"), 404)
    problem(api(charlie).delete(f"/references/{reference.pk}"), 404)
    ok(api(vera).get(path))
    problem(api(vera).post(path, files=[upload("a.png", png(5))]), 403)
    problem(api(vera).delete(f"/references/{reference.pk}"), 403)
    assert Reference.objects.present().count() == 1


def test_a_token_without_upload_uploads_nothing(api, bob, path):
    problem(api(bob, Verb.EDIT).post(path, files=[upload("a.png", png(1))]), 403)


def test_nothing_is_added_to_a_character_in_the_trash(api, bob, mara, path):
    ok(api(bob).delete(f"/characters/{mara.pk}"))
    problem(api(bob).post(path, files=[upload("a.png", png(1))]), 409)


def test_nothing_is_removed_from_a_character_in_the_trash(api, bob, mara, with_references):
    reference = with_references(mara, 1)[0]
    ok(api(bob).delete(f"/characters/{mara.pk}"))
    problem(api(bob).delete(f"/references/{reference.pk}"), 409)
    problem(api(bob).post(f"/references/{reference.pk}/restore"), 409)
    reference.refresh_from_db()
    assert reference.trashed_at is None


def test_a_repeated_upload_adds_nothing_twice(api, bob, path):
    body, key = {"images": [{"name": "a.png", "data": coded(png(1))}]}, {"Idempotency-Key": "upload-1"}
    first = ok(api(bob).post(path, body, headers=key), 201)
    again = api(bob).post(path, body, headers=key)
    assert ok(again, 201) == first
    assert again["Idempotent-Replayed"] == "true"
    assert Reference.objects.count() == 1


def test_a_list_takes_the_same_queries_however_long(api, bob, mara, path, with_references, count_queries):
    with_references(mara, 1)
    asking = api(bob)
    ok(asking.get(path))
    before = count_queries(lambda: ok(asking.get(path)))
    with_references(mara, 6, looked=False)
    assert count_queries(lambda: ok(asking.get(path))) == before
