"""Every write about characters, their references and their variations: one transaction, one revision, one event."""

from __future__ import annotations

from characters.actions.characters import (
    NameTaken,
    change_character,
    create_character,
    restore_character,
    tag_characters,
    trash_character,
    trash_characters,
)
from characters.actions.look_alikes import dismiss_look_alike, note_look_alikes, restore_look_alike
from characters.actions.measurements import (
    accept_look,
    measure_variation,
    note_measured,
    order_measurement,
    show_median,
    stop_measuring,
)
from characters.actions.profiles import change_base_prompt, note_profile
from characters.actions.references import (
    accept_reading,
    add_references,
    check_again,
    erase_reference,
    reject_unreadable,
    rejoin_references,
    restore_reference,
    separate_references,
    trash_reference,
)
from characters.actions.status import refresh_status
from characters.actions.variations import (
    pick_variation,
    restore_variation,
    trash_variation,
    unpick_variation,
)

__all__ = [
    "NameTaken",
    "accept_look",
    "accept_reading",
    "add_references",
    "change_base_prompt",
    "change_character",
    "check_again",
    "create_character",
    "dismiss_look_alike",
    "erase_reference",
    "measure_variation",
    "note_look_alikes",
    "note_measured",
    "note_profile",
    "order_measurement",
    "pick_variation",
    "refresh_status",
    "reject_unreadable",
    "rejoin_references",
    "restore_character",
    "restore_look_alike",
    "restore_reference",
    "restore_variation",
    "separate_references",
    "show_median",
    "stop_measuring",
    "tag_characters",
    "trash_character",
    "trash_characters",
    "trash_reference",
    "trash_variation",
    "unpick_variation",
]
