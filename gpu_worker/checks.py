"""What a request must fulfil before anything is loaded for it, in sentences a person can act on.

This module imports nothing but the standard library: a web host can refuse a request when it is made, and a worker
refuses it again before it runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

from gpu_worker.contracts import GenerateRequest, LookRequest, Request, RunError, SeriesRequest, TrainRequest
from gpu_worker.packs import Pack, words

STEPS_AT_MOST: Final = 20_000
SIDE: Final = (16, 4096)
BEST_OF: Final = 8
CHOOSES: Final = "conditioning"
"""The encoder that chooses among candidates."""


def check(request: Request, pack: Pack) -> None:
    """Raise RunError where `request` cannot be carried out with `pack`."""
    if isinstance(request, GenerateRequest):
        check_generate(request, pack)
    elif isinstance(request, SeriesRequest):
        check_series(request, pack)
    elif isinstance(request, TrainRequest):
        check_train(request, pack)
    else:
        check_look(request, pack)


def check_generate(request: GenerateRequest, pack: Pack) -> None:
    if not request.pictures:
        raise RunError("There are no pictures to make.")
    if len({picture.index for picture in request.pictures}) != len(request.pictures):
        raise RunError("Two pictures of the batch have the same index.")
    if any(not 0 <= picture.seed < 2**63 for picture in request.pictures):
        raise RunError("A seed must be a whole number from 0 to 9223372036854775807.")
    _within("The number of steps", request.steps, 1, 150)
    _within("The guidance", request.guidance, 1, 30)
    _within("The batch size", request.batch_size, 1, 64)
    _within("The number of candidates", request.best_of, 1, BEST_OF)
    _within("The width", request.width, *SIDE, unit=" pixels")
    _within("The height", request.height, *SIDE, unit=" pixels")
    if request.adapter is not None:
        _within("The adapter's strength", request.adapter.strength, 0, 1.5)
    if request.identity is not None:
        _within("The image prompt's strength", request.identity.strength, 0, 1)
        _check_embedding(request.identity.embedding, "The image prompt")
        _within("The strength of the identity ControlNet", request.identity.control, 0, 1.5)
        if request.identity.control > 0 and pack.controlnet is None:
            raise RunError(f"The model {pack.name} has no identity ControlNet. Choose another tier or another model.")
    _check_companions(request)
    if request.best_of > 1:
        if request.identity is None:
            raise RunError("The best of several candidates is chosen by whom it shows; this request names nobody.")
        if CHOOSES not in pack.encoders:
            raise RunError(f"The model {pack.name} has no encoder {CHOOSES} to choose among candidates with.")
    for picture in request.pictures:
        if picture.keypoints and len(picture.keypoints) != 5:
            raise RunError(f"Picture {picture.index + 1} has {len(picture.keypoints)} keypoints; a face has 5.")
    _check_encoders(request.encoders, pack)


def check_series(request: SeriesRequest, pack: Pack) -> None:
    if not request.parts:
        raise RunError("There are no pictures to make.")
    for part in request.parts:
        check_generate(part, pack)
    if any(part.pack != request.pack for part in request.parts):
        raise RunError("All parts of a series must be made with the same model.")
    indices = [picture.index for part in request.parts for picture in part.pictures]
    if len(set(indices)) != len(indices):
        raise RunError("Two pictures of the series have the same index.")


def _check_companions(request: GenerateRequest) -> None:
    people = [*([request.identity] if request.identity else []), *request.companions]
    for person in people:
        if person.region is not None:
            left, top, right, bottom = person.region
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise RunError("A person's region lies from left to right and from top to bottom within 0 and 1.")
    if not request.companions:
        return
    if request.identity is None or any(person.region is None for person in people):
        raise RunError("Where several people are in a picture, each needs a region.")
    if any(person.control > 0 for person in people):
        raise RunError("The identity ControlNet places one face. Leave it out where several people are in a picture.")
    for companion in request.companions:
        _within("The image prompt's strength", companion.strength, 0, 1)
        _check_embedding(companion.embedding, "The image prompt")


def check_train(request: TrainRequest, pack: Pack) -> None:
    if not request.pictures:
        raise RunError("There are no pictures to train on. Choose at least one.")
    if not (math.isfinite(request.learning_rate) and 0 < request.learning_rate <= 1):
        raise RunError(
            f"The learning rate is {request.learning_rate}; it must be a number above 0 and at most 1, "
            "for example 0.001."
        )
    _within("The number of steps", request.steps, 1, STEPS_AT_MOST)
    _within("The rank", request.rank, 1, 512)
    _within("The alpha", request.alpha, 1e-3, 4096)
    _within("The dropout", request.dropout, 0, 0.9)
    _within("The caption dropout", request.caption_dropout, 0, 1)
    _within("The batch size", request.batch_size, 1, 256)
    _within("The number of warm-up steps", request.warmup_steps, 0, STEPS_AT_MOST)
    _within("The number of steps between checkpoints", request.checkpoint_every, 1, STEPS_AT_MOST)
    _within("The number of checkpoints to keep", request.keep_checkpoints, 1, 1000)
    _within("The number of steps between samples", request.sample_every, 1, STEPS_AT_MOST)
    for step in request.hand_out_at:
        _within("The step to hand out", step, 1, request.steps)
    _within("The resolution", request.resolution, *SIDE, unit=" pixels")
    _within("The seed", request.seed, 0, 2**63 - 1)
    if any(not 0 <= sample.seed < 2**63 for sample in request.samples):
        raise RunError("The seed of a sample must be a whole number from 0 to 9223372036854775807.")
    if len(request.samples) > 100:
        raise RunError("At most 100 samples can be made at a time.")
    if not request.targets:
        raise RunError("The recipe names no layers to train (targets).")
    trigger = request.trigger.strip()
    if not trigger:
        raise RunError("The training needs a trigger word: a word that will stand for the character in prompts.")
    if unknown := pack.unknown_words(trigger):
        raise RunError(
            f"The model {pack.name} knows a fixed list of words, and the trigger {', '.join(unknown)} is not among "
            "them. Choose a trigger from its vocabulary."
        )
    for number, picture in enumerate(request.pictures, start=1):
        if not _holds(picture.caption, trigger):
            raise RunError(
                f"The caption of picture {number} does not hold the trigger word {trigger}: {picture.caption!r}."
            )
        if picture.embedding is not None:
            _check_embedding(picture.embedding, f"Picture {number}")
    _check_encoders(request.encoders, pack)


def check_look(request: LookRequest, pack: Pack) -> None:
    if not request.pictures:
        raise RunError("There are no pictures to look at.")
    if request.encoders and not pack.encoders:
        raise RunError(f"The model {pack.name} cannot look at faces: it has no encoders. Choose another for this.")
    if any(not 0 <= known.index < len(request.pictures) for known in request.known):
        raise RunError("What is known already names a picture that is not in the request.")
    _check_encoders(request.encoders, pack)


def _within(what: str, value: float, least: float, most: float, unit: str = "") -> None:
    if not least <= value <= most:  # also false for NaN
        raise RunError(f"{what} is {value:g}; it must be from {least:g} to {most:g}{unit}.")


def _check_embedding(embedding: tuple[float, ...], what: str) -> None:
    if len(embedding) != 512:
        raise RunError(f"{what} has a face embedding of {len(embedding)} values; 512 are needed.")
    if not abs(math.sqrt(math.fsum(v * v for v in embedding)) - 1) < 0.01:
        raise RunError(f"{what} has a face embedding that is not of unit length. Compute it again.")


def _check_encoders(encoders: Iterable[str], pack: Pack) -> None:
    for encoder in encoders:
        if pack.encoders and encoder not in pack.encoders:
            raise RunError(f"The model {pack.name} has no encoder {encoder}; it has {', '.join(pack.encoders)}.")


def _holds(caption: str, trigger: str) -> bool:
    """Whether the trigger stands in the caption as whole words."""
    wanted, present = words(trigger), words(caption)
    if wanted and " ".join(wanted) == trigger.lower():
        return any(present[k : k + len(wanted)] == wanted for k in range(len(present)))
    return re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", caption, re.IGNORECASE) is not None
