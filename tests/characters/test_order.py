from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from characters import orders, queries
from characters.models import Character, Preset, Reference, VariationBatch
from characters.variations import Settings
from collaboration.models import Event, Project, User
from gpu_worker import actions as jobs
from gpu_worker.models import Job


def url(character: Character, name: str = "variations") -> str:
    return reverse(f"characters:{name}", args=[character.project.slug, character.pk])


def form(**changes: Any) -> dict[str, Any]:
    fields = {
        "expression": ["happy", "sad"],
        "outfit": ["suit"],
        "outfit_more": "red coat, blue hoodie",
        "text": "",
        "per_combination": "1",
        "tier": "auto",
        "lora_strength": "0.7",
        "image_prompt_strength": "0.6",
        "steps": "8",
        "guidance": "2.5",
        "seed": "77",
        "negative_prompt": "blurry",
    }
    return fields | changes


def with_adapter(character: Character, **changes: Any) -> Any:
    fields = {
        "sha256": "a" * 64,
        "pack": "paper",
        "pack_version": "1.0",
        "architecture": "stable-diffusion-v1",
        "trigger": "sks",
        "rank": 4,
    }
    return jobs.create_adapter(
        project=character.project, subject=("character", character.pk), activate=True, **(fields | changes)
    )


def test_an_order_becomes_a_batch_and_a_job(client_of: Callable[[User], Client], bob: User, mara: Character) -> None:
    response = client_of(bob).post(url(mara), form())
    batch = VariationBatch.objects.get()
    assert response["Location"] == f"{url(mara)}?batch={batch.pk}"
    assert len(batch.plan) == 6
    assert batch.plan[0]["prompt"] == "portrait of a middle-aged woman, red coat, happy, wearing a suit"
    assert batch.settings["seed"] == 77
    assert (batch.tier, batch.tier_reason) == (
        "low",
        "Low, because no adapter has been trained yet; from words alone, because there is no identity profile yet.",
    )
    assert (batch.job.queue, batch.job.units, batch.job.arguments) == (Job.LOW, 6, {"batch": str(batch.pk)})
    assert batch.job.created_by == bob
    assert Event.objects.get(kind="variation.ordered").payload["count"] == 6


def test_htmx_gets_the_batch_with_a_place_for_every_picture(
    sign_in: Callable[..., Client], bob: User, mara: Character
) -> None:
    response = sign_in(bob, htmx=True).post(url(mara), form())
    batch = VariationBatch.objects.get()
    page = response.content.decode()
    assert response.status_code == 201
    assert response["HX-Push-Url"] == f"{url(mara)}?batch={batch.pk}"
    assert len(re.findall(r'class="place"', page)) == 6
    assert '<table class="matrix"' in page
    assert "<html" not in page


def test_an_adapter_brings_the_standard_tier_and_its_word(
    client_of: Callable[[User], Client], bob: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    add(mara, 1)
    adapter = with_adapter(mara)
    client_of(bob).post(url(mara), form())
    batch = VariationBatch.objects.get()
    assert (batch.tier, batch.adapter, batch.tier_reason) == (
        "standard",
        adapter,
        "Standard, because adapter v1 is ready.",
    )
    assert "sks woman" in batch.plan[0]["prompt"]
    client_of(bob).post(url(mara), form(lora_strength="0"))
    silent = VariationBatch.objects.first()
    assert silent is not None
    assert silent.adapter is None
    assert "sks" not in silent.plan[0]["prompt"]


def test_a_tier_that_is_not_there_yet_says_so(client_of: Callable[[User], Client], bob: User, mara: Character) -> None:
    page = client_of(bob).get(url(mara)).content.decode()
    assert "Train this character first." in page
    assert "No model for it is installed" in page
    assert re.search(r'value="high"[^>]* disabled', page)
    client_of(bob).post(url(mara), form(tier="high"))
    assert VariationBatch.objects.get().tier_reason.startswith(
        "Low, because no installed model offers the high tier yet"
    )


def test_a_commercial_project_is_not_led_to_other_terms(
    client_of: Callable[[User], Client], bob: User, mara: Character, monkeypatch: pytest.MonkeyPatch, pack: Any
) -> None:
    import dataclasses

    from gpu_worker import catalog

    closed = dataclasses.replace(pack, licence=dataclasses.replace(pack.licence, commercial=False))
    monkeypatch.setattr(catalog, "default_pack", lambda: closed)
    response = client_of(bob).post(url(mara), form())
    assert response.status_code == 422
    assert "may not be used commercially" in response.content.decode()
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"per_combination": "5"}, "This would be 30 pictures; a batch holds at most 24."),
        ({"steps": "0"}, "Steps must be from 1 to 150; 0 is not."),
        ({"guidance": "nan"}, "Guidance (CFG) must be a number from 1 to 30."),
        ({"seed": "-1"}, "The seed must be from 0"),
        ({"tier": "best"}, "The tier must be auto, low, standard or high."),
        ({"lora_strength": "9"}, "LoRA strength must be from 0 to 1.5; 9 is not."),
        ({"text": "x" * 1001}, "under 1,000 characters"),
        ({"negative_prompt": "x" * 1001}, "Keep the negative prompt under 1,000 characters; it has 1,001."),
        ({"text": "safe \u202eevil"}, "The free text has invisible control characters."),
        ({"pose_more": "\u202egnp"}, "The choice has invisible control characters."),
        ({"light": "neon\0"}, "The choice has invisible control characters."),
        ({"pose_more": "x" * 121}, "Keep each value under 120 characters"),
        ({"steps": "9" * 400}, "Steps must be a number from 1 to 150."),
        ({"per_combination": "9" * 4000}, "This would be far too many pictures; a batch holds at most 24."),
        ({"seed": "9" * 400}, "The seed must be from 0"),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_what_is_refused_says_why_and_keeps_what_was_set(
    sign_in: Callable[..., Client], bob: User, mara: Character, changes: dict[str, str], sentence: str, htmx: bool
) -> None:
    with_adapter(mara)
    response = sign_in(bob, htmx=htmx).post(url(mara), form(**changes))
    page = response.content.decode()
    assert response.status_code == 422
    assert sentence in page
    assert 'value="red coat, blue hoodie"' in page
    assert response.get("HX-Retarget", "") == ("#order" if htmx else "")
    assert not VariationBatch.objects.exists()


def test_who_may(client_of: Callable[[User], Client], vera: User, charlie: User, mara: Character) -> None:
    for name in ("variations", "preset_save"):
        assert client_of(vera).post(url(mara, name), form()).status_code == 403
        assert client_of(charlie).post(url(mara, name), form()).status_code == 404
    assert client_of(vera).get(url(mara, "estimate")).status_code == 403
    assert client_of(charlie).get(url(mara)).status_code == 404
    assert client_of(vera).put(url(mara)).status_code == 405
    page = client_of(vera).get(url(mara))
    assert page.status_code == 200
    assert 'id="order"' not in page.content.decode()
    assert not Job.objects.exists()


# -------------------------------------------------------------------------------------------------- while it is filled
def test_the_estimate_counts_and_names_words_nobody_knows(
    sign_in: Callable[..., Client], bob: User, mara: Character
) -> None:
    partial = sign_in(bob, htmx=True).get(url(mara, "estimate"), form(text="purple dragon")).content.decode()
    assert "6 pictures, about" in partial
    assert "Generate 6" in partial
    assert "Paper pack does not know <b>middle-aged, purple, dragon, blurry</b>" in partial
    assert not Job.objects.exists()


def test_the_estimate_says_what_would_be_refused(sign_in: Callable[..., Client], bob: User, mara: Character) -> None:
    partial = sign_in(bob, htmx=True).get(url(mara, "estimate"), form(per_combination="9")).content.decode()
    assert "This would be 54 pictures" in partial


# ------------------------------------------------------------------------------------------------- again, and presets
def test_the_form_begins_where_the_last_batch_ended_with_a_new_seed(
    client_of: Callable[[User], Client], bob: User, mara: Character
) -> None:
    client = client_of(bob)
    client.post(url(mara), form())
    batch = VariationBatch.objects.get()
    again = client.get(url(mara)).context["form"]
    assert (again["steps"].value(), again["seed"].value()) == (8, None)
    assert again.chosen["outfit"] == ("suit", "red coat", "blue hoodie")
    same = client.get(url(mara), {"from": batch.pk, "seed": "same"}).context["form"]
    assert same["seed"].value() == 77


def test_one_picture_is_varied_with_its_own_seed(
    client_of: Callable[[User], Client], bob: User, mara: Character, batch_of: Callable[..., VariationBatch]
) -> None:
    batch = batch_of(mara, count=1, axes={"expression": ("happy", "sad")})
    sad = batch.variations.get(index=1)
    form_again = client_of(bob).get(url(mara), {"variation": sad.pk}).context["form"]
    assert form_again["seed"].value() == sad.seed == 6
    assert form_again.chosen == {"expression": ("sad",)}


@pytest.mark.parametrize(
    "query", ["preset=x", "preset=999", "from=x", "variation=x", "reference=1", "batch=x", "after=x"]
)
def test_broken_addresses_are_not_found(sign_in: Callable[..., Client], bob: User, mara: Character, query: str) -> None:
    assert sign_in(bob, htmx=query.startswith("after")).get(f"{url(mara)}?{query}").status_code == 404


def test_a_batch_of_somebody_else_is_not_shown_here(
    client_of: Callable[[User], Client], bob: User, mara: Character, batch_of: Callable[..., VariationBatch]
) -> None:
    from characters import actions

    other = actions.create_character(project=mara.project, actor=bob, name="Other")
    assert client_of(bob).get(url(mara), {"batch": batch_of(other).pk}).status_code == 404


def test_a_preset_is_saved_loaded_deleted_and_taken_back(
    client_of: Callable[[User], Client], bob: User, mara: Character
) -> None:
    client = client_of(bob)
    response = client.post(url(mara, "preset_save"), form(preset_name=" Wardrobe  test "))
    preset = Preset.objects.get()
    assert preset.name == "Wardrobe test"
    assert response["Location"] == f"{url(mara)}?preset={preset.pk}#order"
    loaded = client.get(url(mara), {"preset": preset.pk}).context["form"]
    assert loaded.chosen["expression"] == ("happy", "sad")
    assert loaded["seed"].value() is None
    client.post(url(mara, "preset_save"), form(preset_name="Wardrobe test", expression=["sad"]))
    preset.refresh_from_db()
    assert preset.settings["axes"]["expression"] == ["sad"]
    args = [mara.project.slug, preset.pk]
    client.post(reverse("characters:preset_trash", args=args))
    assert queries.presets_of(mara.project) == []
    client.post(reverse("characters:preset_restore", args=args))
    assert queries.presets_of(mara.project) == [preset]
    kinds = Event.objects.filter(kind__startswith="preset.").order_by("seq").values_list("kind", flat=True)
    assert list(kinds) == ["preset.saved", "preset.saved", "preset.trashed", "preset.restored"]


@pytest.mark.parametrize("htmx", [False, True])
def test_a_preset_needs_a_name(sign_in: Callable[..., Client], bob: User, mara: Character, htmx: bool) -> None:
    response = sign_in(bob, htmx=htmx).post(url(mara, "preset_save"), form(preset_name=" "), follow=not htmx)
    assert "The name of the preset is empty." in response.content.decode()
    assert not Preset.objects.exists()


def test_presets_of_another_project_are_not_reached(
    client_of: Callable[[User], Client], bob: User, vera: User, charlie: User, mara: Character, project: Project
) -> None:
    preset = orders.save_preset(project=project, name="One", settings=Settings(), actor=bob)
    where = reverse("characters:preset_trash", args=[project.slug, preset.pk])
    assert client_of(charlie).post(where).status_code == 404
    assert client_of(vera).post(where).status_code == 403
    assert client_of(bob).get(where).status_code == 405


def test_a_preset_is_checked_like_an_order(client_of: Callable[[User], Client], bob: User, mara: Character) -> None:
    fields = form(preset_name="Endless", expression=["x" * 5000])
    response = client_of(bob).post(url(mara, "preset_save"), fields, follow=True)
    assert "Keep each value under 120 characters" in response.content.decode()
    assert not Preset.objects.exists()
