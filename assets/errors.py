"""Why a file was refused, for a program (`code`) and for a person (`sentence`)."""

from __future__ import annotations


class IntakeError(ValueError):
    """A file that is not taken in. `code` is stable; `sentence` says what is wrong and what to do.

    Codes: `empty`, `too_large`, `not_a_picture`, `svg`, `text`, `html`, `pdf`, `video`, `archive`, `raw`,
    `unsupported`, `too_many_pixels`, `side_too_long`, `too_small`, `truncated`, `damaged`, `text_bomb`,
    `too_complex`, `transparent`.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def truncated(kind: str) -> IntakeError:
    return IntakeError(
        "truncated", f"This {kind} file ends before the picture does: part of it is missing. Copy or export it again."
    )


def damaged(kind: str) -> IntakeError:
    return IntakeError("damaged", f"This {kind} file is damaged and cannot be read. Copy or export it again.")


def wrong_checksum(kind: str) -> IntakeError:
    return IntakeError(
        "damaged",
        f"A checksum inside this {kind} file does not match its content, so the file was damaged on its way. "
        "Copy or export it again.",
    )
