"""Pictures and files in the storage: stored once, found again, erased for good, swept when nothing needs them."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import connection, transaction
from PIL import Image

from assets import actions, storing
from assets.actions import erase, prepare_picture, record, store_file, store_generated, store_picture, sweep_orphans
from assets.errors import IntakeError
from assets.folders import character_folder, check_folder, segment, storyboard_folder, style_folder
from assets.metadata import GenerationSettings, read_generation
from assets.models import Asset, StoredFileDamaged
from collaboration.models import Event, Project, User
from tests.assets import build
from tests.assets.conftest import REFERENCES, stored_keys

Upload = Callable[..., Asset]
NOW = timedelta(seconds=-60)


def test_a_picture_is_stored_by_the_convention(upload: Upload, project: Project, bob: User) -> None:
    asset = upload(name="../Mara <3.png")
    assert asset.key == f"{project.slug}/01_Assets/Generative_Assets/Characters/mara/references/{asset.sha256}.png"
    assert (asset.kind, asset.mime, asset.width, asset.height) == ("picture", "image/png", 400, 300)
    assert (asset.original_name, asset.created_by) == ("Mara _3.png", bob)
    with storages["default"].open(asset.key) as file:
        data = file.read()
    assert len(data) == asset.bytes
    assert Image.open(io.BytesIO(data)).tobytes() == build.picture(400, 300).tobytes()
    assert asset.image().tobytes() == build.picture(400, 300).tobytes()


def test_thumbnails_up_to_the_first_that_holds_it_all(upload: Upload) -> None:
    asset = upload(size=(400, 300))
    sizes = {}
    for size, key in asset.thumbnails.items():
        with storages["default"].open(key) as file:
            opened = Image.open(io.BytesIO(file.read()))
        assert opened.format == "WEBP"
        sizes[int(size)] = opened.size
    assert sizes == {160: (160, 120), 320: (320, 240), 640: (400, 300)}
    assert asset.thumbnail_key(1280) == asset.thumbnails["640"]
    assert asset.srcset.endswith(f"{asset.url(640)} 400w")
    assert len(asset.srcset.split(", ")) == 3


def test_the_placeholder_is_tiny(upload: Upload) -> None:
    kind, data = upload().placeholder.split(",")
    assert kind == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (16, 12)
    assert len(data) < 400


def test_lossy_sources_become_jpeg_and_transparent_ones_png(upload: Upload, project: Project, bob: User) -> None:
    assert upload(kind="WEBP").mime == "image/jpeg"
    assert upload(kind="HEIF").key.endswith(".jpg")
    assert upload(kind="TIFF").mime == "image/png"
    see_through = build.picture(200, 200).convert("RGBA")
    see_through.putalpha(Image.linear_gradient("L").resize((200, 200)))
    asset = store_picture(
        project=project, file=build.encode(see_through, "WEBP"), name="a.webp", folder=REFERENCES, actor=bob
    )
    assert asset.mime == "image/png"
    assert asset.image().mode == "RGB"
    with storages["default"].open(asset.thumbnails["160"]) as file:
        assert Image.open(io.BytesIO(file.read())).mode == "RGBA"


def test_nothing_of_the_metadata_is_stored(project: Project, bob: User) -> None:
    block = build.exif(make="SecretCam", latitude=(52.0, 30.0, 0.0), comment=b"ASCII\0\0\0a\nSteps: 20, Seed: 7")
    data = build.encode(
        build.picture(200, 200), "JPEG", exif=block, icc_profile=build.wide_profile(), comment=b"hidden"
    )
    asset = store_picture(project=project, file=data, name="a.jpg", folder=REFERENCES, actor=bob)
    for key in stored_keys():
        with storages["default"].open(key) as file:
            stored = file.read()
        assert not any(word in stored for word in (b"SecretCam", b"Exif", b"Wide test", b"hidden", b"Steps"))
    assert asset.settings_found is not None
    assert asset.settings_found.seed == 7
    assert any("the place it was taken" in note for note in asset.notes)


def test_a_refused_file_leaves_nothing(project: Project, bob: User) -> None:
    with pytest.raises(IntakeError):
        store_picture(project=project, file=b"<svg/>", name="a.png", folder=REFERENCES, actor=bob)
    assert stored_keys() == []
    assert not Asset.objects.exists()


def test_equal_content_is_stored_once_and_keeps_its_rows(upload: Upload) -> None:
    first = upload(name="one.png")
    files = stored_keys()
    second = upload(name="two.png")
    assert stored_keys() == files
    assert first.pk != second.pk
    assert first.key == second.key
    assert (first.original_name, second.original_name) == ("one.png", "two.png")


def test_an_interrupted_write_is_replaced(upload: Upload) -> None:
    asset = upload()
    with storages["default"].open(asset.key) as file:
        whole = file.read()
    storages["default"].delete(asset.key)
    storages["default"].save(asset.key, ContentFile(whole[:100]))
    upload()
    assert asset.image().size == (400, 300)
    assert asset.bytes == storages["default"].size(asset.key)


@pytest.mark.parametrize("folder", ["", "..", "a/../b", "a b", "a//b", "a/.hidden", "a" * 200, "/".join("abcdefghi")])
def test_folders_are_plain(project: Project, bob: User, folder: str) -> None:
    with pytest.raises(ValueError, match="not a storage folder"):
        store_picture(project=project, file=build.small_png(), name="a", folder=folder, actor=bob)


def test_folders_from_names() -> None:
    assert (
        character_folder("Mára Voß / ..", "variations") == "01_Assets/Generative_Assets/Characters/mara-vo/variations"
    )
    assert style_folder("Film Noir", "luts") == "01_Assets/Generative_Assets/Styles/film-noir/luts"
    assert storyboard_folder("女性") == "03_Storyboards/unnamed"
    assert check_folder(segment("x" * 10_000)) == "x" * 60


# ------------------------------------------------------------------------------------------------------- our own
def test_a_generated_picture_carries_its_provenance(project: Project, bob: User) -> None:
    settings = GenerationSettings(source="persona", prompt="Mara, rain", seed=5, steps=20, model="mini")
    image = build.picture(256, 256)
    asset = store_generated(
        project=project,
        image=image,
        settings=settings,
        provenance={"adapter_sha256": "ab", "why": "standard: trained"},
        name="Mara rain 5",
        folder=character_folder("mara", "variations"),
        actor=bob,
    )
    with storages["default"].open(asset.key) as file:
        opened = Image.open(io.BytesIO(file.read()))
    opened.load()
    assert opened.tobytes() == image.tobytes()
    assert opened.text["parameters"].startswith("Mara, rain\nSteps: 20")
    own = json.loads(opened.text["persona"])
    assert (own["adapter_sha256"], own["seed"], own["version"]) == ("ab", 5, 1)
    back = read_generation(opened.text)
    assert back is not None
    assert (back.prompt, back.seed) == ("Mara, rain", 5)
    assert asset.settings_found == settings


def safetensors(tensors: dict[str, Any], data: bytes, **metadata: str) -> bytes:
    header = json.dumps({"__metadata__": metadata, **tensors} if metadata else tensors).encode()
    return struct.pack("<Q", len(header)) + header + data


GOOD = safetensors({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}, b"\0" * 16, title="Mara")


def test_an_adapter(project: Project, bob: User, tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(GOOD)
    asset = store_file(
        project=project,
        file=path,
        name="Mara v1",
        folder=character_folder("mara", "adapters"),
        actor=bob,
        kind="adapter",
    )
    assert asset.key.endswith(f"/mara/adapters/{asset.sha256}.safetensors")
    assert asset.copy_to(tmp_path / "copy").read_bytes() == GOOD


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04" + b"\0" * 100, "pickled"),
        (b"\x80\x02}q\0.", "pickled"),
        (b"\0" * 100, "not a safetensors"),
        (GOOD[:-4], "ends before"),
        (GOOD + b"payload", "ends before"),
        (struct.pack("<Q", 2**62) + b"{}", "not a safetensors"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "not a safetensors"),
        (safetensors({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 16]}}, b"\0" * 16), "not a safetensors"),
        (safetensors({"a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}}, b"\0" * 8), "not a safetensors"),
        (safetensors({"a": 5}, b""), "not a safetensors"),
    ],
)
def test_an_adapter_that_is_none(project: Project, bob: User, data: bytes, words: str) -> None:
    with pytest.raises(IntakeError, match=words):
        store_file(project=project, file=ContentFile(data), name="x.safetensors", folder="a", actor=bob, kind="adapter")
    assert stored_keys() == []


def test_a_changed_file_is_noticed(project: Project, bob: User, tmp_path: Path) -> None:
    asset = store_file(project=project, file=ContentFile(b"{}"), name="m.json", folder="a", actor=bob)
    storages["default"].delete(asset.key)
    storages["default"].save(asset.key, ContentFile(b"[]"))
    with pytest.raises(StoredFileDamaged, match=r"m\.json"):
        asset.copy_to(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


# --------------------------------------------------------------------------------------------------------- erase
def test_erasing_leaves_a_tombstone_and_no_bytes(
    upload: Upload, alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    asset = upload()
    with django_capture_on_commit_callbacks(execute=True):
        erase(asset=asset, actor=alice)
    assert stored_keys() == []
    row = Asset.objects.get(pk=asset.pk)
    assert row.erased_at is not None
    assert (row.original_name, row.sha256, row.key, row.placeholder, row.thumbnails) == ("Erased", "", "", "", {})
    assert row.created_by is not None
    with pytest.raises(FileNotFoundError):
        row.open()
    event = Event.objects.get(kind="asset.erased")
    assert (event.actor, event.subject_id) == (alice, str(asset.pk))
    assert "Mara" not in event.summary + json.dumps(event.payload)


def test_erasing_twice_is_once(upload: Upload, alice: User) -> None:
    asset = upload()
    erase(asset=asset, actor=alice)
    erase(asset=asset, actor=alice)
    assert Event.objects.filter(kind="asset.erased").count() == 1


def test_content_that_another_row_needs_stays_until_the_last(
    upload: Upload, alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    first, second = upload(), upload()
    with django_capture_on_commit_callbacks(execute=True):
        erase(asset=first, actor=alice)
    assert second.image().size == (400, 300)
    with django_capture_on_commit_callbacks(execute=True):
        erase(asset=second, actor=alice)
    assert stored_keys() == []


def test_an_erasure_that_is_rolled_back_erases_nothing(upload: Upload, alice: User) -> None:
    asset = upload()
    with transaction.atomic():
        erase(asset=asset, actor=alice)
        transaction.set_rollback(True)
    row = Asset.objects.get(pk=asset.pk)
    assert row.erased_at is None
    assert row.image().size == (400, 300)


def test_content_erased_between_preparing_and_recording_is_written_again(
    upload: Upload, project: Project, alice: User, bob: User, django_capture_on_commit_callbacks: Any
) -> None:
    asset = upload()
    data = build.encode(build.picture(400, 300), "PNG")
    prepared = prepare_picture(project=project, file=data, name="again.png", folder=REFERENCES)
    with django_capture_on_commit_callbacks(execute=True):
        erase(asset=asset, actor=alice)
    assert stored_keys() == []
    again = record(prepared, actor=bob)
    assert again.image().size == (400, 300)
    assert sorted([again.key, *again.thumbnails.values()]) == stored_keys()


@pytest.mark.django_db(transaction=True)
def test_storing_and_erasing_equal_content_at_once_loses_nothing(project: Project, bob: User) -> None:
    data = build.encode(build.picture(200, 150), "PNG")

    def store_and_erase(rounds: int) -> None:
        try:
            for number in range(rounds):
                asset = store_picture(project=project, file=data, name="same.png", folder=REFERENCES, actor=bob)
                if number % 3:
                    erase(asset=asset, actor=bob)
                else:
                    assert storages["default"].exists(asset.key)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(store_and_erase, 7) for _ in range(4)]:
            done.result()
    present = list(Asset.objects.present())
    assert len(present) == 12
    for asset in present:
        assert asset.image().size == (200, 150)
    for asset in present:
        erase(asset=asset, actor=bob)
    assert stored_keys() == []


# --------------------------------------------------------------------------------------------------------- sweep
def test_the_sweep_deletes_what_no_row_needs(upload: Upload, project: Project) -> None:
    kept = upload(seed=1)
    prepare_picture(
        project=project, file=build.encode(build.picture(300, 300, 2), "PNG"), name="lost.png", folder=REFERENCES
    )
    assert len(stored_keys()) == 7
    assert sweep_orphans() == 0  # young files may belong to a transaction under way
    assert sweep_orphans(older_than=NOW) == 1
    assert stored_keys() == sorted([kept.key, *kept.thumbnails.values()])
    assert sweep_orphans(older_than=NOW) == 0


def test_the_sweep_deletes_thumbnails_whose_picture_never_came(upload: Upload) -> None:
    asset = upload()
    alone = asset.thumbnails["160"].replace(asset.sha256, "ab" * 32)
    storages["default"].save(alone, ContentFile(b"x"))
    assert sweep_orphans(older_than=NOW) == 1
    assert alone not in stored_keys()
    assert len(stored_keys()) == 4


def test_the_sweep_touches_no_other_files_and_no_damaged_asset(upload: Upload) -> None:
    storages["default"].save("checkpoints/step_50.safetensors", ContentFile(b"x"))
    asset = upload()
    storages["default"].delete(asset.key)
    before = stored_keys()
    assert sweep_orphans(older_than=NOW) == 0
    assert stored_keys() == before


def test_the_files_of_a_deleted_project_are_swept(upload: Upload, project: Project) -> None:
    upload()
    Asset.objects.all().delete()
    assert sweep_orphans(older_than=NOW) == 1
    assert stored_keys() == []


def test_the_wiring_finds_the_sweep() -> None:
    assert actions.sweep_orphans is storing.sweep_orphans
