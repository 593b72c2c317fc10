"""Stage `detector`: a small face detector in the SCRFD layout (Guo et al. 2021, arXiv 2105.04714) for insightface.

Anchors: two per cell, both at the cell's corner point as insightface places them (x = column * stride), on strides 8,
16 and 32. Outputs per stride: score [H*W*2, 1], distances to left, top, right and bottom [.., 4] and five keypoint
offsets [.., 10], all in units of the stride.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from .data import Pixels

STRIDES = (8, 16, 32)
ANCHORS = 2
SIDE, LARGE = 320, 640
"""Sides of training pictures; the large ones, with faces up to their full height, are every sixth batch."""
_SIZES = {8: (0, 56), 16: (40, 130), 32: (96, 1000)}
"""Which face sizes (square root of the area, pixels) a stride answers for; neighbours overlap."""
Log = Callable[[str], None]


def _unit(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3 and pointwise convolution."""
    return nn.Sequential(
        nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
        nn.BatchNorm2d(inner),
        nn.Conv2d(inner, outer, 1, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(inplace=True),
    )


class Detector(nn.Module):
    """Picture, float [N, 3, H, W] in [-1, 1], H and W multiples of 32 -> per stride score logits [N, 2, h, w], box
    distances [N, 8, h, w] and keypoint offsets [N, 20, h, w]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True), _unit(16, 32, 2)
        )
        self.c8 = nn.Sequential(_unit(32, 64, 2), _unit(64, 64))
        self.c16 = nn.Sequential(_unit(64, 96, 2), _unit(96, 96))
        self.c32 = nn.Sequential(_unit(96, 128, 2), _unit(128, 128), _unit(128, 128))
        self.far = nn.Sequential(_unit(128, 128, 2), _unit(128, 128), _unit(128, 128))  # sees the whole of a large face
        self.lateral = nn.ModuleList([nn.Conv2d(c, 64, 1) for c in (64, 96, 128, 128)])
        self.smooth = nn.ModuleList([_unit(64, 64) for _ in STRIDES])
        self.heads = nn.ModuleList([nn.Sequential(_unit(64, 64), nn.Conv2d(64, ANCHORS * 15, 1)) for _ in STRIDES])
        for head in self.heads:  # faces are rare: start from a low score
            nn.init.constant_(list(head.parameters())[-1][:ANCHORS], -4.0)

    def forward(self, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        c8 = self.c8(self.stem(x))
        c16 = self.c16(c8)
        c32 = self.c32(c16)
        up = self.lateral[3](self.far(c32))
        levels = []
        for k, feature in ((2, c32), (1, c16), (0, c8)):
            lateral = self.lateral[k](feature)
            up = lateral + F.interpolate(up, size=lateral.shape[-2:], mode="nearest")
            levels.append((k, self.smooth[k](up)))
        out = []
        for k, feature in sorted(levels, key=lambda level: level[0]):
            raw = self.heads[k](feature)
            out.append((raw[:, :ANCHORS], F.softplus(raw[:, ANCHORS : 5 * ANCHORS]), raw[:, 5 * ANCHORS :]))
        return out


class Exported(nn.Module):
    """The nine outputs that insightface expects, for several pictures: [N, cells, 1], [N, cells, 4], [N, cells, 10]."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        levels = self.detector(x)
        count = x.shape[0]
        scores = [score.permute(0, 2, 3, 1).reshape(count, -1, 1).sigmoid() for score, _, _ in levels]
        boxes = [box.permute(0, 2, 3, 1).reshape(count, -1, 4) for _, box, _ in levels]
        points = [point.permute(0, 2, 3, 1).reshape(count, -1, 10) for _, _, point in levels]
        return (*scores, *boxes, *points)


# ------------------------------------------------------------------------------------------------- training
def train(work: Path, *, minutes: float, batch: int = 8, rate: float = 3e-3, log: Log = print) -> None:
    """Learn the detector; writes `detector.pt` and, along the way, `detector.ckpt`."""
    path, checkpoint = work / "detector.pt", work / "detector.ckpt"
    if path.exists():
        return
    torch.manual_seed(41)
    images, truth = np.load(work / "detector.npy", mmap_mode="r"), np.load(work / "detector.npz")
    boxes, points = truth["boxes"], truth["keypoints"]
    model: Any = Detector()
    model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3, fused=True)
    step, spent = 0, 0.0
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    rng, started, saved = np.random.default_rng((41, step)), time.monotonic() - spent, spent
    sums = np.zeros(3)
    while (done := (time.monotonic() - started) / (60 * minutes)) < 1:
        side, count = (LARGE, max(1, batch // 4)) if step % 6 == 5 else (SIDE, batch)
        drawn = [_sample(images, boxes, points, int(rng.integers(len(images))), rng, side) for _ in range(count)]
        x = torch.from_numpy(np.stack([picture for picture, _, _ in drawn])).permute(0, 3, 1, 2).float()
        x = ((x - 127.5) / 128).contiguous(memory_format=torch.channels_last)
        out = model.train()(x)
        score, box, point = _loss(out, [(b, p) for _, b, p in drawn])
        optimiser.zero_grad()
        (score + 2 * box + 4 * point).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (0.5 * (1 + math.cos(math.pi * done)) + 0.01)
        optimiser.step()
        step += 1
        sums = 0.98 * sums + 0.02 * np.array([float(score), float(box), float(point)])
        if step % 100 == 0:
            log(f"detector: step {step}, score {sums[0]:.4f}, box {sums[1]:.4f}, keypoints {sums[2]:.4f}")
        if time.monotonic() - started - saved > 90:
            saved = time.monotonic() - started
            kept = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": saved}
            torch.save(kept, checkpoint)
    torch.save({"model": model.state_dict(), "step": step}, path)
    log(f"detector: finished after {step} steps of {batch}")


def load(work: Path) -> Detector:
    """The finished detector, or the last checkpoint of one in training."""
    path, model = work / "detector.pt", Detector()
    state = torch.load(path if path.exists() else work / "detector.ckpt", weights_only=True)
    model.load_state_dict(state["model"])
    return model.eval()


Sample = tuple[Pixels, NDArray[np.float32], NDArray[np.float32]]


def _sample(images: Any, boxes: Any, points: Any, index: int, rng: np.random.Generator, side: int) -> Sample:
    """A disturbed picture of `side` pixels with its faces: box [n, 4] and keypoints [n, 5, 2] of those well inside."""
    keep = ~np.isnan(boxes[index][:, 0])
    picture, box, point = np.asarray(images[index]), boxes[index][keep], points[index][keep]
    if not len(box) and rng.random() < 0.7:
        picture = clutter(rng, picture)
    zoom = float(np.exp(rng.uniform(np.log(0.45), np.log(1.5)))) * side / picture.shape[0]
    spare = side - picture.shape[0] * zoom
    dx, dy = (rng.uniform(min(0, spare), max(0, spare)) for _ in range(2))
    fill = tuple(int(v) for v in rng.integers(0, 256, 3)) if rng.random() < 0.5 else (0, 0, 0)
    matrix = np.array([[zoom, 0, dx], [0, zoom, dy]], np.float32)
    out = cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=fill)
    box, point = box * zoom + np.tile([dx, dy], 2), point * zoom + [dx, dy]
    if rng.random() < 0.5:  # mirrored: left and right trade places
        out = out[:, ::-1]
        box = np.stack([side - box[:, 2], box[:, 1], side - box[:, 0], box[:, 3]], 1)
        point = point[:, [1, 0, 2, 4, 3]] * [-1, 1] + [side, 0]
    out = _disturbed(np.ascontiguousarray(out), rng)
    middle, extent = (box[:, :2] + box[:, 2:]) / 2, np.sqrt(np.maximum(1, np.prod(box[:, 2:] - box[:, :2], 1)))
    seen = ((middle > 0) & (middle < side)).all(1) & (extent > 9)
    inside = ((point > -2) & (point < side + 2)).all((1, 2))
    for k in np.flatnonzero(~(seen & inside)):  # half a face is neither a face nor none: hide it
        left, top, right, bottom = (int(v) for v in np.clip(box[k] + [-9, -14, 9, 9], 0, side))
        out[top:bottom, left:right] = rng.integers(0, 256, 3)
    keep = seen & inside
    return out, box[keep].astype(np.float32), point[keep].astype(np.float32)


def _disturbed(x: Pixels, rng: np.random.Generator) -> Pixels:
    if rng.random() < 0.35:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.5, 2.5)))  # type: ignore[assignment]
    if rng.random() < 0.3:
        small = int(rng.integers(96, 240))
        x = cv2.resize(cv2.resize(x, (small, small), interpolation=cv2.INTER_AREA), x.shape[:2])  # type: ignore[assignment]
    if rng.random() < 0.5:
        x = np.clip(x * rng.uniform(0.75, 1.2, 3) + rng.uniform(-16, 16), 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        x = np.clip(x + rng.normal(0, rng.uniform(2, 14), x.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        ok, data = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 90))])
        x = cv2.imdecode(data, cv2.IMREAD_COLOR) if ok else x  # type: ignore[assignment]
    return x


def clutter(rng: np.random.Generator, under: Pixels) -> Pixels:
    """Things that are no faces: noise, letters, stripes, and round blobs with ears and spots that might tempt."""
    x, side, kind = under.copy(), under.shape[0], int(rng.integers(5))

    def colour() -> tuple[int, int, int]:
        r, g, b = (int(v) for v in rng.integers(0, 256, 3))
        return r, g, b

    if kind == 0:
        coarse = rng.integers(0, 256, (int(rng.integers(4, 64)),) * 2 + (3,), dtype=np.uint8)
        x = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    elif kind == 1:
        for _ in range(int(rng.integers(5, 30))):
            at = (int(rng.integers(-20, side)), int(rng.integers(0, side)))
            word = "".join(chr(int(c)) for c in rng.integers(65, 91, int(rng.integers(2, 9))))
            cv2.putText(
                x,
                word,
                at,
                int(rng.integers(0, 5)),
                float(rng.uniform(0.4, 2.4)),
                colour(),
                int(rng.integers(1, 4)),
                cv2.LINE_AA,
            )
    elif kind == 2:
        for _ in range(int(rng.integers(1, 6))):  # animals: a round body, ears, spots, but no mouth below two eyes
            c, r = rng.integers(30, side - 30, 2), int(rng.integers(12, 90))
            body = colour()
            for s in (-1, 1):
                cv2.circle(x, (int(c[0] + s * r * 0.7), int(c[1] - r * 0.8)), int(r * 0.4), body, -1, cv2.LINE_AA)
            cv2.ellipse(
                x, (int(c[0]), int(c[1])), (r, int(r * rng.uniform(0.7, 1.2))), 0, 0, 360, body, -1, cv2.LINE_AA
            )
            for _ in range(int(rng.integers(0, 6))):
                spot = c + rng.uniform(-0.7, 0.7, 2) * r
                cv2.circle(
                    x, (int(spot[0]), int(spot[1])), max(1, int(r * rng.uniform(0.05, 0.2))), colour(), -1, cv2.LINE_AA
                )
    elif kind == 3:
        for _ in range(int(rng.integers(4, 40))):
            a, b = rng.integers(0, side, 2), rng.integers(0, side, 2)
            if rng.random() < 0.5:
                cv2.rectangle(x, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), colour(), int(rng.choice([-1, 1, 3])))
            else:
                cv2.ellipse(
                    x,
                    (int(a[0]), int(a[1])),
                    (int(rng.integers(3, 70)), int(rng.integers(3, 70))),
                    0,
                    0,
                    360,
                    colour(),
                    -1,
                    cv2.LINE_AA,
                )
    else:
        ramp = np.linspace(0, 1, side)[:, None, None] * (np.array(colour()) - colour()) + 128
        x = np.broadcast_to(np.clip(ramp, 0, 255), (side, side, 3)).astype(np.uint8).copy()
    return x


def _loss(
    out: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]], truth: list[tuple[Any, Any]]
) -> tuple[torch.Tensor, ...]:
    """Focal loss of the scores (Lin et al. 2017), and on the positive anchors generalised IoU and smooth L1."""
    scores, boxes, points = [], [], []
    positives = 1
    for stride, (logit, distance, offset) in zip(STRIDES, out, strict=True):
        height, width = logit.shape[-2:]
        gy, gx = np.mgrid[:height, :width] * stride
        label = np.zeros((len(truth), height, width), np.float32)
        index, wanted, wanted_points = [], [], []
        for n, (box, point) in enumerate(truth):
            for b, p in zip(box, point, strict=True):
                size, middle = float(np.sqrt(np.prod(b[2:] - b[:2]))), (b[:2] + b[2:]) / 2
                low, high = _SIZES[stride]
                if not low <= size < high:
                    continue
                radius = max(stride * 0.75, size * 0.16)
                inside = np.hypot(gx - middle[0], gy - middle[1]) < radius
                label[n][inside] = 1
                for r, c in zip(*np.nonzero(inside), strict=True):
                    x, y = c * stride, r * stride
                    index.append((n, r, c))
                    wanted.append([x - b[0], y - b[1], b[2] - x, b[3] - y])
                    wanted_points.append((p - [x, y]).ravel())
        target = torch.from_numpy(label)[:, None].expand(-1, ANCHORS, -1, -1)
        probability = logit.sigmoid()
        right = torch.where(target > 0, probability, 1 - probability)
        balance = torch.where(target > 0, 0.4, 0.6)
        scores.append(
            (balance * (1 - right) ** 2 * F.binary_cross_entropy_with_logits(logit, target, reduction="none")).sum()
        )
        if index:
            positives += len(index) * ANCHORS
            n, r, c = torch.tensor(index).T
            got = distance[n, :, r, c].view(-1, ANCHORS, 4)
            goal = (torch.tensor(np.array(wanted), dtype=torch.float32) / stride)[:, None].expand_as(got)
            boxes.append((1 - _giou(got, goal)).sum())
            got, reach = (
                offset[n, :, r, c].view(-1, ANCHORS, 10),
                (goal[..., :2] + goal[..., 2:]).mean(-1, keepdim=True),
            )
            aim = (torch.tensor(np.array(wanted_points), dtype=torch.float32) / stride)[:, None].expand_as(got)
            points.append((F.smooth_l1_loss(got / reach * 10, aim / reach * 10, reduction="none").mean(-1)).sum())
    zero = out[0][0].sum() * 0
    return sum(scores, zero) / positives, sum(boxes, zero) / positives, sum(points, zero) / positives


def _giou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Generalised IoU (Rezatofighi et al. 2019) of boxes given as distances from a common point [..., 4]."""
    low, high = torch.minimum(a, b).clamp(min=0), torch.maximum(a, b)
    overlap = (low[..., 0] + low[..., 2]) * (low[..., 1] + low[..., 3])
    area_a, area_b = ((d[..., 0] + d[..., 2]) * (d[..., 1] + d[..., 3]) for d in (a, b))
    union = area_a + area_b - overlap
    hull = (high[..., 0] + high[..., 2]) * (high[..., 1] + high[..., 3])
    return overlap / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)
