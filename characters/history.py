"""What the parts of a character's snapshot are called."""

from __future__ import annotations

LABELS = {
    "name": "Name",
    "description": "Description",
    "noun": "Noun",
    "age": "Age",
    "traits": "Traits",
    "has_human_face": "Has a human face",
    "tags": "Tags",
    "importance": "Importance",
    "tier": "Tier",
    "picture": "Picture",
    "base_prompt": "Base prompt",
    "references": "References",
    "picked": "Picked",
    "adapter_version": "Adapter",
    "trashed": "In the trash",
}
