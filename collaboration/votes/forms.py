from __future__ import annotations

from django import forms

from collaboration.votes.actions import LARGEST_QUORUM


class VotingRulesForm(forms.Form):
    is_blind = forms.BooleanField(
        label="Blind until cast",
        required=False,
        help_text="Who has not voted on an image sees only how many have. Nobody follows the first voice.",
    )
    quorum = forms.IntegerField(
        label="Voters that make a result",
        min_value=1,
        max_value=LARGEST_QUORUM,
        error_messages={"required": "Write how many voters make a result."},
    )
