"""What a model run is asked to do, and what it answers.

A request is self-contained: everything a run needs stands in it or in files it names, so the same request runs in this
process with warm models, in a subprocess with its own environment, or in a container. Requests and messages are
JSON-safe; `to_json` and `from_json` are exact inverses and refuse unknown fields. This module imports nothing but the
standard library: both halves of `gpu_worker` use it.

Paths are strings, absolute or relative to the run's working directory. Pixel boxes are `(left, top, right, bottom)`
with the origin at the top left.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass
from typing import Any, ClassVar


class ContractError(ValueError):
    """A request or message that does not have the agreed shape. The text names the field."""


# ------------------------------------------------------------------------------------------------- generation
@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterUse:
    """A trained LoRA applied to the run."""

    path: str
    """A safetensors file in the diffusers/PEFT layout, with its LoRA metadata."""
    sha256: str
    """Hex digest of the file; a file that differs is refused."""
    strength: float = 0.7
    """0-1.5; multiplies the LoRA's own alpha / rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityUse:
    """An image prompt: who the picture should show."""

    embedding: tuple[float, ...]
    """512 values, unit length, from the pack's *conditioning* encoder (mean of the chosen references, renormalised)."""
    strength: float = 0.6
    """0-1; the IP-Adapter scale."""
    control: float = 0.0
    """0-1.5; the scale of the pack's identity ControlNet, which places the face at each picture's keypoints. 0 leaves
    it out."""
    region: tuple[float, float, float, float] | None = None
    """Where in the picture the person is: left, top, right, bottom as shares of its width and height, 0-1. None:
    everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSpec:
    """One picture of a batch."""

    index: int
    """Place in the batch; outputs carry it, so a resumed run makes only what is missing."""
    prompt: str
    seed: int
    keypoints: tuple[tuple[float, float], ...] = ()
    """Where the identity ControlNet puts the face: five (x, y) in pixels of this picture, as in `Face`. Empty: the
    pack's own for the words of the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """Make pictures with one pack. Errors that name the cause: `contracts.RunError`."""

    kind: ClassVar[str] = "generate"
    pack: str
    """Directory that holds `pack.json`."""
    pictures: tuple[PictureSpec, ...]
    negative_prompt: str = ""
    width: int
    height: int
    steps: int = 20
    """1-150."""
    guidance: float = 3.0
    """Classifier-free guidance scale, 1-30; 1 turns it off."""
    adapter: AdapterUse | None = None
    identity: IdentityUse | None = None
    companions: tuple[IdentityUse, ...] = ()
    """Further people in the same pictures; with any, each person has a region."""
    batch_size: int = 4
    """How many pictures are denoised together; results do not depend on it (each has its own generator)."""
    best_of: int = 1
    """1-8: so many candidates are made of each picture, and the one most like `identity` is kept; with companions, the
    one whose least alike person is most alike. The *conditioning* encoder chooses, so that the one that scores has no
    hand in it."""
    encoders: tuple[str, ...] = ("scoring",)
    """Encoders that look at each finished picture (`Output.data["look"]` holds a `Looked`); empty for none. A pack
    without any encoder looks at none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRequest:
    """Several generations with one pack in turn, as one run: the same plan with one adapter after another."""

    kind: ClassVar[str] = "series"
    pack: str
    """Directory that holds `pack.json`; every part names the same."""
    parts: tuple[GenerateRequest, ...]
    """The indices of their pictures are unique over all parts."""
    attributes: bool = False
    """Whether the pack's attribute classifier, where it has one, reads each finished picture
    (`Output.data["attributes"]`: attribute -> [its likeliest word, the probability of that])."""


# --------------------------------------------------------------------------------------------------- training
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPicture:
    path: str
    caption: str
    """Contains the trigger word. In a pack with a closed vocabulary the trigger must be one of its words."""
    embedding: tuple[float, ...] | None = None
    """512 values by the conditioning encoder. Given: the LoRA is trained together with the image prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePicture:
    """A picture made from the LoRA during training, to look at."""

    prompt: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """Train a LoRA on pictures of one character (or style)."""

    kind: ClassVar[str] = "train"
    pack: str
    pictures: tuple[TrainingPicture, ...]
    trigger: str
    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Ends of the names of the UNet layers that get a LoRA; linear layers and convolutions."""
    learning_rate: float = 1e-3
    """Peak rate, > 0 and finite; linear warm-up, then cosine to 5 % of it."""
    warmup_steps: int = 5
    steps: int = 100
    batch_size: int = 4
    resolution: int = 128
    """Pixels on the side of the square whose area every bucket keeps."""
    flip: bool = False
    caption_dropout: float = 0.05
    checkpoint_every: int = 25
    """Steps between checkpoints; also what a dead worker may lose at most. Slow steps have one every 30 s."""
    keep_checkpoints: int = 2
    hand_out_at: tuple[int, ...] = ()
    """Steps after which the LoRA as it is by then comes as an Output of kind `checkpoint`, to compare and choose from.
    What the last step leaves comes as the adapter."""
    sample_every: int = 50
    samples: tuple[SamplePicture, ...] = ()
    encoders: tuple[str, ...] = ("scoring",)
    """Encoders that look at each sample (`Output.data["look"]`), as in a GenerateRequest."""
    seed: int = 0
    checkpoint_dir: str = ""
    """Durable directory for checkpoints. A run started on one that holds a checkpoint continues exactly there."""
    metadata: tuple[tuple[str, str], ...] = ()
    """Extra safetensors metadata for the adapter (`modelspec.*`, licence, title)."""


# ---------------------------------------------------------------------------------------------------- scoring
PHOTOGRAPH = 0.45
"""`Looked.photographic` from which on a picture is taken for a photograph. Of 46 copies of nine photographs with a long
side of 400 px or more - whole, scaled, as JPEG of quality 60 to 92 and as WebP - 87 % reach it (the others are strongly
compressed, or mostly empty sky); of 203 such copies of 33 drawings none does. At 128 px it is 85 % and 18 %."""
DRAWING = 0.15
"""Below it a picture is taken for a drawing: 62 % of those drawings lie below, none of the photographs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    box: tuple[float, float, float, float]
    """Pixels."""
    confidence: float
    """0-1, by the detector."""
    keypoints: tuple[tuple[float, float], ...]
    """Five (x, y) in pixels: left eye, right eye, nose, left and right corner of the mouth, as seen in the picture."""
    embeddings: dict[str, tuple[float, ...]]
    """Encoder name -> 512 values, unit length."""
    yaw: float
    """Degrees, estimated from the keypoints; negative looks to the left edge of the picture. |yaw| > 45 is a profile.
    """
    outfit: tuple[tuple[str, float], ...] = ()
    """Dominant colours `#rrggbb` of the figure below the face with their share of it, largest first, at most 4; empty
    where the picture shows too little below the face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was seen in one picture: the data of a `look` output."""

    width: int
    height: int
    faces: tuple[Face, ...]
    """By area, largest first."""
    sharpness: float
    """Variance of the Laplacian of the grey picture scaled to a long side of 512 px (values 0-255)."""
    brightness: float
    """Mean luma, 0-1."""
    clipped: float
    """Share of pixels with luma under 0.02 or over 0.98, 0-1."""
    perceptual_hash: str
    """64-bit DCT hash, 16 hex digits; Hamming distance <= 6 is a near-duplicate."""
    photographic: float
    """0 flat illustration .. 1 photograph, from the residual noise of smooth areas. See `PHOTOGRAPH` and `DRAWING`."""
    colours: tuple[tuple[str, float], ...]
    """Dominant colours `#rrggbb` with their share, largest first, at most 6."""
    encoders: tuple[str, ...] = ()
    """Encoders that embedded its faces, also where it has none."""
    figure: tuple[float, ...] = ()
    """The whole picture by the pack's figure encoder, unit length; empty where the pack has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was seen in a picture before, by the same pack and encoders."""

    index: int
    """Place of the picture in the request."""
    seen: Looked


@dataclass(frozen=True, slots=True, kw_only=True)
class LookRequest:
    """Look at pictures: find faces, embed them with each named encoder, and judge the picture itself."""

    kind: ClassVar[str] = "look"
    pack: str
    pictures: tuple[str, ...]
    encoders: tuple[str, ...] = ("conditioning", "scoring")
    known: tuple[Known, ...] = ()
    """Pictures that need no second look: the answer is handed back in their place, and their files are not read."""


# --------------------------------------------------------------------------------------------------- messages
@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    type: ClassVar[str] = "progress"
    step: int
    total: int
    note: str = ""
    """What is being done, for a person: "Loading the model", "Step 40 of 100"."""
    values: dict[str, float] = dataclasses.field(default_factory=dict)
    """Measured along the way: `loss`, `learning_rate`, `steps_per_second`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One result. `index` is unique in the run: a picture's place in the batch, 1000 x step + k for a sample (k from 0
    to 99), 1000 x step + 999 for a LoRA handed out at that step, 0 for an adapter."""

    type: ClassVar[str] = "output"
    index: int
    kind: str
    """`picture`, `look`, `sample`, `checkpoint` (a LoRA file handed out on the way), `adapter`."""
    path: str = ""
    """A file, relative to the run's working directory; empty where `data` is the whole result."""
    sha256: str = ""
    data: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """All that the run needs to go on from this step is in its folder."""

    type: ClassVar[str] = "checkpoint"
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the person should know although the run goes on.

    Codes: `unknown-words` (data `words`), `out-of-domain` (data `index`, `photographic`), `unreadable-picture` (data
    `index`; that picture has no `look` output), `checkpoint-damaged` (data `step`; an older one is taken).
    """

    type: ClassVar[str] = "notice"
    code: str
    sentence: str
    data: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The run ended early because it was asked to (cancel, pause, yield, lost lease)."""

    type: ClassVar[str] = "stopped"
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    type: ClassVar[str] = "done"
    values: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    type: ClassVar[str] = "failed"
    sentence: str
    """What happened and what to do, fit for a person."""
    retryable: bool = False
    detail: str = ""
    """The traceback, for the operator."""


class RunError(Exception):
    """A run cannot go on. The text is a sentence a person can act on."""

    retryable = False


Request = GenerateRequest | SeriesRequest | TrainRequest | LookRequest
Message = Progress | Output | Checkpoint | Notice | Stopped | Done | Failed
REQUESTS: dict[str, type[Request]] = {r.kind: r for r in (GenerateRequest, SeriesRequest, TrainRequest, LookRequest)}
MESSAGES: dict[str, type[Message]] = {m.type: m for m in (Progress, Output, Checkpoint, Notice, Stopped, Done, Failed)}


# ----------------------------------------------------------------------------------------------- JSON and back
def to_json(value: Request | Message) -> dict[str, Any]:
    """Return a JSON-safe dict with its `kind` or `type`. Raises ContractError on a number that is not finite."""
    name, tag = ("kind", value.kind) if type(value) in REQUESTS.values() else ("type", value.type)  # type: ignore[union-attr]
    if isinstance(value, Output):  # an output has a kind of its own; the tag stands apart from it
        name = "type"
    body = dataclasses.asdict(value)
    _check_finite(body, "")
    return {name: tag, **body}


def dumps(value: Request | Message) -> str:
    return json.dumps(to_json(value), allow_nan=False, ensure_ascii=False)


def request_from_json(data: dict[str, Any]) -> Request:
    """Inverse of `to_json` for a request. Raises ContractError."""
    return _tagged(data, "kind", REQUESTS)  # type: ignore[return-value]


def message_from_json(data: dict[str, Any]) -> Message:
    """Inverse of `to_json` for a message. Raises ContractError."""
    return _tagged(data, "type", MESSAGES)  # type: ignore[return-value]


def looked_from_json(data: dict[str, Any]) -> Looked:
    return typing.cast("Looked", _build(Looked, data, "looked"))


def _tagged(data: dict[str, Any], tag: str, known: typing.Mapping[str, type]) -> object:
    data = dict(data)
    cls = known.get(data.pop(tag, ""))
    if cls is None:
        raise ContractError(f"Unknown {tag}; expected one of {', '.join(known)}.")
    return _build(cls, data, cls.__name__)


def _build(cls: type, data: Any, where: str) -> object:
    if not isinstance(data, dict):
        raise ContractError(f"{where} is not an object.")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if unknown := set(data) - set(fields):
        raise ContractError(f"{where} has unknown fields: {', '.join(sorted(unknown))}.")
    hints = typing.get_type_hints(cls)
    values = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in data.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ContractError(f"{where}: {error}") from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ContractError(f"{where} is not a list.")
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_convert(args[0], v, f"{where}[{k}]") for k, v in enumerate(value))
        if len(value) != len(args):
            raise ContractError(f"{where} must have {len(args)} values.")
        return tuple(_convert(a, v, f"{where}[{k}]") for k, (a, v) in enumerate(zip(args, value, strict=True)))
    if origin is dict:
        if not isinstance(value, dict):
            raise ContractError(f"{where} is not an object.")
        return {str(k): _convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type", hint), value, where)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ContractError(f"{where} is not a finite number.")
        return float(value)
    if hint is bool or isinstance(value, bool):
        if hint is bool and isinstance(value, bool):
            return value
        raise ContractError(f"{where} has the wrong type.")
    if not isinstance(value, hint):
        raise ContractError(f"{where} must be {hint.__name__}.")
    return value


def _check_finite(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ContractError(f"{where} is not a finite number.")
    if isinstance(value, dict):
        for k, v in value.items():
            _check_finite(v, f"{where}.{k}" if where else str(k))
    elif isinstance(value, list | tuple):
        for k, v in enumerate(value):
            _check_finite(v, f"{where}[{k}]")
