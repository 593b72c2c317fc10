"""Model packs: a directory with `pack.json` that says what it holds, under which terms, and the hash of every file.

This module imports nothing but the standard library: both halves of `gpu_worker` use it. `read_pack` reads what a pack
says about itself and is cheap; `verify` reads its files and must have passed before any of them is loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from gpu_worker.contracts import RunError

FORMAT: Final = 1
WEIGHTS: Final = frozenset({".safetensors", ".onnx"})
"""The formats of weights that are loaded: neither can carry code."""
REFUSED: Final = frozenset(
    {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".h5", ".msgpack", ".dill", ".py"}
)
"""Formats that run code when they are loaded, or that nothing here loads; a pack that holds one is refused."""
DOCUMENTS: Final = frozenset({".md", ".txt", ".png", ".jpg", ".webp", ".svg", ".pdf", ".csv", ".license", ""})
"""Formats that may lie unlisted in a pack, outside the folders that loaders read: model card, licence, figures."""


class PackError(RunError):
    """A pack cannot be used. The text names the file or field and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    name: str
    spdx: str = ""
    commercial: bool = False
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrompt:
    """The pack's IP-Adapter: what lets a picture of a person be a prompt."""

    file: str
    kind: str
    """`faceid`: takes face embeddings."""
    embedding_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FacePlace:
    """Where the face is in a picture whose prompt holds all of some words."""

    words: tuple[str, ...]
    """Phrases of a prompt: `("looking left", "medium shot")`. None for the place that fits any prompt."""
    points: tuple[tuple[float, float], ...]
    """Five (x, y) as shares of the side of a square picture, in the order of `contracts.Face.keypoints`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlNet:
    """The pack's identity ControlNet (Wang et al. 2024, InstantID, arXiv 2401.07519): it sees an image of five facial
    keypoints, and instead of the text the tokens of the image prompt."""

    folder: str
    """A diffusers ControlNetModel."""
    strength: float
    """0-1.5; the scale at which it was measured."""
    best_of: int
    """Candidates per picture in the high tier."""
    places: tuple[FacePlace, ...]

    def keypoints(self, prompt: str, width: int, height: int) -> tuple[tuple[float, float], ...]:
        """Five (x, y) in pixels: of the places whose words the prompt holds, the one with the most. A picture that is
        not square has the face in the middle of its longer side."""
        said = f" {' '.join(words(prompt))} "
        fitting = [p for p in self.places if all(f" {' '.join(words(part))} " in said for part in p.words)]
        place = max(fitting, key=lambda p: len(p.words))
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return tuple((left + x * side, top + y * side) for x, y in place.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureEncoder:
    """An ONNX encoder of whole pictures: input `input` float32 [N, 3, size, size], RGB in [-1, 1], the whole picture
    resized; output [N, embedding_size]."""

    file: str
    size: int
    """Pixels on the side of its input."""
    embedding_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeClassifier:
    """An ONNX classifier of whole pictures: input as of a FigureEncoder; per attribute one output of its name, float32
    [N, len(options)], logits."""

    file: str
    size: int
    """Pixels on the side of its input."""
    options: Mapping[str, tuple[str, ...]]
    """Attribute -> its words, in the order of the logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """What `pack.json` says. Paths inside a pack are POSIX, relative to `directory`."""

    directory: Path
    sha256: str
    """Digest of `pack.json`. As that lists the digest of every other file, it names the pack's whole content."""
    name: str
    title: str
    version: str
    family: str
    """Which pipeline class runs it: `sd`."""
    architecture: str
    """As in modelspec: `stable-diffusion-v1`."""
    domain: str
    """`illustration` or `photograph`: what the pack was trained on."""
    licence: Licence
    resolution: int
    sizes: tuple[tuple[int, int], ...]
    """(width, height) in pixels that give good pictures."""
    pipeline: str | None
    """Folder of a stock pipeline; None for a pack that only measures."""
    ip_adapter: ImagePrompt | None = None
    controlnet: ControlNet | None = None
    """With it the pack offers the high tier."""
    encoders: Mapping[str, str] = field(default_factory=dict)
    """Name -> insightface pack directory (detector + recognition ONNX)."""
    figure: FigureEncoder | None = None
    """Embeds the whole figure, for what no face encoder can judge. Its quantiles are those of `figure`."""
    attributes: AttributeClassifier | None = None
    """Reads what a picture shows: whether a prompt was followed."""
    detection_sizes: tuple[int, ...] = (640,)
    """Sides in pixels of the squares a picture is scaled to for detection; the finds of all are merged."""
    detection_threshold: float = 0.5
    calibration: Mapping[str, Any] = field(default_factory=dict)
    """Encoder name -> `{"impostor_quantiles": [[false-match rate, cosine], ...], ...}`."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    recipes: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """Tier -> fields of a TrainRequest, or None where the tier trains nothing."""
    vocabulary: frozenset[str] | None = None
    """Words the text encoder knows; None for an open vocabulary."""
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Choices the interface offers per slot; empty for open packs."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path -> SHA-256 hex digest."""

    def path(self, relative: str) -> Path:
        """Absolute path of a file or folder of the pack. Raises PackError where it leads out of the pack."""
        return self.directory / _safe(relative, self.directory)

    def quantiles(self, encoder: str) -> tuple[tuple[float, float], ...]:
        """Impostor quantiles of an encoder: (false-match rate, cosine). Raises PackError if not calibrated."""
        entry = self.calibration.get(encoder)
        if not entry or not entry.get("impostor_quantiles"):
            raise PackError(f"The pack {self.name} has no calibration for its encoder {encoder}.")
        return tuple((float(rate), float(cosine)) for rate, cosine in entry["impostor_quantiles"])

    def unknown_words(self, prompt: str, *, known: Iterable[str] = ()) -> list[str]:
        """Words of `prompt` that the text encoder does not know, lower case, each once, in order.

        Numbers, punctuation, weights such as `(red:1.3)` and tags in angle brackets are passed over; `known` names
        further words to pass over (the trigger words of the adapters in use). Empty for an open vocabulary.
        """
        if self.vocabulary is None:
            return []
        passed = self.vocabulary | {part for word in known for part in words(word)}
        return list(dict.fromkeys(word for word in words(prompt) if word not in passed))


def words(prompt: str) -> list[str]:
    """Words of a prompt as a word-level tokenizer sees them: lower case, hyphens kept, possessive endings dropped."""
    plain = re.sub(r"<[^<>]*>", " ", prompt).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").lower()
    return [word.partition("'")[0] for word in re.findall(r"[^\W\d_]+(?:[-'][^\W\d_]+)*", plain)]


# ---------------------------------------------------------------------------------------------------- reading
def read_pack(directory: str | Path) -> Pack:
    """Read `directory/pack.json`. Its files are not looked at: see `verify`. Raises PackError."""
    directory = Path(directory)
    manifest = directory / "pack.json"
    try:
        raw = manifest.read_bytes()
    except OSError:
        raise PackError(f"There is no model pack in {directory}: pack.json is missing or cannot be read.") from None
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise PackError(f"{manifest} is not valid JSON ({error}).") from None
    if not isinstance(data, dict):
        raise PackError(f"{manifest} does not hold an object.")
    if data.get("format") != FORMAT:
        raise PackError(f"{manifest} has format {data.get('format')!r}; this version reads format {FORMAT}.")
    try:
        pack = _build(directory, hashlib.sha256(raw).hexdigest(), data)
    except PackError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise PackError(f"{manifest} cannot be used: {what}.") from None
    _check(pack, manifest)
    return pack


def _build(directory: Path, digest: str, data: dict[str, Any]) -> Pack:
    licence, adapter, detection = data["licence"], data.get("ip_adapter"), data.get("detection", {})
    vocabulary, figure, attributes = data.get("vocabulary"), data.get("figure"), data.get("attributes")
    controlnet = data.get("controlnet")
    return Pack(
        directory=directory,
        sha256=digest,
        name=str(data["name"]),
        title=str(data["title"]),
        version=str(data["version"]),
        family=str(data["family"]),
        architecture=str(data["architecture"]),
        domain=str(data["domain"]),
        licence=Licence(
            name=str(licence["name"]),
            spdx=str(licence.get("spdx", "")),
            commercial=bool(licence.get("commercial", False)),
            url=str(licence.get("url", "")),
        ),
        resolution=int(data["resolution"]),
        sizes=tuple((int(w), int(h)) for w, h in data["sizes"]),
        pipeline=data["pipeline"],
        ip_adapter=adapter
        and ImagePrompt(
            file=str(adapter["file"]), kind=str(adapter["kind"]), embedding_size=int(adapter["embedding_size"])
        ),
        controlnet=controlnet
        and ControlNet(
            folder=str(controlnet["folder"]),
            strength=float(controlnet["strength"]),
            best_of=int(controlnet["best_of"]),
            places=tuple(
                FacePlace(
                    words=tuple(map(str, place["words"])),
                    points=tuple((float(x), float(y)) for x, y in place["points"]),
                )
                for place in controlnet["places"]
            ),
        ),
        encoders=dict(data.get("encoders") or {}),
        figure=figure
        and FigureEncoder(
            file=str(figure["file"]), size=int(figure["size"]), embedding_size=int(figure["embedding_size"])
        ),
        attributes=attributes
        and AttributeClassifier(
            file=str(attributes["file"]),
            size=int(attributes["size"]),
            options={str(name): tuple(map(str, words)) for name, words in attributes["options"].items()},
        ),
        detection_sizes=tuple(int(size) for size in detection.get("sizes", (640,))),
        detection_threshold=float(detection.get("threshold", 0.5)),
        calibration=dict(data.get("calibration") or {}),
        defaults=dict(data.get("defaults") or {}),
        recipes=dict(data.get("recipes") or {}),
        vocabulary=None if vocabulary is None else frozenset(str(word).lower() for word in vocabulary),
        slots={str(slot): tuple(map(str, choices)) for slot, choices in (data.get("slots") or {}).items()},
        files={str(path): str(sha256) for path, sha256 in data["files"].items()},
    )


def _check(pack: Pack, manifest: Path) -> None:
    if pack.domain not in ("illustration", "photograph"):
        raise PackError(f"{manifest}: the domain must be illustration or photograph, not {pack.domain!r}.")
    if pack.ip_adapter and pack.ip_adapter.kind != "faceid":
        raise PackError(f"{manifest}: image prompts of kind {pack.ip_adapter.kind!r} are not supported; use faceid.")
    if any(size < 32 or size % 32 for size in pack.detection_sizes) or not pack.detection_sizes:
        raise PackError(f"{manifest}: detection sizes must be multiples of 32 pixels.")
    for path, digest in pack.files.items():
        if PurePosixPath(path).suffix.lower() in REFUSED:
            raise PackError(f"{manifest} lists {path}: only safetensors and ONNX weights are loaded. Convert the file.")
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise PackError(f"{manifest}: the digest of {path} is not 64 lower-case hex digits.")
    if pack.controlnet:
        _check_controlnet(pack, pack.controlnet, manifest)
    if pack.figure and min(pack.figure.size, pack.figure.embedding_size) < 1:
        raise PackError(f"{manifest}: the sizes of the figure encoder must be positive.")
    options = pack.attributes.options if pack.attributes else {}
    if pack.attributes and (pack.attributes.size < 1 or not options or not all(options.values())):
        raise PackError(f"{manifest}: the attribute classifier needs a positive size, and each attribute its words.")
    single = {"image prompt": pack.ip_adapter, "figure encoder": pack.figure, "attribute classifier": pack.attributes}
    files = {what: part.file for what, part in single.items() if part}
    for path in (*_folders(pack), *pack.files, *files.values()):
        _safe(path, pack.directory)
    for what, path in files.items():
        if path not in pack.files:
            raise PackError(f"{manifest}: the {what} file {path} is not listed under files.")


def _check_controlnet(pack: Pack, controlnet: ControlNet, manifest: Path) -> None:
    if pack.ip_adapter is None or pack.pipeline is None:
        raise PackError(f"{manifest}: an identity ControlNet needs a pipeline and an image prompt beside it.")
    if not 0 < controlnet.strength <= 1.5 or not 1 <= controlnet.best_of <= 8:
        raise PackError(f"{manifest}: a ControlNet's strength lies in (0, 1.5] and its best_of in 1 to 8.")
    if any(len(place.points) != 5 for place in controlnet.places):
        raise PackError(f"{manifest}: each place of the ControlNet has five points.")
    if not any(not place.words for place in controlnet.places):
        raise PackError(f"{manifest}: the ControlNet lacks a place without words, for prompts that name none.")


def _folders(pack: Pack) -> list[str]:
    """Folders that loaders read whole."""
    parts = [pack.pipeline, pack.controlnet.folder if pack.controlnet else None]
    return [part for part in parts if part] + list(pack.encoders.values())


def _safe(relative: str, directory: Path) -> PurePosixPath:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in relative or "\0" in relative:
        raise PackError(f"The pack in {directory} names {relative!r}, which is not a path inside it.")
    if not (directory / path).resolve().is_relative_to(directory.resolve()):
        raise PackError(
            f"In the pack {directory}, {relative} is a link that leads out of it. Copy the file into the pack."
        )
    return path


# --------------------------------------------------------------------------------------------------- verifying
_digests: dict[tuple[str, int, int], str] = {}
_lock = threading.Lock()


def digest_of(path: Path) -> str:
    """SHA-256 of a file, remembered by path, size and modification time while the process lives."""
    stat = path.stat()
    key = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
    with _lock:
        if (known := _digests.get(key)) is not None:
            return known
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    with _lock:
        _digests[key] = digest
    return digest


def verify(pack: Pack, *, under: Sequence[str] | None = None) -> None:
    """Check the pack's files; call it before loading any of them. Raises PackError.

    Every listed file must be there with its digest. Nothing that runs code when loaded may lie anywhere in the pack,
    and in the folders that loaders read, nothing unlisted at all. `under`: only the files at or below these paths are
    hashed (a scorer need not read a generator of many gigabytes).
    """
    for relative in _present(pack):
        path = PurePosixPath(relative)
        if path.suffix.lower() in REFUSED:
            raise PackError(
                f"The pack {pack.name} holds {relative}: only safetensors and ONNX weights are loaded. Remove it."
            )
        if relative in pack.files or relative == "pack.json":
            continue
        loaded = any(path.is_relative_to(folder) for folder in _folders(pack))
        if loaded or not (path.suffix.lower() in DOCUMENTS or path.name.startswith(".")):
            raise PackError(
                f"The pack {pack.name} holds {relative}, which its pack.json does not list. Remove it or fetch "
                "the pack anew."
            )
    for relative, expected in pack.files.items():
        if under is not None and not any(PurePosixPath(relative).is_relative_to(part) for part in under):
            continue
        try:
            found = digest_of(pack.path(relative))
        except OSError:
            raise PackError(
                f"The pack {pack.name} is incomplete: {relative} is missing. Fetch the pack anew."
            ) from None
        if found != expected:
            raise PackError(
                f"The pack {pack.name} is damaged or was changed: {relative} has another hash. Fetch the pack anew."
            )


def _present(pack: Pack) -> list[str]:
    found = []
    for path in sorted(pack.directory.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(pack.directory.resolve()):
            raise PackError(
                f"In the pack {pack.name}, {path.name} is a link that leads out of it. Copy the file into the pack."
            )
        if path.is_file():
            found.append(path.relative_to(pack.directory).as_posix())
    return found
