"""The form of a gate. What its values must be is decided by the actions."""

from __future__ import annotations

from typing import Any, cast

from django import forms

from collaboration.approvals.actions import LARGEST_NEED
from collaboration.approvals.models import Gate
from collaboration.models import User
from collaboration.queries import members_of
from collaboration.subjects import Target
from collaboration.verbs import Role


class GateForm(forms.Form):
    name = forms.CharField(
        label="Name",
        widget=forms.TextInput(attrs={"autocomplete": "off", "dir": "auto", "data-limit": "60"}),
        help_text="What the team calls it: Likeness, Wardrobe, Final.",
        error_messages={"required": "Write what the team calls it."},
    )
    aspect = forms.ChoiceField(
        label="What is approved", help_text="The approval is lost when something of this changes, and only then."
    )
    needed = forms.IntegerField(
        label="How many approve",
        min_value=1,
        max_value=LARGEST_NEED,
        error_messages={"required": "Write how many have to approve."},
    )
    roles = forms.MultipleChoiceField(
        label="Everybody who is",
        required=False,
        choices=[(role.value, role.value.capitalize()) for role in reversed(Role) if role != Role.VIEWER],
        widget=forms.CheckboxSelectMultiple,
    )
    people = forms.MultipleChoiceField(label="And these people", required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, subject: Target, gate: Gate | None = None, **kwargs: Any) -> None:
        if gate is not None:
            kwargs.setdefault(
                "initial",
                {
                    "name": gate.name,
                    "aspect": gate.aspect,
                    "needed": gate.needed,
                    "roles": gate.roles,
                    "people": [str(person.pk) for person in gate.people.all()],
                },
            )
        else:
            kwargs.setdefault("initial", {"needed": 1, "roles": [Role.LEAD.value, Role.OWNER.value]})
        super().__init__(*args, **kwargs)
        self.members: dict[str, User] = {str(m.user_id): m.user for m in members_of(subject.project)}
        cast("forms.ChoiceField", self.fields["aspect"]).choices = [(a, a) for a in subject.handler.aspects]
        people = cast("forms.ChoiceField", self.fields["people"])
        people.choices = [(pk, person.display_name) for pk, person in self.members.items()]

    def values(self) -> dict[str, Any]:
        """Arguments of the actions."""
        return self.cleaned_data | {"people": [self.members[pk] for pk in self.cleaned_data["people"]]}
