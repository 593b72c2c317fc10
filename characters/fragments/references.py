"""References: their rows and what they cover together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.urls import reverse

from characters import scoring
from characters.checks import angle_of, main_face
from characters.fragments.parts import Audience, picture
from characters.models import HOLD_OUT_FROM, REFERENCES_NEEDED, TIERS, Character, Reference
from collaboration.verbs import Verb
from gpu_worker import catalog

VERDICTS = {
    Reference.CHECKING: ("checking", "Checking"),
    Reference.PASS: ("accepted", "Ready"),
    Reference.WARN: ("warned", "Usable"),
    Reference.REJECT: ("rejected", "Rejected"),
}


def reference(row: Reference, audience: Audience, *, slug: str) -> dict[str, Any]:
    """Context of characters/_reference.html: one uploaded picture and what its checks found."""
    state, word = VERDICTS[row.verdict]
    args = [slug, row.character_id, row.pk]
    fine = [c for c in row.checks if c["verdict"] == "pass"]
    found = row.asset.generation
    return {
        "id": row.pk,
        "state": state,
        "word": word,
        "name": row.asset.original_name,
        "size": f"{row.asset.width} × {row.asset.height} px" if row.asset.width else "",
        "picture": picture(row.asset, size=160, alt=row.asset.original_name),
        "full_url": row.asset.url(),
        "page_url": reverse("characters:reference", args=args),
        "troubles": [c for c in row.checks if c["verdict"] != "pass"],
        "fine": fine,
        "notes": row.asset.notes,
        "is_held_out": row.is_held_out,
        "is_generated": row.is_generated,
        "origin": row.get_origin_display() if row.is_generated else "",
        "made_url": reverse("characters:variation", args=[slug, row.made_from_id]) if row.made_from_id else "",
        "settings_from": SOURCES.get(found.get("source", ""), "another tool") if found and not row.is_generated else "",
        "settings_url": reverse("characters:variations", args=args[:2]) + f"?reference={row.pk}"
        if found and not row.is_generated
        else "",
        "added_by": row.added_by,
        "added_at": row.added_at,
        "remove_url": reverse("characters:reference_trash", args=args) if Verb.EDIT in audience else "",
        "restore_url": reverse("characters:reference_restore", args=args) if Verb.EDIT in audience else "",
        "erase_url": reverse("characters:reference_erase", args=args) if Verb.DELETE in audience else "",
    }


SOURCES = {
    "persona": "this studio",
    "automatic1111": "Automatic1111",
    "swarmui": "SwarmUI",
    "comfyui": "ComfyUI",
    "invokeai": "InvokeAI",
}

ANGLES = (("left", "Left"), ("front", "Front"), ("right", "Right"), ("profile", "Profile"))


def references_summary(character: Character, rows: Sequence[Reference], audience: Audience) -> dict[str, Any]:
    """Context of characters/_references_summary.html: counts for each tier, what is held out, coverage of angles."""
    slug = character.project.slug
    seen = scoring.readings([r.asset_id for r in rows], catalog.default_pack())
    usable = [r for r in rows if r.verdict in (Reference.PASS, Reference.WARN)]
    faces = [(r, f) for r in usable if (s := seen.get(r.asset_id)) and (f := main_face(s))]
    counted = Counter(angle_of(face) for _, face in faces)
    held_out = sum(r.is_held_out for r in usable)
    checking = [r for r in rows if r.verdict == Reference.CHECKING]
    return {
        "character": character,
        "have": len(usable),
        "uploaded": sum(not r.is_generated for r in usable),
        "generated": sum(r.is_generated for r in usable),
        "total": len(rows),
        "rejected": sum(r.verdict == Reference.REJECT for r in rows),
        "checking": len(checking),
        "tiers": [_tier_row(character, tier, label, len(usable)) for tier, label in TIERS],
        "held_out": held_out,
        "held_out_from": HOLD_OUT_FROM,
        "dots": _dots(faces),
        "angles": [{"word": word, "count": counted[key]} for key, word in ANGLES],
        "advice": _advice(counted, len(faces)),
        "refresh_url": reverse("characters:references_summary", args=[slug, character.pk]),
        "watched": ",".join(str(r.pk) for r in checking),
        "check_url": reverse("characters:references_check", args=[slug, character.pk])
        if Verb.UPLOAD in audience
        else "",
    }


def references_notices(character: Character, rows: Sequence[Reference], audience: Audience) -> dict[str, Any]:
    """Context of characters/_references_notices.html: what is wrong with the references as a whole. `rows`: in the
    order in which they were added."""
    usable = [r for r in rows if r.verdict in (Reference.PASS, Reference.WARN)]
    checking = any(r.verdict == Reference.CHECKING for r in rows)
    return {
        "strangers": _strangers(character, rows, audience),
        "none_usable": _none_usable(rows) if rows and not usable and not checking else None,
    }


def _strangers(character: Character, rows: Sequence[Reference], audience: Audience) -> dict[str, Any] | None:
    """Those whose face is not that of most of the others."""
    judged = [(r, c) for r in rows for c in r.checks if c["name"] == "identity"]
    odd = [r for r, c in judged if c["verdict"] != "pass"]
    together = sum(c["word"] == "Another person" for _, c in judged)
    if not odd:
        return None
    same = len(judged) - len(odd)
    args = [character.project.slug, character.pk]
    may = Verb.EDIT in audience
    if not same:
        title = "No two of these pictures show the same person"
        text = "Keep those that show who is meant, and remove the others. Identity is learnt from what they share."
    else:
        count = f"{len(odd)} picture{' looks' if len(odd) == 1 else 's look'}"
        whom = "another person" if len(odd) == 1 or together == len(odd) else "other people"
        title = f"{count} like {whom}"
        text = (
            f"{same} of {len(judged)} faces are of one person, and these are not. What is learnt from both is neither: "
            "take them out, or make a character of their own of them."
        )
    return {
        "title": title,
        "text": text,
        "ids": [r.pk for r in odd],
        "pictures": [picture(r.asset, size=160, alt=r.asset.original_name) for r in odd],
        "url": reverse("characters:references_separate", args=args) if may and same else "",
        "can_create": Verb.CREATE in audience,
        "them": "it" if len(odd) == 1 else "them",
    }


def _none_usable(rows: Sequence[Reference]) -> dict[str, Any]:
    """Nothing can be learnt from what is here: why, and what to do."""
    reasons = Counter(c["word"] for r in rows for c in r.checks if c["verdict"] == "reject")
    return {
        "title": "This picture cannot be used" if len(rows) == 1 else f"None of these {len(rows)} pictures can be used",
        "reasons": [{"word": word, "count": count} for word, count in reasons.most_common()],
        "text": "Nothing is learnt, measured or trained until there is one that can. Add pictures in which one face is "
        "large, sharp and seen from the front or the side; a crop to the head and shoulders is best.",
    }


def _tier_row(character: Character, tier: str, label: str, have: int) -> dict[str, Any]:
    need = REFERENCES_NEEDED[tier]
    missing = max(0, need - have)
    note = "Enough." if not missing else f"{missing} more needed."
    if tier == character.tier:
        note += " This character's tier."
    return {"name": label, "need": need, "reached": not missing, "note": note}


def _dots(faces: Sequence[tuple[Reference, Any]]) -> list[dict[str, Any]]:
    """Each usable reference on a half circle seen from above, by where its face looks: {x, y, is_held_out, words}."""
    dots, taken = [], Counter[int]()
    for row, face in sorted(faces, key=lambda pair: pair[1].yaw):
        yaw = max(-90.0, min(90.0, face.yaw))
        ring = taken[round(yaw / 8)]
        taken[round(yaw / 8)] += 1
        radius = 84 - 9 * min(ring, 5)
        angle = math.radians(yaw)
        dots.append(
            {
                "x": f"{100 + radius * math.sin(angle):.1f}",
                "y": f"{14 + radius * math.cos(angle):.1f}",
                "is_held_out": row.is_held_out,
                "is_generated": row.is_generated,
                "words": f"{row.asset.original_name}, {abs(yaw):.0f}° {'left' if yaw < 0 else 'right'}",
            }
        )
    return dots


def _advice(counted: Counter[str], total: int) -> str:
    if total < 3:
        return ""
    if not counted["front"]:
        return "No frontal view yet. It is the one most is learnt from."
    if missing := [word for word in ("left", "right") if not counted[word]]:
        return f"Nothing looks {' or '.join(missing)} yet. A turned head teaches the shape of the face."
    return "Front and both sides are covered."
