"""Every component of the interface in every state, on one page, while developing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from collaboration.bands import Bands

NAMES = ("Mara Voss", "João Pires", "Old Tilda", "Inspector Hale", "Noor", "Captain Brandt", "Wen", "Sister Agnes")
PERSONS = ["Alice Moreau", "Bob Okafor", "Rita Sand", "Leo Brandt", "Vera Lind", "Ines Faro", "Tom Hale", "Yuki Mori"]
PEOPLE = [
    {
        "display_name": name,
        "initials": "".join(word[0] for word in name.split()),
        "hue": hue,
        "email": f"{name.split()[0].lower()}@example.org",
    }
    for hue, name in enumerate(PERSONS, start=1)
]


class SampleForm(forms.Form):
    name = forms.CharField(help_text="As the team calls this person.")
    importance = forms.FloatField(
        required=False, min_value=0, max_value=1, help_text="0 is an extra, 1 carries the film."
    )
    tier = forms.ChoiceField(choices=[("low", "Low"), ("standard", "Standard"), ("high", "High")])
    description = forms.CharField(widget=forms.Textarea, required=False)
    rights = forms.ChoiceField(
        widget=forms.RadioSelect, choices=[("own", "We made these pictures"), ("licensed", "We have a licence")]
    )
    lead = forms.BooleanField(required=False, label="Leads the film")


def drawn_picture(number: int) -> dict[str, Any]:
    """Return a simple drawn portrait as a data: address, so that the page needs no files."""
    ground, coat = 24 + number * 47 % 360, 200 + number * 83 % 160
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 100">'
        f'<rect width="80" height="100" fill="hsl({ground} 22% 44%)"/>'
        '<circle cx="40" cy="42" r="17" fill="hsl(28 34% 58%)"/>'
        f'<path d="M8 100c2-22 14-34 32-34s30 12 32 34z" fill="hsl({coat} 28% 32%)"/></svg>'
    )
    return {"url": "data:image/svg+xml," + quote(drawing), "width": 400, "height": 500, "alt": "A drawn portrait"}


def score(value: int | None, reason: str = "") -> dict[str, Any]:
    band = Bands().of(value or 0)
    detail = "cosine .71 against 4 held-out references, false-match rate under 1 in 1,000"
    return {"value": value, "band": band, "reason": reason, "detail": detail if value is not None else ""}


def context(picture: Any = drawn_picture) -> dict[str, Any]:
    """Return what the page shows; `picture(number)` makes the pictures."""
    scores = [score(92), score(88), score(79), score(None, "profile view"), score(95), score(86), score(58), score(81)]
    meta = ["standard · adapter v3", "high · adapter v1", "low · 6 references", "standard · 8 of 10 references"] * 2
    cards = [
        {
            "id": i,
            "name": n,
            "url": "#",
            "picture": picture(i),
            "score": scores[i],
            "meta": meta[i],
            "people": PEOPLE[i : i + i % 3],
        }
        for i, n in enumerate(NAMES)
    ]
    cards[7] |= {"meta": "training", "progress": {"value": 0.64, "label": "Training"}, "people": []}
    columns = ["Raincoat, harbour", "Suit, office", "Striped shirt, beach", "Hoodie, night"]
    cells = [
        {
            "id": i,
            "url": "#",
            "picture": picture(8 + i),
            "score": score([93, 88, 90, 74, 91, None, 64][i], "profile view") if i < 7 else None,
            "model": "standard",
            "why": "Chosen because high has 14 jobs waiting.",
            "state": ["done"] * 7 + ["working", "waiting", "failed", "cancelled", "waiting"],
            "caption": columns[i % 4],
            "can_pick": True,
            "picked": i == 0,
            "selectable": True,
            "pick_url": "#",
        }
        for i in range(12)
    ]
    for i, cell in enumerate(cells):
        cell["state"] = (["done"] * 7 + ["working", "waiting", "failed", "cancelled", "waiting"])[i]
    cells[7] |= {"value": 0.6, "sentence": "Step 12 of 20"}
    cells[9]["sentence"] = "The worker ran out of memory. Try a smaller picture."
    bound = SampleForm({"name": "", "importance": "7", "tier": "low", "rights": "own"})
    passed = {"state": "pass", "word": "Sharp", "sentence": "Fine detail is there."}
    rows = [
        {
            "id": 1,
            "name": "mara_front_01.png",
            "size": 1_840_000,
            "picture": picture(0),
            "state": "accepted",
            "checks": [{"state": "pass", "word": "One face"}, passed, {"state": "pass", "word": "New angle"}],
            "remove_url": "#",
        },
        {
            "id": 2,
            "name": "mara_soft.jpg",
            "size": 640_000,
            "picture": picture(1),
            "state": "warned",
            "checks": [
                {"state": "pass", "word": "One face"},
                {
                    "state": "warn",
                    "word": "A little soft.",
                    "sentence": "It can be used, but sharper ones train better.",
                },
            ],
            "remove_url": "#",
        },
        {
            "id": 3,
            "name": "crowd.webp",
            "size": 2_100_000,
            "picture": picture(2),
            "state": "rejected",
            "why": "This image has three faces. Crop it to the one that is meant, or choose another.",
            "checks": [],
            "remove_url": "#",
        },
        {
            "id": 4,
            "name": "🎬 a very long name that somebody gave to a file because nobody told them to stop.png",
            "size": 3_000_000,
            "picture": picture(3),
            "state": "checking",
            "checks": [],
        },
    ]
    return {
        "me": PEOPLE[0] | {"pk": 1},
        "people": PEOPLE,
        "current_project": {"name": "Harbour Lights", "slug": "harbour-lights"},
        "projects": [
            {"name": "Harbour Lights", "slug": "harbour-lights"},
            {"name": "The Long Winter", "slug": "winter"},
        ],
        "places": [
            {"label": "Characters", "icon": "users", "url": "#", "current": True, "count": 12},
            {"label": "Training", "icon": "activity", "url": "#training", "count": 1},
            {"label": "Activity", "icon": "history", "url": "#activity"},
            {"label": "People", "icon": "user-plus", "url": "#people"},
        ],
        "queue_pulse": {"url": "#", "working": 1, "waiting": 4, "text": "1 training · 4 waiting"},
        "search_url": "#",
        "facets": [
            {"label": "All", "url": "#", "count": 12, "current": True},
            *(
                {"label": label, "url": "#", "count": count}
                for label, count in [("High", 3), ("Standard", 5), ("Low", 4), ("Needs review", 1), ("Untrained", 4)]
            ),
        ],
        "cards": cards,
        "rows": rows,
        "form": SampleForm(),
        "bound": bound,
        "scores": [score(97), score(78), score(52), score(None, "profile view")],
        "facts": [
            {"name": "Cosine", "value": ".712"},
            {"name": "References", "value": "4 held out"},
            {"name": "False matches", "value": "under 1 in 1,000"},
            {"name": "Encoder", "value": "mini identity v1"},
        ],
        "states": ["waiting", "working", "done", "failed", "paused", "cancelled"],
        "checks": [
            passed,
            {"state": "warn", "word": "Dark", "sentence": "The face is underexposed by about two stops."},
            {
                "state": "reject",
                "word": "No face",
                "sentence": "There is no face we can use. Crop closer or choose another.",
            },
        ],
        "steps": [
            {"label": "12 of 10 references", "state": "done"},
            {"label": "Identity", "state": "done"},
            {"label": "Adapter v4 is training", "state": "now", "url": "#"},
            {"label": "Approved by 2 of 3", "state": "todo"},
            {"label": "Rights missing", "state": "blocked", "url": "#"},
        ],
        "tiers": [
            {"name": "Low", "need": 5, "reached": True, "note": "Ready"},
            {"name": "Standard", "need": 10, "reached": True, "note": "Ready"},
            {"name": "High", "need": 20, "reached": False, "note": "8 more, best from the side and from below"},
        ],
        "tabs": [
            {"label": label, "url": "#", "count": count, "current": label == "Variations"}
            for label, count in [
                ("Overview", None),
                ("References", 12),
                ("Variations", 48),
                ("Training", None),
                ("History", None),
            ]
        ],
        "sorts": [
            {"value": "importance", "label": "Importance", "checked": True},
            {"value": "name", "label": "Name"},
            {"value": "score", "label": "Score"},
        ],
        "menu": [
            {"label": "Rename", "url": "#", "icon": "pencil"},
            {"label": "Copy link", "url": "#", "icon": "link"},
            {"label": ""},
            {"label": "Move to trash", "url": "#", "icon": "trash-2", "post": True, "danger": True},
        ],
        "actions": [
            {"label": "Train", "icon": "activity", "url": "#"},
            {"label": "Generate", "icon": "sparkles", "url": "#"},
            {"label": "Tag", "icon": "tag", "url": "#"},
            {"label": "Trash", "icon": "trash-2", "url": "#"},
        ],
        "columns": columns,
        "matrix": [
            {"label": label, "cells": cells[i * 4 : i * 4 + 4]} for i, label in enumerate(["Neutral", "Happy", "Angry"])
        ],
        "chips": ["blue hair", "heavy brows", "moustache", "61 years"],
        "points": "0,4 10,8 20,11 30,14 40,16 50,19 60,20 70,22 80,23 90,24 100,24",
        "raw": "0,3 5,9 10,5 15,13 20,9 25,15 30,12 40,19 50,16 60,22 70,20 80,25 90,22 100,25",
        "a": {"picture": picture(8), "title": "Neutral · raincoat", "score": score(93)},
        "b": {"picture": picture(10), "title": "Neutral · striped shirt", "score": score(79)},
        "moment": timezone.now() - timedelta(minutes=4),
    }


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    return render(request, "styleguide.html", context())
