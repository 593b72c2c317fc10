"""Every write about characters, their references and their variations: one transaction, one revision, one event."""

from __future__ import annotations

from characters.actions.characters import (
    Merged,
    NameTaken,
    change_character,
    create_character,
    merge_character,
    restore_character,
    tag_characters,
    trash_character,
    trash_characters,
)
from characters.actions.history import RESTORABLE, WentBack, roll_back, undo_revision
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
    erase_generated_from,
    erase_reference,
    reject_unreadable,
    rejoin_references,
    restore_reference,
    separate_references,
    trash_reference,
    why_not_back,
)
from characters.actions.sheets import (
    approve_takes,
    choose_face,
    note_take,
    order_faces,
    order_sheet,
    order_takes,
    reject_takes,
    reopen_takes,
)
from characters.actions.status import refresh_status
from characters.actions.texts import tell_written, write_description
from characters.actions.variations import (
    pick_variation,
    restore_variation,
    trash_variation,
    unpick_variation,
)

__all__ = [
    "RESTORABLE",
    "Merged",
    "NameTaken",
    "WentBack",
    "accept_look",
    "accept_reading",
    "add_references",
    "approve_takes",
    "change_base_prompt",
    "change_character",
    "check_again",
    "choose_face",
    "create_character",
    "dismiss_look_alike",
    "erase_generated_from",
    "erase_reference",
    "measure_variation",
    "merge_character",
    "note_look_alikes",
    "note_measured",
    "note_profile",
    "note_take",
    "order_faces",
    "order_measurement",
    "order_sheet",
    "order_takes",
    "pick_variation",
    "refresh_status",
    "reject_takes",
    "reject_unreadable",
    "rejoin_references",
    "reopen_takes",
    "restore_character",
    "restore_look_alike",
    "restore_reference",
    "restore_variation",
    "roll_back",
    "separate_references",
    "show_median",
    "stop_measuring",
    "tag_characters",
    "tell_written",
    "trash_character",
    "trash_characters",
    "trash_reference",
    "trash_variation",
    "undo_revision",
    "unpick_variation",
    "why_not_back",
    "write_description",
]
