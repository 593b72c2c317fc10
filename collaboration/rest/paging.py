"""Lists in pages by key: a page begins after the last row of the one before, however many rows came or went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from django.core import signing
from django.db.models import Model, Q, QuerySet
from ninja import Query
from pydantic import Field

from collaboration.rest.problems import invalid
from collaboration.rest.schemas import Answer

SALT = "collaboration.rest.paging"
LONGEST_PAGE = 200
Row = TypeVar("Row", bound=Model)

Cursor = Annotated[str, Query(max_length=2000, description="The `next` of the page before; empty for the first page.")]
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="Entries on a page.")]


class Page(Answer):
    next: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


def page(rows: QuerySet[Row], *, order: Sequence[str], cursor: str, limit: int) -> tuple[list[Row], str | None]:
    """Return (rows of the page, cursor of the next one or None).

    `order`: fields or annotations of the rows that are never null, each with `-` in front to descend; the last one
    unique. Raises Problem for a cursor that is not of this list in this order.
    """
    names = [name.removeprefix("-") for name in order]
    if cursor:
        rows = rows.filter(_after(order, _read(cursor, order)))
    found = list(rows.order_by(*order)[: limit + 1])
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    values = [_plain(getattr(last, name)) for name in names]
    return found[:limit], signing.dumps([list(order), values], salt=SALT)


def _plain(value: Any) -> Any:
    return (
        value
        if isinstance(value, int | float | str)
        else value.isoformat()
        if hasattr(value, "isoformat")
        else str(value)
    )


def _read(cursor: str, order: Sequence[str]) -> list[Any]:
    try:
        of, values = signing.loads(cursor, salt=SALT)
    except (signing.BadSignature, ValueError):
        of, values = None, []
    if of != list(order):
        raise invalid({"cursor": ["This cursor does not belong to this list in this order. Begin without one."]})
    return values


def _after(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Rows that come later: greater in the first key, or equal there and greater in the next, and so on."""
    condition, equal = Q(), Q()
    for name, value in zip(order, values, strict=True):
        field, comparison = (name[1:], "lt") if name.startswith("-") else (name, "gt")
        condition |= equal & Q(**{f"{field}__{comparison}": value})
        equal &= Q(**{field: value})
    return condition
