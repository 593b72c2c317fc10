from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image

from assets.metadata.write import provenance_png
from assets.models import Asset
from characters.models import Character, Reference
from collaboration.models import Event, User
from gpu_worker.models import Job
from tests.characters.conftest import picture


def url(character: Character) -> str:
    return reverse("characters:references", args=[character.project.slug, character.pk])


def file(name: str, content: bytes, mime: str = "image/png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type=mime)


def test_each_file_becomes_a_row_that_is_being_checked(
    sign_in: Callable[..., Client], bob: User, mara: Character
) -> None:
    response = sign_in(bob, htmx=True).post(url(mara), {"files": file("front.png", picture(1))})
    reference = Reference.objects.get()
    row = response.content.decode().strip()
    assert response.status_code == 201
    assert row.startswith(f'<li class="upload checking" id="reference-{reference.pk}"')
    assert "front.png" in row
    assert "Checking" in row
    assert reference.added_by == bob
    job = Job.objects.get(kind="reference.look")
    assert (job.queue, job.arguments) == (Job.CPU, {"references": [str(reference.pk)]})
    assert "/01_Assets/Generative_Assets/Characters/mara/references/" in reference.asset.key
    mara.refresh_from_db()
    assert mara.picture_id == reference.asset_id


def test_many_uploads_are_few_jobs(sign_in: Callable[..., Client], bob: User, mara: Character) -> None:
    client = sign_in(bob, htmx=True)
    for n in range(5):
        client.post(url(mara), {"files": file(f"{n}.png", picture(n))})
    job = Job.objects.get(kind="reference.look")
    assert (len(job.arguments["references"]), job.units) == (5, 5)
    assert Event.objects.filter(kind="reference.added").count() == 5


def test_without_javascript_several_come_at_once(sign_in: Callable[..., Client], bob: User, mara: Character) -> None:
    files = [file("a.png", picture(1)), file("b.png", b"not a picture"), file("c.png", picture(2))]
    page = sign_in(bob).post(url(mara), {"files": files}, follow=True).content.decode()
    assert Reference.objects.count() == 2
    assert "2 pictures are here and being checked." in page
    assert "b.png: " in page


def bad_files() -> list[tuple[str, bytes, str]]:
    whole = picture(1)
    jpeg = io.BytesIO()
    Image.new("RGB", (200, 200), "teal").save(jpeg, "JPEG")
    return [
        ("text.png", b"hello, this is text", "text"),
        ("empty.png", b"", "empty"),
        ("half.jpg", jpeg.getvalue()[:400], "ends before the picture does"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "SVG"),
        ("crc.png", whole[:60] + bytes([whole[60] ^ 255]) + whole[61:], "damaged"),
        ("dot.png", _png(1, 1), "The shorter side needs at least 64"),
    ]


def _png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "content", "sentence"), bad_files(), ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_no_picture_is_refused_with_a_sentence_in_its_row(
    sign_in: Callable[..., Client], bob: User, mara: Character, name: str, content: bytes, sentence: str
) -> None:
    response = sign_in(bob, htmx=True).post(url(mara), {"files": file(name, content)})
    row = response.content.decode()
    assert response.status_code == 422
    assert '<li class="upload rejected">' in row
    assert name in row
    assert sentence in row
    assert not Reference.objects.exists()
    assert not Asset.objects.exists()


def test_no_file_at_all_is_said(sign_in: Callable[..., Client], bob: User, mara: Character) -> None:
    response = sign_in(bob, htmx=True).post(url(mara), {})
    assert response.status_code == 422
    assert "No file arrived." in response.content.decode()


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.png", "<img src=x>.png", "a\u202egnp.png", "🎬.png", "x" * 250 + ".png"]
)
def test_names_are_shown_but_lead_nowhere(
    sign_in: Callable[..., Client], bob: User, mara: Character, name: str
) -> None:
    response = sign_in(bob, htmx=True).post(url(mara), {"files": file(name, picture(3))})
    assert response.status_code == 201
    asset = Asset.objects.get()
    assert ".." not in asset.key
    assert "\u202e" not in asset.original_name
    assert "<img src=x>" not in response.content.decode()


def test_viewers_may_not_and_strangers_learn_nothing(
    sign_in: Callable[..., Client], vera: User, charlie: User, mara: Character
) -> None:
    for user, status in ((vera, 403), (charlie, 404)):
        assert sign_in(user).post(url(mara), {"files": file("a.png", picture(1))}).status_code == status
    assert sign_in(charlie).get(url(mara)).status_code == 404
    assert sign_in(vera).put(url(mara)).status_code == 405
    assert not Asset.objects.exists()


def test_a_file_that_tells_how_it_was_made_offers_its_settings(
    sign_in: Callable[..., Client], bob: User, mara: Character
) -> None:
    told = provenance_png(
        Image.open(io.BytesIO(picture(1))).convert("RGB"),
        parameters="a woman, red coat\nNegative prompt: blurry\nSteps: 28, Sampler: Euler a, CFG scale: 6.5, "
        "Seed: 5000000000, Size: 96x96",
        provenance={},
    )
    client = sign_in(bob)
    row = client.post(url(mara), {"files": file("made.png", told)}, headers={"HX-Request": "true"}).content.decode()
    reference = Reference.objects.get()
    assert "(Automatic1111)" in row
    where = reverse("characters:variations", args=[mara.project.slug, mara.pk]) + f"?reference={reference.pk}"
    assert where in row
    form = client.get(where).context["form"]
    assert form["text"].value() == "a woman, red coat"
    assert (form["steps"].value(), form["guidance"].value()) == (28, 6.5)
    assert form["negative_prompt"].value() == "blurry"
    assert form["seed"].value() == 5_000_000_000 % 2**32


def test_the_page_works_for_those_who_only_look(
    sign_in: Callable[..., Client], vera: User, mara: Character, add: Callable[..., Any]
) -> None:
    add(mara, 2)
    page = sign_in(vera).get(url(mara)).content.decode()
    assert "data-upload" not in page
    assert "/trash/" not in page.split('id="references"')[1].split("</ul>")[0]
