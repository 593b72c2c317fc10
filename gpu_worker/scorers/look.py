"""Looking at pictures: faces by insightface's own `FaceAnalysis` on a pack's directories, and the picture itself.

SCRFD finds the faces (Guo et al. 2021, arXiv 2105.04714), ArcFace-style encoders embed them (Deng et al. 2019, arXiv
1801.07698). The detector runs once per picture and every encoder embeds the same faces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from insightface.app import FaceAnalysis
from insightface.app.common import Face as Found
from numpy.typing import NDArray

from gpu_worker.contracts import Face, Looked
from gpu_worker.packs import Pack, PackError, verify
from gpu_worker.scorers import picture, sessions
from gpu_worker.scorers.whole import FigureReader

NOSE: Final = 1.9
"""Eye distance over how far the nose tip stands in front of the plane of eyes and mouth, in an average head."""
FACES_AT_MOST: Final = 32
SMALLEST: Final = 16
"""Pictures with a side under this many pixels are not searched for faces."""


class Looker:
    """Finds, embeds and measures. Embeddings of one picture cost one detection and one run per face and encoder."""

    def __init__(self, pack: Pack, encoders: Sequence[str], *, threads: int, device: str = "cpu") -> None:
        """Verify the pack's encoder directories and its figure encoder, and load them. `threads`: at most so many
        cores. Raises PackError."""
        self.pack, self.encoders = pack, tuple(encoders)
        apps = {name: _load(pack, name, threads, device) for name in self.encoders}
        self._detector = next(iter(apps.values())).det_model if apps else None
        self._recognition = {name: app.models["recognition"] for name, app in apps.items()}
        self._figure = FigureReader(pack, threads=threads, device=device) if pack.figure else None

    def look(self, pixels: picture.Pixels) -> Looked:
        """`pixels`: RGB uint8 [H, W, 3]."""
        height, width = pixels.shape[:2]
        return Looked(
            width=width,
            height=height,
            faces=tuple(self._faces(pixels)),
            sharpness=picture.sharpness(pixels),
            brightness=picture.brightness(pixels),
            clipped=picture.clipped(pixels),
            perceptual_hash=picture.perceptual_hash(pixels),
            photographic=picture.photographic(pixels),
            colours=picture.colours(pixels),
            figure=self._figure.embed([pixels])[0] if self._figure else (),
        )

    def _faces(self, pixels: picture.Pixels) -> list[Face]:
        height, width = pixels.shape[:2]
        if self._detector is None or min(height, width) < SMALLEST:
            return []
        bgr = np.ascontiguousarray(pixels[:, :, ::-1])
        boxes, keypoints = _detect(self._detector, bgr)
        faces = []
        for box, points in zip(boxes, keypoints, strict=True):
            embeddings = {name: self._embed(name, bgr, points) for name in self.encoders}
            inside = _inside(box[:4], width, height)
            faces.append(
                Face(
                    box=inside,
                    confidence=float(np.clip(box[4], 0, 1)),
                    keypoints=tuple((float(x), float(y)) for x, y in points),
                    embeddings={name: tuple(map(float, e)) for name, e in embeddings.items() if e is not None},
                    yaw=yaw(points),
                    outfit=picture.outfit(pixels, inside),
                )
            )
        return sorted(faces, key=lambda face: -_area(face.box))

    def _embed(self, encoder: str, bgr: picture.Pixels, points: NDArray[np.float32]) -> NDArray[np.float64] | None:
        raw = np.asarray(self._recognition[encoder].get(bgr, Found(kps=points)), np.float64)
        length = float(np.linalg.norm(raw))
        return raw / length if math.isfinite(length) and length > 0 else None


def yaw(keypoints: Any) -> float:
    """Degrees from five keypoints [5, 2]; negative looks to the left edge of the picture, 0 is frontal, within (-90,
    90).

    In a head turned by a the eyes are E cos a apart and the nose tip stands D sin a beside the middle line (eyes to
    mouth), D in front of it; so tan a = (offset / eye distance) * (E / D). Roll is taken out first.
    """
    points = np.asarray(keypoints, np.float64)
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    down = mouth - eyes
    height = float(np.linalg.norm(down))
    if height == 0:
        return 0.0
    across = np.array([down[1], -down[0]]) / height  # to the right of the picture when the head is upright
    apart = abs(float((points[1] - points[0]) @ across))
    return math.degrees(math.atan2(float((points[2] - eyes) @ across) * NOSE, max(apart, 1e-6)))


def _detect(detector: Any, bgr: picture.Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes with confidence [N, 5] and keypoints [N, 5, 2] in the picture's pixels.

    The detector itself scales the picture, up or down, to the pack's detection sizes. A head that fills the whole
    picture is larger than anything it learned, so where nothing was found, a border of half the picture is put around.
    """
    boxes, keypoints = detector.detect(bgr, max_num=FACES_AT_MOST, metric="max")
    if not len(boxes):
        top, left = bgr.shape[0] // 2, bgr.shape[1] // 2
        bordered = cv2.copyMakeBorder(bgr, top, top, left, left, cv2.BORDER_REPLICATE)
        boxes, keypoints = detector.detect(bordered, max_num=FACES_AT_MOST, metric="max")
        boxes = boxes - np.array([left, top, left, top, 0], np.float32)
        keypoints = keypoints - np.array([left, top], np.float32)
    return boxes, keypoints


def _load(pack: Pack, encoder: str, threads: int, device: str) -> FaceAnalysis:
    if encoder not in pack.encoders:
        raise PackError(f"The pack {pack.name} has no encoder {encoder}; it has {', '.join(pack.encoders) or 'none'}.")
    folder = pack.path(pack.encoders[encoder])
    # insightface downloads a pack that it does not find: never let it look for one.
    if not folder.is_dir() or not any(folder.glob("*.onnx")):
        raise PackError(
            f"The pack {pack.name} is incomplete: {pack.encoders[encoder]} holds no ONNX models. Fetch the pack anew."
        )
    verify(pack, under=[pack.encoders[encoder]])
    try:
        app = FaceAnalysis(
            name=str(folder.resolve()),
            root=str(pack.directory),
            allowed_modules=["detection", "recognition"],
            providers=sessions.providers(device),
            sess_options=sessions.options(threads),
        )
    except AssertionError:
        raise PackError(f"{pack.encoders[encoder]} of the pack {pack.name} holds no face detector.") from None
    if "recognition" not in app.models:
        raise PackError(f"{pack.encoders[encoder]} of the pack {pack.name} holds no face encoder.")
    if not app.det_model.use_kps:
        raise PackError(f"The face detector in {pack.encoders[encoder]} of the pack {pack.name} finds no keypoints.")
    app.prepare(ctx_id=0, det_thresh=pack.detection_threshold, det_size=[(size, size) for size in pack.detection_sizes])
    return app


def _inside(box: NDArray[np.float32], width: int, height: int) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(v) for v in box)
    return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))


def _area(box: tuple[float, float, float, float]) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
