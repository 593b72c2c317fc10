"""Forms about projects and people. What a value must be is decided by the actions; forms only carry it there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError

from collaboration.actions import LONGEST_INVITATION, LONGEST_TOKEN
from collaboration.bands import Bands
from collaboration.models import Project, Studio, User
from collaboration.verbs import ROLE_VERBS, ROLE_WORDS, WORDS, Role, Verb

ROLE_CHOICES = [(role.value, f"{role.value.capitalize()} - {ROLE_WORDS[role]}") for role in Role]


@contextmanager
def refused_into(form: forms.Form, field: str | None = None) -> Iterator[None]:
    """Show what an action refuses as an error of the form, beside `field` or above all fields."""
    try:
        yield
    except ValidationError as error:
        form.add_error(field, error)


def _line(label: str, empty: str, *, limit: int = 120, **options: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "off", "dir": "auto", "data-limit": str(limit)})
    return forms.CharField(label=label, widget=widget, error_messages={"required": empty}, **options)


class ProjectForm(forms.Form):
    """A new project, in a studio that is there or in a new one."""

    NEW = "new"

    name = _line("Name", "Write the name of the film or series.")
    studio = forms.ChoiceField(label="Studio", error_messages={"required": "Choose a studio."})
    studio_name = _line(
        "Name of the new studio", "", required=False, help_text="The company or team that makes the project."
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.studios = {str(s.pk): s for s in Studio.objects.open_to(user)}
        if self.studios:
            names = [(pk, s.name) for pk, s in self.studios.items()]
            studio = cast("forms.ChoiceField", self.fields["studio"])
            studio.choices = [*names, (self.NEW, "A new studio")]
            self.fields["studio_name"].help_text = "Only if you chose a new studio."
        else:
            del self.fields["studio"]
            self.fields["studio_name"].label = "Name of your studio"

    @property
    def chosen_studio(self) -> Studio | None:
        return self.studios.get(self.cleaned_data.get("studio", self.NEW))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("studio", self.NEW) == self.NEW and not cleaned.get("studio_name"):
            self.add_error("studio_name", "Write the name of the studio.")
        return cleaned


class SettingsForm(forms.Form):
    name = _line("Name", "Write the name of the film or series.")
    description = forms.CharField(
        label="Description", required=False, widget=forms.Textarea(attrs={"rows": 3, "dir": "auto"})
    )
    is_commercial = forms.BooleanField(
        label="Commercial production",
        required=False,
        help_text="Only models whose licence allows commercial use are chosen for this project.",
    )
    domain = forms.ChoiceField(
        label="Domain",
        choices=Project.DOMAINS,
        initial=Project.AUTOMATIC,
        help_text="What its pictures are. Identity is measured by a model that was made for them.",
        error_messages={"required": "Choose what the pictures of the project are."},
    )


def _score(label: str, help_text: str) -> forms.FloatField:
    return forms.FloatField(
        label=label,
        help_text=help_text,
        widget=forms.NumberInput(attrs={"min": "1", "max": "99", "step": "0.5", "inputmode": "decimal"}),
        error_messages={"required": "Write a score from 0 to 100.", "invalid": "Write a score as a number."},
    )


class BandsForm(forms.Form):
    """What `bands.Bands` takes."""

    excellent = _score("Excellent from", "One stranger in a thousand reaches 85.")
    good = _score("Good from", "One stranger in a hundred reaches 70. Below, a picture needs review.")

    @classmethod
    def of(cls, bands: Bands) -> BandsForm:
        return cls(initial={"excellent": f"{bands.excellent:g}", "good": f"{bands.good:g}"})


class RoleForm(forms.Form):
    role = forms.ChoiceField(
        choices=ROLE_CHOICES,
        error_messages={"required": "Choose a role.", "invalid_choice": "There is no role called %(value)s."},
    )


class InvitationForm(RoleForm):
    role = forms.ChoiceField(label="Role", choices=ROLE_CHOICES, initial=Role.ARTIST.value)
    days = forms.IntegerField(
        label="Open for (days)",
        initial=7,
        error_messages={"invalid": "Write a whole number of days.", "required": "Write a number of days."},
        widget=forms.NumberInput(attrs={"min": 1, "max": LONGEST_INVITATION}),
    )


class SceneForm(forms.Form):
    code = _line("Code", "Write a code, for example SC010.", limit=20)
    name = _line("Name", "", required=False)


class ShotForm(forms.Form):
    code = _line("Code", "Write a code, for example SH010.", limit=20)
    description = forms.CharField(
        label="Description", required=False, widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"})
    )


class ProfileForm(forms.Form):
    name = _line("Name", "Write the name by which your team knows you.")
    uses_keys = forms.BooleanField(
        label="Single keys do something",
        required=False,
        help_text="J and K walk, 1 to 5 vote, D draws; the key ? lists them. Off: only Tab, Enter and the arrows act.",
    )


class TokenForm(forms.Form):
    name = _line(
        "Name", "Write what the token is for.", limit=80, help_text="What it is for, for example: render farm."
    )
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=[(verb.value, WORDS[verb]) for verb in Verb],
        initial=sorted(ROLE_VERBS[Role.ARTIST]),
        widget=forms.CheckboxSelectMultiple,
        help_text="Never more than you may yourself in a project. Seeing is always among it.",
        error_messages={"required": "Choose at least one thing that the token may do."},
    )
    days = forms.TypedChoiceField(
        label="Expires",
        coerce=int,
        empty_value=None,
        required=False,
        initial="90",
        choices=[("30", "in 30 days"), ("90", "in 90 days"), (str(LONGEST_TOKEN), "in a year"), ("", "never")],
    )
