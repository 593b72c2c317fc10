from __future__ import annotations

from typing import Any

from django import forms

from collaboration.notifications.kinds import KINDS
from collaboration.notifications.models import Choice


class ChoicesForm(forms.Form):
    """Two fields for each kind: `reach_<kind>` and `mail_<kind>`."""

    def __init__(self, *args: Any, choices: dict[str, Choice], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind, choice in choices.items():
            label = KINDS[kind].label
            self.fields[f"reach_{kind}"] = forms.ChoiceField(
                label=f"{label}: when",
                choices=Choice.REACHES,
                initial=choice.reach,
                widget=forms.Select(attrs={"class": "input"}),
            )
            self.fields[f"mail_{kind}"] = forms.ChoiceField(
                label=f"{label}: e-mail",
                choices=Choice.MAIL,
                initial=choice.mail,
                widget=forms.Select(attrs={"class": "input"}),
            )

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [
            {"key": key, "kind": kind, "reach": self[f"reach_{key}"], "mail": self[f"mail_{key}"]}
            for key, kind in KINDS.items()
        ]

    def values(self) -> dict[str, tuple[str, str]]:
        return {kind: (self.cleaned_data[f"reach_{kind}"], self.cleaned_data[f"mail_{kind}"]) for kind in KINDS}


class WebhookForm(forms.Form):
    name = forms.CharField(
        label="Name",
        widget=forms.TextInput(attrs={"autocomplete": "off", "dir": "auto", "data-limit": "80"}),
        error_messages={"required": "Write what it is called: the channel, or the program."},
    )
    url = forms.CharField(
        label="Address",
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "url", "placeholder": "https://"}),
        help_text="An incoming webhook of Slack or of a compatible chat, or of a program of yours.",
        error_messages={"required": "Write the address, beginning with https://."},
    )
    kinds = forms.MultipleChoiceField(
        label="Told of",
        choices=[(key, kind.label) for key, kind in KINDS.items()],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one thing that the webhook is told of."},
    )
