"""Finding and embedding the faces of many pictures at once.

insightface's own classes load the models and say how they are fed: SCRFD (Guo et al. 2021, arXiv 2105.04714) finds
faces, ArcFace-style encoders (Deng et al. 2019, arXiv 1801.07698) embed them. What those classes do picture by picture
and face by face is done here for several together, with the same results: one run of the detector for several pictures
where its batch axis is free, one run of each encoder for the faces of several pictures, boxes decoded only where the
score passes, and the alignment solved in closed form.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from insightface.utils.face_align import arcface_dst
from numpy.typing import NDArray

from gpu_worker.scorers.picture import Pixels

PICTURES_AT_ONCE: Final = 4
"""In one run of a detector: what it holds in between should not outgrow the processor's cache."""
FACES_AT_ONCE: Final = 16
"""In one run of an encoder."""


@dataclass(frozen=True, slots=True)
class Detected:
    """The faces found in one picture."""

    boxes: NDArray[np.float32]
    """[N, 5]: left, top, right, bottom in the picture's pixels, and the score, 0-1."""
    keypoints: NDArray[np.float32]
    """[N, 5, 2]: eyes, nose tip, corners of the mouth; (x, y) in the picture's pixels."""


class Blobs(threading.local):
    """Inputs of a model, float32 [N, 3, H, W], RGB as (value - mean) / deviation.

    Each thread fills its own memory again and again: fresh memory costs more than what is written to it.
    """

    def __init__(self, mean: float, deviation: float) -> None:
        self._value = ((np.arange(256) - mean) / deviation).astype(np.float32)
        """Of each of the 256 levels."""
        self._memory = np.empty(0, np.float32)

    def take(self, count: int, height: int, width: int) -> NDArray[np.float32]:
        """[count, 3, height, width], not cleared. It holds until this thread takes the next."""
        wanted = count * 3 * height * width
        if self._memory.size < wanted:
            self._memory = np.empty(wanted, np.float32)
        return self._memory[:wanted].reshape(count, 3, height, width)

    def fill(self, picture: Pixels, place: NDArray[np.float32]) -> None:
        """Write an RGB picture [H, W, 3] to [3, H, W]."""
        for channel, plane in zip(cv2.split(picture), place, strict=True):
            plane[...] = cv2.LUT(channel, self._value)

    def fit(self, picture: Pixels, place: NDArray[np.float32]) -> np.float32:
        """Scale a picture into the top left of [3, H, W] with its proportions kept, black around it. Returns the
        scale."""
        (tall, wide), (height, width) = picture.shape[:2], place.shape[1:]
        ratio = tall / wide
        inner = (int(height / ratio), height) if ratio > height / width else (width, int(width * ratio))
        inner = (max(inner[0], 1), max(inner[1], 1))  # slivers
        self.fill(np.asarray(cv2.resize(picture, inner), np.uint8), place[:, : inner[1], : inner[0]])
        place[:, inner[1] :], place[:, : inner[1], inner[0] :] = self._value[0], self._value[0]
        return np.float32(inner[1] / tall)


class Detector:
    """SCRFD on several pictures in one run."""

    def __init__(self, scrfd: Any) -> None:
        """`scrfd`: insightface's own, prepared; its detection sizes and thresholds are used."""
        self._scrfd = scrfd
        self._blobs = Blobs(scrfd.input_mean, scrfd.input_std)
        self.is_batched = not isinstance(scrfd.session.get_inputs()[0].shape[0], int)
        """Whether one run takes several pictures. Detectors published for insightface take one."""
        self.side = max(side for size in scrfd.input_sizes for side in size)
        """Pixels on the long side of what pictures are scaled to."""

    def detect(self, pictures: Sequence[Pixels], *, at_most: int) -> list[Detected]:
        """Faces of each picture (RGB uint8 [H, W, 3]), best score first; of more than `at_most` the largest.

        As `SCRFD.detect(picture, max_num=at_most, metric="max")` for each: every picture is scaled to each detection
        size, and the finds of all sizes are merged by non-maximum suppression.
        """
        finds: list[list[Detected]] = [[] for _ in pictures]
        for width, height in self._scrfd.input_sizes:
            step = PICTURES_AT_ONCE if self.is_batched else 1
            for start in range(0, len(pictures), step):
                some = self._candidates(pictures[start : start + step], width, height)
                for k, candidates in enumerate(some, start):
                    finds[k].append(candidates)
        return [self._choose(candidates, at_most) for candidates in finds]

    def _candidates(self, pictures: Sequence[Pixels], width: int, height: int) -> list[Detected]:
        """What passes the score threshold at one detection size, best first."""
        scrfd = self._scrfd
        blob = self._blobs.take(len(pictures), height, width)
        scales = [self._blobs.fit(picture, place) for picture, place in zip(pictures, blob, strict=True)]
        outputs = scrfd.session.run(scrfd.output_names, {scrfd.input_name: blob})
        which, scores, boxes, keypoints = self._decoded(outputs, len(pictures), width)
        found = []
        for k, scale in enumerate(scales):
            mine = np.flatnonzero(which == k)
            mine = mine[np.argsort(-scores[mine, 0], kind="stable")]
            points = np.asarray(keypoints[mine] / scale, np.float32)
            found.append(Detected(np.hstack([boxes[mine] / scale, scores[mine]]), points))
        return found

    def _decoded(self, outputs: list[NDArray[np.float32]], count: int, width: int) -> tuple[NDArray[Any], ...]:
        """Index of the picture [N], score [N, 1], box [N, 4] and keypoints [N, 5, 2] in canvas pixels, for the anchors
        that pass. Per stride the model gives the score, the distances from the anchor to the sides of the box and the
        offsets of the keypoints, both in strides; anchors stand at the cells' corners, `_num_anchors` at each."""
        scrfd, levels = self._scrfd, []
        for level, stride in enumerate(scrfd._feat_stride_fpn):
            scores, sides, offsets = (
                outputs[level + part * scrfd.fmc].reshape(count, -1, size) for part, size in enumerate((1, 4, 10))
            )
            which, anchor = np.nonzero(scores[:, :, 0] >= scrfd.det_thresh)
            row, column = np.divmod(anchor // scrfd._num_anchors, width // stride)
            at = np.stack([column, row], 1).astype(np.float32) * stride
            side, offset = sides[which, anchor] * stride, offsets[which, anchor].reshape(-1, 5, 2) * stride
            boxes = np.hstack([at - side[:, :2], at + side[:, 2:]])
            levels.append((which, scores[which, anchor], boxes, at[:, None] + offset))
        return tuple(np.concatenate(column) for column in zip(*levels, strict=True))

    def _choose(self, finds: Sequence[Detected], at_most: int) -> Detected:
        boxes = np.vstack([one.boxes for one in finds]).astype(np.float32, copy=False)
        keypoints = np.vstack([one.keypoints for one in finds])
        order = np.argsort(-boxes[:, 4], kind="stable")
        kept = order[self._scrfd.nms(boxes[order])] if len(order) else order
        if len(kept) > at_most:
            areas = (boxes[kept, 2] - boxes[kept, 0]) * (boxes[kept, 3] - boxes[kept, 1])
            kept = kept[np.argsort(areas)[::-1][:at_most]]
        return Detected(boxes[kept], keypoints[kept])


class Encoder:
    """An ArcFace-style encoder on many faces in one run."""

    def __init__(self, arcface: Any) -> None:
        """`arcface`: insightface's own."""
        self._arcface = arcface
        self._blobs = Blobs(arcface.input_mean, arcface.input_std)
        self._is_batched = not isinstance(arcface.session.get_inputs()[0].shape[0], int)
        self.side = int(arcface.input_size[0])
        """Pixels on the side of the aligned crops that it takes."""

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Aligned crops, RGB uint8 [N, side, side, 3] -> raw embeddings [N, size], not normalised; as
        `ArcFaceONNX.get_feat` of each."""
        arcface, found = self._arcface, []
        step = FACES_AT_ONCE if self._is_batched else 1
        for start in range(0, len(crops), step):
            some = crops[start : start + step]
            blob = self._blobs.take(len(some), self.side, self.side)
            for face, place in zip(some, blob, strict=True):
                self._blobs.fill(face, place)
            found.append(arcface.session.run(arcface.output_names, {arcface.input_name: blob})[0])
        return np.concatenate(found)


def crop(picture: Pixels, keypoints: NDArray[Any], side: int) -> Pixels:
    """The face aligned as encoders take it, uint8 [side, side, 3], as insightface's `norm_crop`: rotated, scaled and
    moved so that its five keypoints lie nearest to those of the ArcFace template.

    In the plane, the least squares over similarities (Umeyama 1991, "Least-Squares Estimation of Transformation
    Parameters Between Two Point Patterns") is a linear regression in complex numbers.
    """
    template = np.asarray(arcface_dst, np.float64)
    template = template * side / 112 if side % 112 == 0 else (template + np.array([8, 0])) * side / 128
    own, goal = (np.asarray(points, np.float64) @ [1, 1j] for points in (keypoints, template))
    own_mean, goal_mean = own.mean(), goal.mean()
    spread = np.vdot(own - own_mean, own - own_mean).real
    turn = np.vdot(own - own_mean, goal - goal_mean) / spread if spread else 0j
    move = goal_mean - turn * own_mean
    matrix = np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])
    return np.asarray(cv2.warpAffine(picture, matrix, (side, side)), np.uint8)
