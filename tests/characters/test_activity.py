"""What happens to characters and in training, in the feed of the project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from assets.models import Asset
from characters import actions, orders
from characters.models import Character, VariationBatch
from characters.variations import Settings
from collaboration.models import User
from training.models import TrainingRun
from training.subjects import RUN


@pytest.fixture
def busy(mara: Character, bob: User, stored: Callable[..., Asset], batch_of: Callable[..., VariationBatch]) -> str:
    """A project in which something of each kind happened; the address of its feed."""
    reference = actions.add_references(character=mara, assets=[stored(mara, 1)], actor=bob)[0]
    actions.pick_variation(variation=batch_of(mara, count=1).variations.get(), actor=bob)
    orders.save_preset(project=mara.project, name="Portraits", settings=Settings(), actor=bob)
    actions.erase_reference(reference=reference, actor=bob)
    return reverse("collaboration:activity", args=[mara.project.slug])


@pytest.mark.parametrize(
    ("topic", "shown"),
    [
        ("Characters", ["created Mara"]),
        ("References", ["added 1 reference to Mara", "erased a reference of Mara for good"]),
        ("Variations", ["ordered 1 variation of Mara", "picked a variation of Mara", "saved the preset Portraits"]),
        ("Files", ["erased a picture for good"]),
    ],
)
def test_the_feed_is_narrowed_to_a_topic(
    client_of: Callable[[User], Client], vera: User, busy: str, topic: str, shown: list[str]
) -> None:
    page = client_of(vera).get(busy, {"topic": topic})
    entries = [e.summary for day in page.context["days"] for e, _ in day.entries]
    assert sorted(entries) == sorted(shown)
    assert [t["label"] for t in page.context["topics"] if t["current"]] == [topic]


def test_every_topic_is_offered_once(client_of: Callable[[User], Client], vera: User, busy: str) -> None:
    labels = [t["label"] for t in client_of(vera).get(busy).context["topics"]]
    assert labels == sorted(set(labels), key=labels.index)
    assert {"Characters", "References", "Variations", "Training", "Files"} <= set(labels)
    assert not {"Character", "Reference", "Variation", "Preset", "Profile", "Asset", "Adapter"} & set(labels)


def test_one_query_finds_all_the_characters_of_the_feed(
    client_of: Callable[[User], Client],
    vera: User,
    alice: User,
    mara: Character,
    django_assert_max_num_queries: Any,
) -> None:
    client, feed = client_of(vera), reverse("collaboration:activity", args=[mara.project.slug])
    client.get(feed)
    with django_assert_max_num_queries(30) as before:
        client.get(feed)
    made = [actions.create_character(project=mara.project, actor=alice, name=f"Extra {n}") for n in range(12)]
    with django_assert_max_num_queries(len(before)):
        page = client.get(feed).content.decode()
    assert all(f'href="{character.get_absolute_url()}"' in page for character in made)


def test_one_query_finds_all_the_trainings_of_the_feed(
    mara: Character, batch_of: Callable[..., VariationBatch], django_assert_num_queries: Any
) -> None:
    runs = [
        TrainingRun.objects.create(
            character=mara, job=batch_of(mara, count=1, made=0).job, tier="standard", recipe={}, references=[]
        )
        for _ in range(3)
    ]
    assert RUN.find_many is not None
    with django_assert_num_queries(1):
        found = RUN.find_many([str(run.pk) for run in runs])
        links = {RUN.url(row) + RUN.title(row) for row in found.values()}
    assert len(links) == 3
