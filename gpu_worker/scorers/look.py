"""Looking at pictures: faces by the models of a pack's insightface directories, and the picture itself.

insightface's own `FaceAnalysis` loads the directories; the detector of the first finds the faces and every encoder
embeds the same ones.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import cv2
import numpy as np
from insightface.app import FaceAnalysis
from numpy.typing import NDArray

from gpu_worker.contracts import Face, Looked, RunError
from gpu_worker.packs import Pack, PackError, verify
from gpu_worker.scorers import picture, sessions
from gpu_worker.scorers.faces import Detected, Detector, Encoder, crop
from gpu_worker.scorers.whole import FigureReader, unit

NOSE: Final = 1.9
"""Eye distance over how far the nose tip stands in front of the plane of eyes and mouth, in an average head."""
FACES_AT_MOST: Final = 32
SMALLEST: Final = 16
"""Pictures with a side under this many pixels are not searched for faces."""
TOGETHER: Final = 8
"""Pictures that go through the models together."""
LANES_AT_MOST: Final = 4
"""Threads that look at pictures side by side; where there are more cores, each run takes several."""
NOTHING: Final = Detected(np.empty((0, 5), np.float32), np.empty((0, 5, 2), np.float32))
MEASURES: Final[dict[str, Callable[[picture.Pixels], Any]]] = {
    "sharpness": picture.sharpness,
    "brightness": picture.brightness,
    "clipped": picture.clipped,
    "perceptual_hash": picture.perceptual_hash,
    "photographic": picture.photographic,
    "colours": picture.colours,
}
"""Fields of a `Looked` that are measured on the picture itself."""

Seen = TypeVar("Seen")
Spread = Callable[..., Iterable[Any]]
"""`map`, or the same over threads."""
See = Callable[[Sequence[picture.Pixels], Spread], Sequence[Seen]]


class Looker:
    """Finds, embeds and measures, in many pictures at once.

    A few pictures at a time go through the detector together, their faces through each encoder together, and so on
    each of the threads; a picture costs one detection, whatever the number of encoders.
    """

    def __init__(self, pack: Pack, encoders: Sequence[str], *, threads: int, device: str = "cpu") -> None:
        """Verify the pack's encoder directories and its figure encoder, and load them. `threads`: at most so many
        cores. Raises PackError."""
        self.pack, self.encoders = pack, tuple(encoders)
        # Small models gain little from a second thread within a run, and much from a run on each thread.
        self._lanes = min(threads, LANES_AT_MOST)
        within = max(threads // self._lanes, 1)
        apps = {name: _load(pack, name, within, device) for name in self.encoders}
        self._detector = Detector(next(iter(apps.values())).det_model) if apps else None
        self._encoders = {name: Encoder(app.models["recognition"]) for name, app in apps.items()}
        self._figure = FigureReader(pack, threads=within, device=device) if pack.figure else None
        self._pool = ThreadPoolExecutor(self._lanes, thread_name_prefix="look")

    def look(self, pixels: picture.Pixels) -> Looked:
        """`pixels`: RGB uint8 [H, W, 3]."""
        return self.look_many([pixels])[0]

    def look_many(self, pictures: Sequence[picture.Pixels | Path]) -> list[Looked]:
        """What `look` sees in each. Files are decoded on the way; raises RunError for one that cannot be read."""
        return _all(self.look_each(pictures))

    def look_each(self, pictures: Sequence[picture.Pixels | Path]) -> Generator[Looked | RunError, None, None]:
        """What `look` sees in each, in order, soon after it was seen; for a file that cannot be read the reason.

        Only a few pictures are held decoded at a time.
        """
        return self._each(pictures, self._looked)

    def faces_many(self, pictures: Sequence[picture.Pixels | Path]) -> list[tuple[Face, ...]]:
        """The faces of each picture alone, largest first; the picture and outfits are not measured. Raises RunError for
        a file that cannot be read."""
        return _all(self._each(pictures, self._faces))

    # ------------------------------------------------------------------------------------------- some at a time
    def _each(
        self, pictures: Sequence[picture.Pixels | Path], see: See[Seen]
    ) -> Generator[Seen | RunError, None, None]:
        """`see` applied to at most `TOGETHER` pictures at a time on each thread; in order."""
        if len(pictures) == 1:  # its parts are spread over the threads instead
            yield from self._some(pictures, see, self._pool.map)
            return
        turns = math.ceil(len(pictures) / (TOGETHER * self._lanes))  # as many for each thread
        step = max(math.ceil(len(pictures) / max(turns * self._lanes, 1)), 1)
        under_way: deque[Future[list[Seen | RunError]]] = deque()
        try:
            for start in range(0, len(pictures), step):
                under_way.append(self._pool.submit(self._some, pictures[start : start + step], see, map))
                if len(under_way) > self._lanes:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            for one in under_way:
                one.cancel()

    def _some(self, pictures: Sequence[picture.Pixels | Path], see: See[Seen], spread: Spread) -> list[Seen | RunError]:
        decoded = [_decoded(one) for one in pictures]
        seen = iter(see([one for one in decoded if not isinstance(one, RunError)], spread))
        return [one if isinstance(one, RunError) else next(seen) for one in decoded]

    def _looked(self, pictures: Sequence[picture.Pixels], spread: Spread) -> Sequence[Looked]:
        faces = self._faces(pictures, spread)
        figures = self._figure.embed(pictures) if self._figure else [()] * len(pictures)
        found = []
        for pixels, mine, figure in zip(pictures, faces, figures, strict=True):
            measured = spread(lambda measure, of: measure(of), MEASURES.values(), itertools.repeat(pixels))
            found.append(
                Looked(
                    width=pixels.shape[1],
                    height=pixels.shape[0],
                    faces=tuple(replace(face, outfit=picture.outfit(pixels, face.box)) for face in mine),
                    encoders=self.encoders,
                    figure=figure,
                    **dict(zip(MEASURES, measured, strict=True)),
                )
            )
        return found

    def _faces(self, pictures: Sequence[picture.Pixels], spread: Spread) -> Sequence[tuple[Face, ...]]:
        found = self._detect(pictures)
        places = [(k, n) for k, one in enumerate(found) for n in range(len(one.boxes))]

        def embed(encoder: Encoder) -> list[tuple[float, ...]]:
            crops = [crop(pictures[k], found[k].keypoints[n], encoder.side) for k, n in places]
            return [unit(raw) for raw in encoder.embed(np.stack(crops))] if crops else []

        columns = dict(zip(self._encoders, spread(embed, self._encoders.values()), strict=True))
        faces: list[list[Face]] = [[] for _ in pictures]
        for at, (k, n) in enumerate(places):
            height, width = pictures[k].shape[:2]
            box, points = found[k].boxes[n], found[k].keypoints[n]
            faces[k].append(
                Face(
                    box=_inside(box[:4], width, height),
                    confidence=float(np.clip(box[4], 0, 1)),
                    keypoints=tuple((float(x), float(y)) for x, y in points),
                    embeddings={name: rows[at] for name, rows in columns.items() if rows[at]},
                    yaw=yaw(points),
                )
            )
        return [tuple(sorted(mine, key=lambda face: -_area(face.box))) for mine in faces]

    def _detect(self, pictures: Sequence[picture.Pixels]) -> list[Detected]:
        """A head that fills the whole picture is larger than anything the detector learned, so where nothing was found,
        a border of half the picture is put around."""
        found = [NOTHING] * len(pictures)
        searched = [k for k, pixels in enumerate(pictures) if min(pixels.shape[:2]) >= SMALLEST]
        if self._detector is None or not searched:
            return found
        for k, one in zip(
            searched, self._detector.detect([pictures[k] for k in searched], at_most=FACES_AT_MOST), strict=True
        ):
            found[k] = one
        empty = [k for k in searched if not len(found[k].boxes)]
        bordered = [_bordered(pictures[k], self._detector.side) for k in empty]
        again = self._detector.detect([pixels for pixels, _, _ in bordered], at_most=FACES_AT_MOST) if empty else []
        for k, (_, scale, border), one in zip(empty, bordered, again, strict=True):
            left, top = border
            boxes = (one.boxes - np.array([left, top, left, top, 0])) / np.array([scale] * 4 + [1])
            points = (one.keypoints - np.array(border)) / scale
            found[k] = Detected(np.asarray(boxes, np.float32), np.asarray(points, np.float32))
        return found


def _bordered(pixels: picture.Pixels, side: int) -> tuple[picture.Pixels, float, tuple[int, int]]:
    """The picture with a border of half of it, the scale of the picture in it, and the width of the border at the left
    and the top in pixels. Nothing is larger than `side`, as the detector scales it to that anyway."""
    scale = min(side / 2 / max(pixels.shape[:2]), 1.0)
    size = (max(round(pixels.shape[1] * scale), 1), max(round(pixels.shape[0] * scale), 1))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    left, top = size[0] // 2, size[1] // 2
    bordered = cv2.copyMakeBorder(small, top, top, left, left, cv2.BORDER_REPLICATE)
    return np.asarray(bordered, np.uint8), size[1] / pixels.shape[0], (left, top)


def _decoded(one: picture.Pixels | Path) -> picture.Pixels | RunError:
    try:
        return picture.read_picture(one) if isinstance(one, Path) else one
    except RunError as error:
        return error


def _all(answers: Iterable[Seen | RunError]) -> list[Seen]:
    found = []
    for answer in answers:
        if isinstance(answer, RunError):
            raise answer
        found.append(answer)
    return found


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
