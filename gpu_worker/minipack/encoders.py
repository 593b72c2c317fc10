"""Stage `encoders`: three identity encoders on crops aligned as insightface does it.

`conditioning` feeds the generator, `scoring` only measures: other people, another width, another seed. `audit` judges
what `scoring` had a hand in choosing: other people again, another architecture, and the face alone, without hair and
silhouette. All learn by ArcFace (Deng et al. 2019, arXiv 1801.07698, eq. 3) over their people, plus a regression of the
renderer's identity parameters, which makes the embedding carry over to unseen people after few epochs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import parallel, splits
from .codec import to_tensor
from .course import Course
from .data import CROP, Pixels, aligned, held, scene_of
from .renderer import Identity, face_geometry, identity
from .renderer.identity import AGES, BEARDS, GLASSES, NOSES, STYLES

SIZE = 512
"""Length of an embedding."""
NAMES = ("conditioning", "scoring", "audit")
WIDTHS = {"conditioning": 32, "scoring": 24, "audit": 48}
SEEDS = {"conditioning": 101, "scoring": 202, "audit": 303}
SPLITS = {"conditioning": splits.CONDITIONING, "scoring": splits.SCORING, "audit": splits.AUDIT}
FACE = (56.0, 67.0, 38.0, 42.0)
"""Centre x, y and half axes of the ellipse around brows and chin, cheek to cheek, in pixels of an aligned crop."""
_OPTIONS = {"age": AGES, "glasses": GLASSES, "beard": BEARDS, "nose": NOSES, "hair_style": STYLES}
Log = Callable[[str], None]


class Block(nn.Module):
    """Two 3x3 convolutions and a skip. ReLU, as the gradient of PReLU costs as much as the convolutions on a CPU."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inner),
            nn.Conv2d(inner, outer, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(inplace=True),
            nn.Conv2d(outer, outer, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outer),
        )
        same = inner == outer and stride == 1
        self.skip: nn.Module = nn.Identity()
        if not same:
            self.skip = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(x) + self.skip(x)
        return out


class Encoder(nn.Module):
    """Aligned crop, float [N, 3, 112, 112] in [-1, 1] -> embedding [N, 512], not normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width, 6 * width]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 7, 4, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for k, (inner, outer) in enumerate(zip([width, *sizes[:-1]], sizes, strict=True)):
            layers.append(Block(inner, outer, 2 if k else 1))  # strides in the first convolution save the most
        self.trunk = nn.Sequential(*layers, nn.BatchNorm2d(sizes[-1]))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(sizes[-1] * 16, SIZE), nn.BatchNorm1d(SIZE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.trunk(x))
        return out


class Bottleneck(nn.Module):
    """Grouped 3x3 convolution between two pointwise ones (Xie et al. 2017, arXiv 1611.05431), skipped where the shape
    stays."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inner, outer, 1, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(inplace=True),
            nn.Conv2d(outer, outer, 3, stride, 1, groups=outer // 16, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(inplace=True),
            nn.Conv2d(outer, outer, 1, bias=False),
            nn.BatchNorm2d(outer),
        )
        self.same = inner == outer and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(x)
        return F.relu(x + out if self.same else out)


class FaceEncoder(nn.Module):
    """As `Encoder`, but of grouped convolutions, which see nothing outside the ellipse `FACE`."""

    ROWS, COLUMNS = slice(24, 112), slice(16, 96)
    """Of the crop: a frame around the ellipse."""
    window: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        at = torch.arange(CROP) + 0.5
        cx, cy, rx, ry = FACE
        reach = torch.sqrt(((at[None] - cx) / rx) ** 2 + ((at[:, None] - cy) / ry) ** 2)
        window = ((1.04 - reach) / 0.08).clamp(0, 1)  # a soft edge of three pixels is no shape of its own
        self.register_buffer("window", window[self.ROWS, self.COLUMNS][None, None].contiguous(), persistent=False)
        layers: list[nn.Module] = [nn.Conv2d(3, width, 7, 4, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        inner = width
        for outer, stride in ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1)):
            layers.append(Bottleneck(inner, outer * width, stride))
            inner = outer * width
        layers += [nn.Conv2d(4 * width, width, 1, bias=False), nn.BatchNorm2d(width)]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(6 * 5 * width, SIZE), nn.BatchNorm1d(SIZE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.trunk(x[:, :, self.ROWS, self.COLUMNS] * self.window))
        return out


def build(name: str) -> nn.Module:
    """An untrained encoder of the architecture of this name."""
    return FaceEncoder(WIDTHS[name]) if name == "audit" else Encoder(WIDTHS[name])


def parameters_of(person: Identity) -> list[float]:
    """Everything that makes a person, as numbers: what an embedding should allow to be read back."""
    out: list[float] = []
    for field in dataclasses.fields(person):
        value = getattr(person, field.name)
        if field.name in _OPTIONS:
            out += [float(value == option) for option in _OPTIONS[field.name]]
        elif field.name == "mole":
            out.append(float(value is not None))
        elif field.name in ("skin", "hair", "eye"):
            out += [c / 255 for c in value]
        elif field.name not in ("seed", "freckle_seed") and isinstance(value, bool | int | float):
            out.append(float(value))
    return out


def learner(encoder: nn.Module, length: int, classes: int, parameters: int) -> Any:
    """An encoder whose embeddings have this length, with what it learns by: a centre for each class, and a regression
    of parameters."""
    centres = nn.Linear(length, classes, bias=False)
    centres.weight.data = F.normalize(torch.randn(classes, length), dim=1)
    model: Any = nn.ModuleDict(
        {"encoder": encoder, "regression": nn.Linear(length, parameters), "centres": centres},
    )
    return model.to(memory_format=torch.channels_last)


def losses(
    model: Any, x: torch.Tensor, label: torch.Tensor, target: torch.Tensor, margin: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """ArcFace, and the mean square error of the regression, of a batch. `label`: classes [N]; `target`: parameters [N,
    P]; `margin`: radians."""
    model.train()
    with parallel.autocast():
        out = model["encoder"](x.contiguous(memory_format=torch.channels_last))
    out = out.float()
    cosine = F.normalize(out, dim=1) @ F.normalize(model["centres"].weight, dim=1).T
    angle = torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6)) + margin
    own = F.one_hot(label, cosine.shape[1]).bool()
    arcface = F.cross_entropy(32 * torch.where(own, torch.cos(angle.clamp(max=math.pi)), cosine), label)
    return arcface, F.mse_loss(model["regression"](out), target)


def train(work: Path, name: str, *, minutes: float, batch: int = 64, rate: float = 2e-3, log: Log = print) -> None:
    """Learn one encoder; writes `encoder_<name>.pt` and, along the way, `encoder_<name>.ckpt`. `minutes`: see
    `Course`."""
    path = work / f"encoder_{name}.pt"
    if path.exists():
        return
    split = held(work, SPLITS[name])
    torch.manual_seed(SEEDS[name])
    images = np.load(work / f"{split.name}.npy", mmap_mode="r")
    target = torch.tensor([parameters_of(identity(seed)) for seed in split.seeds()])
    target = (target - target.mean(0)) / (target.std(0) + 1e-4)
    model = learner(build(name), SIZE, split.identities, target.shape[1])
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=5e-3, fused=True)
    course = Course(model, optimiser, work / f"encoder_{name}.ckpt", minutes=minutes, rate=rate)
    rng = np.random.default_rng(SEEDS[name] + course.step)
    order = rng.permutation(len(images))
    for done in course:
        if len(order) < batch:
            order = rng.permutation(len(images))
        index, order = np.sort(order[:batch]), order[batch:]
        label = torch.from_numpy(index // split.pictures)
        x = disturb(images[index], rng)
        arcface, regression = losses(model, x, label, target[label], margin=0.3 * min(1, done * 3))
        course.learn(arcface + 10 * regression)
        if course.step % 100 == 99:
            pace = f"{(course.step + 1) * batch / max(course.spent, 1e-3):.0f} crops/s"
            told = f"ArcFace {arcface.item():.2f}, regression {regression.item():.3f}"
            log(f"{name}: step {course.step + 1}, {pace}, {told}")
    torch.save({"encoder": model["encoder"].state_dict(), "step": course.step}, path)
    log(f"{name}: finished after {course.step} steps of {batch}; {measure(work, name)}")


def disturb(crops: Pixels, rng: np.random.Generator) -> torch.Tensor:
    """What crops of generated pictures suffer: low resolution, blur, tints, noise, small misalignment, occlusion.
    uint8 [N, 112, 112, 3] -> float [N, 3, 112, 112], about [-1, 1]."""
    x = to_tensor(np.stack([_worn(crop, rng) for crop in crops]))
    if rng.random() < 0.5:
        x = (x + 1) * (torch.rand(len(x), 3, 1, 1) * 0.3 + 0.85) - 1
    if rng.random() < 0.35:
        x = x + torch.randn_like(x) * 0.1 * rng.random()
    return x


def _worn(crop: Pixels, rng: np.random.Generator) -> Pixels:
    x: Any = crop
    if rng.random() < 0.7:
        matrix: Any = cv2.getRotationMatrix2D((CROP / 2, CROP / 2), rng.uniform(-3, 3), rng.uniform(0.95, 1.05))
        matrix[:, 2] += rng.uniform(-0.02, 0.02, 2) * CROP
        x = cv2.warpAffine(x, matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.45:
        small = int(rng.integers(36, 100))
        x = cv2.resize(cv2.resize(x, (small, small), interpolation=cv2.INTER_AREA), (CROP, CROP))
    if rng.random() < 0.2:
        top, left = (int(v) for v in rng.integers(0, 84, 2))
        x = x.copy()
        x[top : top + 28, left : left + 28] = rng.integers(0, 256)
    return np.asarray(x, np.uint8)


def load(work: Path, name: str) -> nn.Module:
    encoder = build(name)
    encoder.load_state_dict(torch.load(work / f"encoder_{name}.pt", weights_only=True)["encoder"])
    return encoder.eval()


@torch.no_grad()
def embed(encoder: nn.Module, crops: Pixels, batch: int = 200) -> torch.Tensor:
    """uint8 [N, 112, 112, 3] -> unit embeddings [N, 512]."""
    parts = [F.normalize(encoder(to_tensor(crops[k : k + batch])), dim=1) for k in range(0, len(crops), batch)]
    return torch.cat(parts)


def verification(embeddings: torch.Tensor, per: int) -> dict[str, float]:
    """Equal error rate, true-match rates at fixed false-match rates and their thresholds, and mean cosines, from all
    pairs of `embeddings` [N, 512], which are ordered by person, `per` pictures each."""
    who = torch.arange(len(embeddings)) // per
    pairs = torch.triu_indices(len(who), len(who), 1)
    cosine, same = (embeddings @ embeddings.T)[pairs[0], pairs[1]], who[pairs[0]] == who[pairs[1]]
    genuine, impostor = cosine[same].sort().values, cosine[~same].sort().values
    out = {}
    for rate in (1e-2, 1e-3):
        threshold = impostor[int((1 - rate) * len(impostor))]
        out[f"threshold at {rate:g}"] = round(float(threshold), 3)
        out[f"true matches at {rate:g}"] = round(float((genuine >= threshold).float().mean()), 4)
    steps = torch.linspace(-0.5, 1, 1500)
    false_match = 1 - torch.searchsorted(impostor, steps) / len(impostor)
    false_reject = torch.searchsorted(genuine, steps) / len(genuine)
    k = int((false_match - false_reject).abs().argmin())
    out["equal error rate"] = round(float(false_match[k] + false_reject[k]) / 2, 4)
    out["same person"], out["different people"] = round(float(genuine.mean()), 3), round(float(impostor.mean()), 3)
    return out


def measure(work: Path, name: str, *, people: int = 100, pictures: int = 6) -> dict[str, float]:
    """`verification` of a finished encoder on close-ups of people whom no encoder has seen."""
    split = held(work, splits.EVALUATION)
    images, rng, out = np.load(work / f"{split.name}.npy", mmap_mode="r"), np.random.default_rng(17), []
    for first in range(0, min(people, split.identities) * split.pictures, split.pictures):
        shown = [scene_of(split, k) for k in range(first, first + split.pictures)]
        near = [k for k, (_, scene) in enumerate(shown) if scene.shot == "close-up"]
        for k in (near * pictures)[:pictures]:
            points = np.array(face_geometry(*shown[k], images.shape[1]).keypoints)
            points = points + rng.normal(0, 0.02 * np.linalg.norm(points[1] - points[0]), points.shape)
            out.append(aligned(images[first + k], points))
    return verification(embed(load(work, name), np.stack(out)), pictures)
