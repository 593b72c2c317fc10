"""Casts of any size, written straight into the database: characters, references, variations, the rows of their files.

The files themselves are not written: what is measured are pages, not pictures.
"""

from __future__ import annotations

import json
import random
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

REFERENCES, VARIATIONS = 6, 4
"""Of each character: ten images."""
ROWS_AT_ONCE = 20_000
TAGS = ("lead", "night", "ship", "harbour", "police", "twins", "storm", "extra", "market", "crowd", "child", "ghost")
FIRST = (
    "Mara",
    "Ilse",
    "Tom",
    "Ruth",
    "Ansel",
    "Bela",
    "Cyd",
    "Dora",
    "Emil",
    "Fritz",
    "Greta",
    "Hugo",
    "Ida",
    "Jonas",
)
LAST = ("Voss", "Keller", "Moreau", "Lind", "Okafor", "Sato", "Novak", "Ibarra", "Quist", "Adeyemi")
PLACEHOLDER = "data:image/webp;base64," + "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAgA0JaQAA3AA/vuUAAA" * 4


def write(model: Any, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows that name some columns; the others take their defaults. PostgreSQL: COPY. SQLite: prepared."""
    from django.db import connection

    fields = model._meta.concrete_fields
    given = {name: k for k, name in enumerate(columns)}
    auto = model._meta.auto_field
    fields = [f for f in fields if f is not auto or f.attname in given]
    constant = {f.attname: f.get_db_prep_save(f.get_default(), connection) for f in fields if f.attname not in given}
    postgres = connection.vendor == "postgresql"

    def values() -> Iterator[tuple[Any, ...]]:
        for row in rows:
            yield tuple(
                _plain(f, row[given[f.attname]], connection) if f.attname in given else constant[f.attname]
                for f in fields
            )

    table = connection.ops.quote_name(model._meta.db_table)
    names = ", ".join(connection.ops.quote_name(f.column) for f in fields)
    with connection.cursor() as cursor:
        if postgres:
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in values():
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(fields))
            batch: list[tuple[Any, ...]] = []
            sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names of our own tables
            for row in values():
                batch.append(row)
                if len(batch) == ROWS_AT_ONCE:
                    cursor.executemany(sql, batch)
                    batch = []
            if batch:
                cursor.executemany(sql, batch)


def _plain(field: Any, value: Any, connection: Any) -> Any:
    return field.get_db_prep_save(value, connection)


def fill(*, project: Any, actor: Any, count: int, seed: int = 0) -> None:
    """Give the project `count` characters with ten images each, tags, and some open trainings."""
    from django.db import connection

    from assets.models import Asset
    from characters.models import Character, LookAlike, Reference, Tag, Variation, VariationBatch
    from gpu_worker.models import Job

    rng = random.Random(f"{seed} {count}")
    now = datetime.now(UTC)
    tags = [Tag.objects.get_or_create(project=project, name=name)[0] for name in TAGS]
    ids = [uuid.UUID(int=rng.getrandbits(128), version=4) for _ in range(count)]
    pictures = {
        pk: [uuid.UUID(int=rng.getrandbits(128), version=4) for _ in range(REFERENCES + VARIATIONS)] for pk in ids
    }
    jobs = {pk: uuid.UUID(int=rng.getrandbits(128), version=4) for pk in ids}
    batches = {pk: uuid.UUID(int=rng.getrandbits(128), version=4) for pk in ids}
    thumbnails = {size: f"thumbs/{size}/x.webp" for size in ("160", "320", "640", "1280")}
    write(
        Asset,
        (
            "id",
            "project_id",
            "kind",
            "original_name",
            "sha256",
            "mime",
            "bytes",
            "width",
            "height",
            "key",
            "thumbnails",
            "placeholder",
            "created_by_id",
        ),
        (
            (
                a,
                project.pk,
                "picture",
                f"picture {n}.png",
                f"{a.int:032x}" * 2,
                "image/png",
                400_000,
                1024,
                1280,
                f"files/{a}.png",
                thumbnails,
                PLACEHOLDER,
                actor.pk,
            )
            for pk in ids
            for n, a in enumerate(pictures[pk])
        ),
    )
    statuses = (Character.DRAFT, Character.READY, Character.TRAINED, Character.TRAINED)
    tiers = ("low", "standard", "standard", "high")

    def characters() -> Iterator[tuple[Any, ...]]:
        for n, pk in enumerate(ids):
            yield (
                pk,
                project.pk,
                f"{rng.choice(FIRST)} {rng.choice(LAST)} {n}",
                "Somebody. " * rng.randrange(1, 16),
                "woman",
                "34",
                "red coat, brown hair",
                round(rng.random(), 2),
                rng.choice(tiers),
                rng.choice(statuses),
                pictures[pk][0],
                round(rng.uniform(40, 99), 1) if n % 5 else None,
                REFERENCES,
                actor.pk,
                now - timedelta(days=400),
                now - timedelta(seconds=rng.randrange(30_000_000)),
                now if n % 50 == 49 else None,
            )

    write(
        Character,
        (
            "id",
            "project_id",
            "name",
            "description",
            "noun",
            "age",
            "traits",
            "importance",
            "tier",
            "status",
            "picture_id",
            "score",
            "reference_count",
            "created_by_id",
            "created_at",
            "updated_at",
            "trashed_at",
        ),
        characters(),
    )
    through: Any = Character.tags.through
    write(
        through,
        ("character_id", "tag_id"),
        ((pk, tag.pk) for pk in ids for tag in rng.sample(tags, rng.randrange(0, 4))),
    )
    write(
        Reference,
        ("id", "character_id", "asset_id", "verdict", "added_by_id", "added_at"),
        (
            (
                uuid.UUID(int=rng.getrandbits(128), version=4),
                pk,
                a,
                Reference.PASS,
                actor.pk,
                now - timedelta(seconds=100 - n),
            )
            for pk in ids
            for n, a in enumerate(pictures[pk][:REFERENCES])
        ),
    )
    write(
        Job,
        (
            "id",
            "project_id",
            "kind",
            "title",
            "queue",
            "state",
            "subject_kind",
            "subject_id",
            "created_by_id",
            "step",
            "total",
        ),
        (
            (
                jobs[pk],
                project.pk,
                "variation.generate",
                "Variations",
                "gpu_low",
                Job.DONE,
                "character",
                str(pk),
                actor.pk,
                4,
                4,
            )
            for pk in ids
        ),
    )
    write(
        VariationBatch,
        ("id", "character_id", "job_id", "settings", "plan", "tier", "tier_reason", "pack", "created_by_id"),
        ((batches[pk], pk, jobs[pk], {}, [], "low", "", "mini", actor.pk) for pk in ids),
    )
    write(
        Variation,
        ("id", "batch_id", "character_id", "index", "asset_id", "prompt", "seed", "score", "provenance"),
        (
            (uuid.UUID(int=rng.getrandbits(128), version=4), batches[pk], pk, n, a, "portrait of a woman", n, 80.0, {})
            for pk in ids
            for n, a in enumerate(pictures[pk][REFERENCES:])
        ),
    )
    write(
        Job,
        (
            "id",
            "project_id",
            "kind",
            "title",
            "queue",
            "state",
            "subject_kind",
            "subject_id",
            "created_by_id",
            "step",
            "total",
        ),
        (
            (
                uuid.UUID(int=rng.getrandbits(128), version=4),
                project.pk,
                "training.train",
                "Training",
                "gpu_standard",
                Job.WAITING,
                "character",
                str(pk),
                actor.pk,
                0,
                100,
            )
            for pk in rng.sample(ids, min(20, count))
        ),
    )
    pairs = [sorted(rng.sample(ids, 2)) for _ in range(count // 100)]
    LookAlike.objects.bulk_create(
        [LookAlike(first_id=a, second_id=b, cosine=0.6, false_match_rate=0.001) for a, b in pairs],
        ignore_conflicts=True,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def make(count: int, seed: int, email: str) -> str:
    """Make a project of that size for the person with the address. Returns its slug."""
    from collaboration import actions
    from collaboration.models import Studio, User

    user = User.objects.get(email=email)
    studio = Studio.objects.first() or actions.create_studio(name="Crowd", admin=user)
    project = actions.create_project(studio=studio, name=f"Cast of {count}", actor=user)
    fill(project=project, actor=user, count=count, seed=seed)
    return project.slug


def queries_of(paths: Sequence[str], email: str) -> list[int]:
    """How many queries each address costs the person."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from collaboration.models import User

    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(User.objects.get(email=email))
    found = []
    for path in paths:
        client.get(path)
        with CaptureQueriesContext(connection) as context:
            if (answer := client.get(path)).status_code != 200:
                raise RuntimeError(f"GET {path}: {answer.status_code}")
        found.append(len(context))
    return found


def main() -> None:
    """`make COUNT SEED EMAIL` prints the slug, `queries EMAIL PATH ...` prints a JSON list."""
    import django

    django.setup()
    verb, *rest = sys.argv[1:]
    if verb == "make":
        print(make(int(rest[0]), int(rest[1]), rest[2]))
    else:
        print(json.dumps(queries_of(rest[1:], rest[0])))


if __name__ == "__main__":
    main()
