"""References: upload, checks, trash."""

from __future__ import annotations

import base64
import binascii
from typing import IO, Annotated, Any, Literal

from django.db import transaction
from ninja import Query, Router, Status
from pydantic import Field, ValidationError

from assets import actions as assets
from assets.errors import IntakeError
from assets.folders import character_folder
from assets.names import clean_name
from characters import actions, queries
from characters.api import schemas
from characters.api.characters import in_use
from characters.api.schemas import AddedOut, ReferenceOut, ReferencePage, RefusedOut, Verdict
from characters.models import Character, Reference
from characters.permissions import access_character, access_reference
from collaboration.models import User
from collaboration.permissions import Verb, require
from collaboration.rest.auth import ApiRequest
from collaboration.rest.paging import Cursor, Limit, page
from collaboration.rest.parsing import parse_json
from collaboration.rest.problems import Problem, from_schema, invalid
from collaboration.rest.schemas import UUID, Answer, Body
from gpu_worker.models import Job

router = Router(tags=["References"])

MOST_FILES = 30
"""In one request."""


class ImageIn(Body):
    name: str = Field("image", max_length=10_000, description="Name of the file, for people.", examples=["mara-01.png"])
    data: str = Field(
        description="The file in base64, with or without `data:...;base64,` in front.", examples=["iVBORw0KGgo="]
    )


class ImagesIn(Body):
    model_config = Body.model_config | {"str_max_length": 80 * 1024 * 1024}

    images: list[ImageIn] = Field(min_length=1, max_length=MOST_FILES)


_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MOST_FILES,
                        "items": ImageIn.model_json_schema(),
                    }
                },
            }
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": f"1-{MOST_FILES} image files of at most 50 MB and 64 megapixels each.",
                    }
                },
            }
        },
    },
}


@router.get("/characters/{uuid:character_id}/references", response=ReferencePage, summary="List references")
def references(
    request: ApiRequest,
    character_id: UUID,
    verdict: Annotated[list[Verdict] | None, Query(description="Only these; repeat it for several.")] = None,
    trashed: Annotated[bool, Query(description="Those in the trash instead.")] = False,
    cursor: Cursor = "",
    limit: Limit = 100,
) -> ReferencePage:
    """In the order in which they were added, with their checks."""
    character = access_character(request.auth, character_id)
    rows = Reference.objects.filter(character=character, trashed_at__isnull=not trashed)
    if verdict:
        rows = rows.filter(verdict__in=verdict)
    rows = rows.select_related("asset", "added_by")
    found, following = page(rows, order=["added_at", "id"], cursor=cursor, limit=limit)
    return ReferencePage(items=[schemas.reference_out(r) for r in found], next=following)


@router.post(
    "/characters/{uuid:character_id}/references",
    response={201: AddedOut},
    summary="Add references",
    openapi_extra={"requestBody": _BODY},
)
def add(request: ApiRequest, character_id: UUID) -> Status:
    """Upload image files as multipart/form-data (field `files`, repeated) or in base64 as JSON.

    Each file is decoded within bounds, turned upright, converted to 8-bit sRGB and stripped of its metadata; a file
    that cannot be used is named under `refused` while the others are added. If none can be used the answer is 422. A
    worker then looks at each picture: read the verdicts from the list of references, about once a second.
    """
    character = in_use(request.auth, character_id, Verb.UPLOAD)
    prepared, refused = [], []
    for name, file in _files(request):
        try:
            prepared.append(
                assets.prepare_picture(
                    project=character.project,
                    file=file,
                    name=name,
                    folder=character_folder(character.name, "references"),
                )
            )
        except IntakeError as error:
            refused.append((name, error))
    if not prepared:
        raise _none_taken(refused)
    added = _record(character, prepared, request.auth)
    shown = [RefusedOut(name=_short(name), code=error.code, sentence=error.sentence) for name, error in refused]
    return Status(201, AddedOut(added=[schemas.reference_out(r) for r in added], refused=shown, job=_job_of(added)))


def _files(request: ApiRequest) -> list[tuple[str, bytes | IO[Any]]]:
    """(name, content) of every file in the request. Raises Problem."""
    if request.content_type == "multipart/form-data":
        files: list[tuple[str, bytes | IO[Any]]] = [
            (file.name or "image", file) for file in request.FILES.getlist("files")
        ]
        if other := sorted(set(request.FILES) - {"files"}):
            raise invalid({other[0]: [f"Send the files in the field `files`, not `{other[0]}`."]})
        if not files:
            raise invalid({"files": ["The field `files` holds no file. Send at least one image."]})
        if len(files) > MOST_FILES:
            raise invalid({"files": [f"These are {len(files)} files; send at most {MOST_FILES} at once."]})
        return files
    if not (request.content_type or "").endswith("json"):
        raise Problem("unreadable", "Send image files as multipart/form-data, or base64 as application/json.")
    try:
        body = ImagesIn.model_validate(parse_json(request))
    except ValidationError as error:
        raise from_schema([{**e, "loc": ("body", "payload", *e["loc"])} for e in error.errors()]) from None
    return [(image.name, _decoded(place, image.data)) for place, image in enumerate(body.images)]


def _decoded(place: int, data: str) -> bytes:
    _, _, coded = data.partition(";base64,") if data.startswith("data:") else ("", "", data)
    try:
        return base64.b64decode("".join(coded.split()), validate=True)
    except (binascii.Error, ValueError):
        field = f"images.{place}.data"
        raise invalid({field: [f"`{field}` is not base64. Encode the bytes of the file, with padding."]}) from None


def _none_taken(refused: list[tuple[str, IntakeError]]) -> Problem:
    errors = {_short(name): [error.sentence] for name, error in refused}
    return invalid(errors, kind="too-large" if all(e.code == "too_large" for _, e in refused) else "invalid")


def _short(name: str) -> str:
    return clean_name(name)


def _record(character: Character, prepared: list[assets.Prepared], actor: User) -> list[Reference]:
    with transaction.atomic():
        stored = [assets.record(one, actor=actor) for one in prepared]
        return actions.add_references(character=character, assets=stored, actor=actor)


def _job_of(references: list[Reference]) -> UUID | None:
    rows = Job.objects.open().filter(kind="reference.look", subject_id=str(references[0].character_id))
    wanted = str(references[-1].pk)
    return next((job.pk for job in rows if wanted in job.arguments["references"]), None)


class SeparateIn(Body):
    references: list[UUID] = Field(min_length=1, max_length=200, description="Ids, all of this character.")
    to: Literal["trash", "character"] = Field(description="Where they go: the trash, or a new character.")


class SeparatedOut(Answer):
    character: UUID | None = Field(description="The new character they went into; null: the trash.")


@router.post(
    "/characters/{uuid:character_id}/references/separate",
    response=SeparatedOut,
    summary="Take out references of another person",
)
def separate(request: ApiRequest, character_id: UUID, payload: SeparateIn) -> SeparatedOut:
    """References whose check `identity` did not pass show another person than most. This takes them out together: to
    the trash, or into a new character of their own."""
    into_character = payload.to == "character"
    character = in_use(request.auth, character_id, Verb.EDIT)
    if into_character:
        require(request.auth, Verb.CREATE, character.project)
    chosen = queries.references_by_id(character, [str(pk) for pk in payload.references])
    other = actions.separate_references(
        character=character, references=chosen, actor=request.auth, into_character=into_character
    )
    return SeparatedOut(character=other.pk if other else None)


@router.get("/references/{uuid:reference_id}", response=ReferenceOut, summary="Show a reference")
def reference(request: ApiRequest, reference_id: UUID) -> ReferenceOut:
    return schemas.reference_out(access_reference(request.auth, reference_id))


@router.delete("/references/{uuid:reference_id}", response=ReferenceOut, summary="Move a reference to the trash")
def trash(request: ApiRequest, reference_id: UUID) -> ReferenceOut:
    """The others are counted, held out and learnt from anew."""
    found = _in_use(request, reference_id)
    actions.trash_reference(reference=found, actor=request.auth)
    return schemas.reference_out(access_reference(request.auth, reference_id))


@router.post(
    "/references/{uuid:reference_id}/restore", response=ReferenceOut, summary="Restore a reference from the trash"
)
def restore(request: ApiRequest, reference_id: UUID) -> ReferenceOut:
    found = _in_use(request, reference_id)
    if found.asset.erased_at is not None:
        raise Problem("gone", "This reference was erased for good and cannot come back.")
    if why_not := actions.why_not_back(found):
        raise Problem("conflict", why_not)
    actions.restore_reference(reference=found, actor=request.auth)
    return schemas.reference_out(access_reference(request.auth, reference_id))


def _in_use(request: ApiRequest, reference_id: UUID) -> Reference:
    """The reference, to be changed. Raises Problem while its character is in the trash."""
    found = access_reference(request.auth, reference_id, verb=Verb.EDIT)
    in_use(request.auth, found.character_id, Verb.EDIT)
    return found
