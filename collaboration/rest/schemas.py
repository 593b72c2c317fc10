"""What requests and answers are made of."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import ninja
from pydantic import ConfigDict, Field

from collaboration.models import User


class Body(ninja.Schema):
    """A request. Fields it does not know are refused, so that a misspelt one is not lost in silence."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_max_length=200_000)

    def given(self) -> dict[str, Any]:
        """Only what the request named."""
        return self.model_dump(exclude_unset=True)


class Answer(ninja.Schema):
    """An answer, made by us."""


class PersonOut(Answer):
    id: int = Field(examples=[7])
    name: str = Field(examples=["Alice Moreau"])


class ProblemOut(Answer):
    """A refusal (RFC 9457)."""

    type: str = Field(description="Kind of problem, for programs.", examples=["/api/v1/docs#problem-invalid"])
    title: str = Field(examples=["Something is not right"])
    status: int = Field(examples=[422])
    detail: str = Field(description="What is wrong and what to do.", examples=["The name is empty."])
    instance: str = Field("", description="The address that was asked for.")
    errors: dict[str, list[str]] = Field(
        default_factory=dict, description="Field -> sentences.", examples=[{"name": ["The name is empty."]}]
    )


def person(user: User | None) -> PersonOut | None:
    return PersonOut(id=user.pk, name=user.display_name) if user else None


__all__ = ["UUID", "Answer", "Body", "PersonOut", "ProblemOut", "datetime", "person"]
