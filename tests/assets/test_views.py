"""/files/<uuid>/ and /files/<uuid>/<size>/"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
from django.core.files.base import ContentFile
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from PIL import Image

from assets import delivery
from assets.actions import erase, store_file
from assets.models import SIZES, Asset
from assets.storing import storage
from collaboration.models import Project, User

Upload = Callable[..., Asset]
ClientOf = Callable[[User], Client]


@pytest.fixture
def local() -> None:
    if hasattr(storage(), "querystring_auth"):
        pytest.skip("Files are answered by the object store itself.")


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


@pytest.mark.usefixtures("local")
def test_a_member_sees_the_picture(client_of: ClientOf, vera: User, upload: Upload) -> None:
    asset = upload(name="Mära.jpeg")
    response = client_of(vera).get(asset.url())
    assert response.status_code == 200
    assert response["Content-Type"] == "image/png"
    assert response["Cache-Control"] == "private, max-age=31536000, immutable"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Disposition"] == "inline; filename*=utf-8''M%C3%A4ra.png"
    assert int(response["Content-Length"]) == asset.bytes == len(content(response))


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize(("size", "expected"), [(160, 160), (320, 320), (640, 400), (1280, 400)])
def test_thumbnails(client_of: ClientOf, vera: User, upload: Upload, size: int, expected: int) -> None:
    response = client_of(vera).get(upload().url(size))
    assert response["Content-Type"] == "image/webp"
    assert Image.open(io.BytesIO(content(response))).width == expected


def test_strangers_and_the_unknown_learn_nothing(
    client_of: ClientOf, charlie: User, upload: Upload, client: Client
) -> None:
    asset = upload()
    for url in (asset.url(), asset.url(320)):
        assert client_of(charlie).get(url).status_code == 404
        assert client.get(url).status_code == 404
    assert client_of(charlie).get("/files/00000000-0000-4000-8000-000000000000/").status_code == 404


def test_sizes_that_do_not_exist(client_of: ClientOf, vera: User, upload: Upload) -> None:
    assert client_of(vera).get(f"{upload().url()}333/").status_code == 404
    with pytest.raises(ValueError, match="long side"):
        upload().url(333)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_only_reading(client_of: ClientOf, vera: User, upload: Upload, method: str) -> None:
    assert getattr(client_of(vera), method)(upload().url()).status_code == 405


def test_an_erased_picture_is_gone(client_of: ClientOf, vera: User, charlie: User, alice: User, upload: Upload) -> None:
    asset = upload()
    erase(asset=asset, actor=alice)
    assert client_of(vera).get(asset.url()).status_code == 410
    assert client_of(vera).get(asset.url(320)).status_code == 410
    assert client_of(charlie).get(asset.url()).status_code == 404


@pytest.mark.usefixtures("local")
def test_head_has_the_length_and_no_body(client_of: ClientOf, vera: User, upload: Upload) -> None:
    asset = upload()
    response = client_of(vera).head(asset.url())
    assert (response.status_code, int(response["Content-Length"]), content(response)) == (200, asset.bytes, b"")


@pytest.mark.usefixtures("local")
def test_what_the_browser_has_is_not_sent_again(client_of: ClientOf, vera: User, upload: Upload) -> None:
    asset = upload()
    client = client_of(vera)
    for url in (asset.url(), asset.url(160)):
        tag = client.get(url)["ETag"]
        assert client.get(url, headers={"if-none-match": tag}).status_code == 304
        assert client.get(url, headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.usefixtures("local")
def test_ranges(client_of: ClientOf, vera: User, upload: Upload) -> None:
    asset = upload()
    client = client_of(vera)
    whole, total = content(client.get(asset.url())), asset.bytes
    for asked, start, end in (
        ("0-9", 0, 10),
        ("10-", 10, total),
        ("-5", total - 5, total),
        (f"3-{total * 2}", 3, total),
    ):
        response = client.get(asset.url(), headers={"range": f"bytes={asked}"})
        assert response.status_code == 206
        assert response["Content-Range"] == f"bytes {start}-{end - 1}/{total}"
        assert content(response) == whole[start:end]
    for unusable in ("bytes=5-2", "bytes=0-1,4-5", "bytes=-", "lines=1-2", "bytes=a-b"):
        response = client.get(asset.url(), headers={"range": unusable})
        assert (response.status_code, content(response)) == (200, whole)
    beyond = client.get(asset.url(), headers={"range": f"bytes={total}-"})
    assert (beyond.status_code, beyond["Content-Range"]) == (416, f"bytes */{total}")
    assert beyond["Cache-Control"] == "private, no-cache"
    changed = client.get(asset.url(), headers={"range": "bytes=0-9", "if-range": '"other"'})
    assert changed.status_code == 200


@pytest.mark.usefixtures("local")
def test_other_files_are_saved_never_shown(client_of: ClientOf, vera: User, project: Project, bob: User) -> None:
    page = ContentFile(b"<script>alert(1)</script>")
    asset = store_file(project=project, file=page, name="x.html", folder="a", actor=bob, extension="txt")
    response = client_of(vera).get(asset.url())
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment")
    assert client_of(vera).get(asset.url(160)).status_code == 404


@pytest.mark.usefixtures("local")
def test_large_files_are_streamed(client_of: ClientOf, vera: User, project: Project, bob: User) -> None:
    data = bytes(range(256)) * 4 * 4096
    asset = store_file(project=project, file=ContentFile(data), name="x", folder="a", actor=bob, extension="txt")
    response = client_of(vera).get(asset.url())
    assert response.streaming
    assert b"".join(response.streaming_content) == data
    part = client_of(vera).get(asset.url(), headers={"range": "bytes=1000000-3999999"})
    assert part.streaming
    assert b"".join(part.streaming_content) == data[1_000_000:4_000_000]


@pytest.mark.usefixtures("local")
@pytest.mark.django_db(transaction=True)
async def test_large_files_are_streamed_to_the_asynchronous_server(project: Project, bob: User) -> None:
    from asgiref.sync import sync_to_async

    data = bytes(range(256)) * 4 * 4096
    asset = await sync_to_async(store_file)(
        project=project, file=ContentFile(data), name="x", folder="a", actor=bob, extension="txt"
    )
    client = AsyncClient()
    await sync_to_async(client.force_login)(bob)
    response = await client.get(asset.url())
    assert response.is_async
    assert b"".join([chunk async for chunk in response.streaming_content]) == data


def test_queries_are_few_and_constant(
    client_of: ClientOf, vera: User, upload: Upload, django_assert_num_queries: Any
) -> None:
    client = client_of(vera)
    assets = [upload(seed=seed) for seed in range(3)]
    for asset in assets:
        with django_assert_num_queries(5):  # session, person, file, role, administration of the studio
            client.get(asset.url(320))


def test_an_object_store_answers_itself(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a signing storage is asked for; its own signature is its maker's to test."""

    class Signing:
        querystring_auth = True

        def url(self, key: str, parameters: dict[str, str], expire: int) -> str:
            return f"https://store.example/{key}?expire={expire}&type={parameters['ResponseContentType']}"

    asset = upload()
    monkeypatch.setattr(delivery, "storage", Signing)
    response = delivery.deliver(RequestFactory().get("/"), asset, 320)
    assert isinstance(response, HttpResponse)
    assert response.status_code == 302
    address = urlsplit(response["Location"])
    assert address.path == "/" + asset.thumbnails["320"]
    query = parse_qs(address.query)
    assert query["type"] == ["image/webp"]
    lifetime = int(query["expire"][0])
    assert response["Cache-Control"] == f"private, max-age={lifetime // 2}"
    assert lifetime <= 600


def test_the_signed_address_answers_with_the_file(client_of: ClientOf, vera: User, upload: Upload) -> None:
    if not hasattr(storage(), "querystring_auth"):
        pytest.skip("Local files are streamed.")
    asset = upload(name="Mära.jpeg")
    redirect = client_of(vera).get(asset.url())
    assert redirect.status_code == 302
    assert "Signature" in redirect["Location"]
    with urlopen(redirect["Location"]) as response:  # noqa: S310 - our own server
        assert response.headers["Content-Type"] == "image/png"
        assert response.headers["Content-Disposition"] == "inline; filename*=utf-8''M%C3%A4ra.png"
        assert response.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert len(response.read()) == asset.bytes


def test_addresses_are_stable(upload: Upload) -> None:
    asset = upload()
    assert asset.url() == asset.url_full == f"/files/{asset.pk}/"
    assert [asset.url(size) for size in SIZES] == [asset.url_160, asset.url_320, asset.url_640, asset.url_1280]


def test_a_missing_file_is_not_found(upload: Upload, rf: RequestFactory) -> None:
    from django.http import Http404

    if hasattr(storage(), "querystring_auth"):
        pytest.skip("The object store answers for what it lost.")
    asset = upload()
    storage().delete(asset.key)
    request: HttpRequest = rf.get("/")
    with pytest.raises(Http404):
        delivery.deliver(request, asset)
