from __future__ import annotations

from typing import Any, cast

from django import forms

from collaboration.models import Project
from collaboration.reviews.models import Review


class ReviewForm(forms.Form):
    title = forms.CharField(
        label="Title",
        widget=forms.TextInput(attrs={"autocomplete": "off", "dir": "auto", "data-limit": "120"}),
        error_messages={"required": "Write what the review is called."},
    )
    brief = forms.CharField(
        label="What is to be decided",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "dir": "auto"}),
    )
    is_blind = forms.BooleanField(
        label="Blind until cast",
        required=False,
        help_text="While the review is open, who has not voted on an image sees only how many have.",
    )


class NewReviewForm(ReviewForm):
    """A new review, or more images for one that is open."""

    into = forms.ChoiceField(label="Where to", required=False)

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.open = {str(r.pk): r for r in Review.objects.present().filter(project=project, closed_at=None)[:50]}
        field = cast("forms.ChoiceField", self.fields["into"])
        field.choices = [("", "A new review"), *((pk, review.title) for pk, review in self.open.items())]
        if not self.open:
            del self.fields["into"]
        else:
            self.fields["title"].required = False
            self.order_fields(["into"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not cleaned.get("into") and not cleaned.get("title") and "title" not in self.errors:
            self.add_error("title", "Write what the review is called.")
        return cleaned
