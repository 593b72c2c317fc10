"""Finding and embedding faces in many pictures, against insightface's own loop: `python -m benchmarks.scoring`.

    python -m benchmarks.scoring --json FILE [--seed N] [--pictures N] [--rounds N] [--threads N]

Files of mixed sizes, with none to three drawn people each, are painted from the seed. Both ways read and decode every
file, detect at the pack's sizes and embed every face with the same encoders, with the same number of threads; nothing
is kept from one round to the next, and the rounds of both take turns, so that other load hits both alike.

*Plain* is `FaceAnalysis.get` on one `cv2.imread` after the other. A `FaceAnalysis` holds one encoder, so for two
there are two, as its users do it. *Ours* is `Looker.faces_many`. Besides the encoders of a look (the figures at the
top), the same is measured with one encoder, where both detect once per picture; and with one encoder of the size of
ArcFace R50 with random weights, since a pack's own may be tiny. `ratio` is the median over rounds of ours to plain.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import figures, machine

PICTURES: Final = 200
SIZES: Final = (256, 384, 512, 640, 768)
PEOPLE: Final = (0, 1, 2, 3)
SHARES: Final = (0.05, 0.75, 0.12, 0.08)
"""How many of the pictures show so many people."""
ENCODERS: Final = ("conditioning", "scoring")
ONE: Final = ("scoring",)
LARGE_PICTURES: Final = 24
"""Pictures for the large encoder, which takes a hundred times as long."""
FIRST_PERSON: Final = 9_000_000
"""Seeds of people that no training, calibration or evaluation draws from."""

Faces = list[list[tuple[Any, dict[str, Any]]]]
"""Per picture and face: the box, and encoder -> embedding at unit length."""


def paint(folder: Path, *, seed: int, count: int) -> list[Path]:
    """Write the pictures, every other as PNG and as JPEG; the same for the same seed."""
    import numpy as np
    from PIL import Image

    from gpu_worker.minipack.data import group_scene
    from gpu_worker.minipack.renderer import identity, nuisance, render

    files = []
    for n in range(count):
        rng = np.random.default_rng((seed, n))
        size, people = int(rng.choice(SIZES)), int(rng.choice(PEOPLE, p=SHARES))
        seeds = [FIRST_PERSON + int(s) for s in rng.integers(0, 1_000_000, people)]
        drawn = render(identity(seeds[0]), nuisance(rng), size) if people == 1 else group_scene(rng, seeds, size)[0]
        files.append(folder / f"{n:04d}.{'png' if n % 2 else 'jpg'}")
        Image.fromarray(drawn).save(files[-1], quality=92)
    return files


# ------------------------------------------------------------------------------------------------------- both ways
def plain(pack: Any, encoders: Sequence[str], threads: int) -> Callable[[Sequence[Path]], Faces]:
    """insightface as its users call it."""
    import cv2
    import onnxruntime
    from insightface.app import FaceAnalysis

    apps = {}
    for name in encoders:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        apps[name] = FaceAnalysis(
            name=str(pack.path(pack.encoders[name]).resolve()),
            root=str(pack.directory),
            allowed_modules=["detection", "recognition"],
            providers=["CPUExecutionProvider"],
            sess_options=options,
        )
        sizes = [(size, size) for size in pack.detection_sizes]
        apps[name].prepare(ctx_id=0, det_thresh=pack.detection_threshold, det_size=sizes)

    def run(files: Sequence[Path]) -> Faces:
        cv2.setNumThreads(threads)
        found: Faces = []
        for file in files:
            picture = cv2.imread(str(file))
            by_encoder = {name: app.get(picture) for name, app in apps.items()}
            first = by_encoder[encoders[0]]
            found.append(
                [
                    (face.bbox, {name: faces[k].normed_embedding for name, faces in by_encoder.items()})
                    for k, face in enumerate(first)
                ]
            )
        return found

    return run


def ours(pack: Any, encoders: Sequence[str], threads: int) -> Callable[[Sequence[Path]], Faces]:
    import cv2

    from gpu_worker.scorers.look import Looker

    looker = Looker(pack, encoders, threads=threads)

    def run(files: Sequence[Path]) -> Faces:
        cv2.setNumThreads(1)  # as the worker sets it
        return [[(face.box, face.embeddings) for face in faces] for faces in looker.faces_many(files)]

    return run


# ------------------------------------------------------------------------------------------------------- comparing
def agreement(expected: Faces, found: Faces, files: Sequence[Path]) -> dict[str, Any]:
    """Whether every face of the plain loop was found with the same box and embeddings.

    `only_with_border`: faces that ours found where the plain loop found none, because it searches such pictures a
    second time with a border around them.
    """
    import numpy as np
    from PIL import Image

    faces, missed, extra, ious, cosines = 0, 0, 0, [], []
    for file, theirs, mine in zip(files, expected, found, strict=True):
        with Image.open(file) as opened:
            width, height = opened.size
        if not theirs:
            extra += len(mine)
            continue
        missed += abs(len(theirs) - len(mine))
        for box, embeddings in theirs:
            inside = np.clip(box, 0, [width, height, width, height])  # ours keeps to the picture
            iou, match = max(((_iou(inside, one), e) for one, e in mine), key=lambda pair: pair[0], default=(0.0, {}))
            faces += 1
            ious.append(iou)
            cosines += [float(np.dot(e, match[name])) if name in match else 0.0 for name, e in embeddings.items()]
    return {
        "faces": faces,
        "missed_or_added": missed,
        "only_with_border": extra,
        "lowest_iou": round(min(ious, default=math.nan), 4),
        "lowest_cosine": round(min(cosines, default=math.nan), 6),
        "same": missed == 0 and min(ious, default=0) >= 0.9 and min(cosines, default=0) >= 0.999,
    }


def _iou(a: Any, b: Any) -> float:
    import numpy as np

    a, b = np.asarray(a, float), np.asarray(b, float)
    shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    whole = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return float(shared / whole) if whole > 0 else 0.0


def compare(pack: Any, encoders: Sequence[str], files: Sequence[Path], *, threads: int, rounds: int) -> dict[str, Any]:
    """Both ways on the same files by turns; images per second as medians of the rounds."""
    ways = {"plain": plain(pack, encoders, threads), "ours": ours(pack, encoders, threads)}
    results = {name: run(files[:4]) for name, run in ways.items()}  # models make their first plans
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways) if turn % 2 == 0 else list(reversed(ways)):
            start = time.perf_counter()
            results[name] = ways[name](files)
            rates[name].append(len(files) / (time.perf_counter() - start))
    return {
        "images_per_second": round(statistics.median(rates["ours"]), 1),
        "plain_images_per_second": round(statistics.median(rates["plain"]), 1),
        "ratio": round(statistics.median(o / p for o, p in zip(rates["ours"], rates["plain"], strict=True)), 2),
        "rounds": [round(o / p, 2) for o, p in zip(rates["ours"], rates["plain"], strict=True)],
        "agreement": agreement(results["plain"], results["ours"], files),
    }


# --------------------------------------------------------------------------------------------- an encoder of real size
def with_large_encoder(pack: Any, folder: Path) -> Any:
    """A pack with this pack's detector and an encoder shaped like ArcFace's IResNet-50 (Deng et al. 2019, arXiv
    1801.07698: stages of 3, 4, 14 and 3 blocks, 64 to 512 channels), with random weights: 6.3 GFLOP per face."""
    from gpu_worker.packs import read_pack

    name = ONE[0]
    target = folder / "identity" / name
    target.mkdir(parents=True)
    source = pack.path(pack.encoders[name])
    for file in source.glob("*.onnx"):
        if "recognition" not in file.name:
            shutil.copy(file, target / file.name)
    write_iresnet(target / "recognition.onnx", stages=(3, 4, 14, 3))
    manifest = json.loads((pack.directory / "pack.json").read_text())
    manifest |= {"name": "large", "pipeline": None, "ip_adapter": None, "encoders": {name: f"identity/{name}"}}
    for absent in ("figure", "attributes", "controlnet"):
        manifest.pop(absent, None)
    manifest["files"] = {
        f"identity/{name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in target.iterdir()
    }
    (folder / "pack.json").write_text(json.dumps(manifest))
    return read_pack(folder)


def write_iresnet(path: Path, *, stages: Sequence[int]) -> None:
    """Input `input` [N, 3, 112, 112], output `embedding` [N, 512]. Batch norms are folded, as runtimes fold them."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(50)
    nodes: list[Any] = []
    weights: list[Any] = []

    def weight(array: Any) -> str:
        weights.append(numpy_helper.from_array(np.asarray(array, np.float32), f"w{len(weights)}"))
        return str(weights[-1].name)

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [f"t{len(nodes)}"], **attributes))
        return f"t{len(nodes) - 1}"

    def convolution(x: str, inner: int, outer: int, size: int, stride: int) -> str:
        kernel = rng.standard_normal((outer, inner, size, size)) / math.sqrt(inner * size * size)
        pads = [size // 2] * 4
        return add("Conv", x, weight(kernel), weight(np.zeros(outer)), strides=[stride] * 2, pads=pads)

    def prelu(x: str, channels: int) -> str:
        return add("PRelu", x, weight(np.full((channels, 1, 1), 0.25)))

    x, inner = prelu(convolution("input", 3, 64, 3, 1), 64), 64
    for stage, blocks in enumerate(stages):
        outer = 64 << stage
        for block in range(blocks):
            stride = 2 if block == 0 else 1
            skip = convolution(x, inner, outer, 1, stride) if stride == 2 else x
            body = prelu(convolution(x, inner, outer, 3, 1), outer)
            x, inner = add("Add", convolution(body, outer, outer, 3, stride), skip), outer
    flat = add("Flatten", x)
    matrix = weight(rng.standard_normal((inner * 49, 512)) / math.sqrt(inner * 49))
    nodes.append(helper.make_node("MatMul", [flat, matrix], ["embedding"]))
    taken = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 112, 112])
    given = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 512])
    graph = helper.make_graph(nodes, "iresnet", [taken], [given], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


# -------------------------------------------------------------------------------------------------------- the program
def measure(folder: Path, *, seed: int, pictures: int, rounds: int, threads: int) -> dict[str, Any]:
    from gpu_worker.packs import read_pack

    (folder / "pictures").mkdir()
    files = paint(folder / "pictures", seed=seed, count=pictures)
    pack = read_pack(machine.ROOT / "gpu_worker" / "packs" / "mini")
    encoders = [name for name in ENCODERS if name in pack.encoders]
    result = compare(pack, encoders, files, threads=threads, rounds=rounds)
    result["encoders"] = ", ".join(encoders)
    result["one_encoder"] = compare(pack, ONE, files, threads=threads, rounds=rounds)
    large = with_large_encoder(pack, folder / "large")
    few = files[:LARGE_PICTURES]
    result["large_encoder"] = compare(large, ONE, few, threads=threads, rounds=max(rounds // 2, 1))
    same = [result["agreement"]["same"], *(result[k]["agreement"]["same"] for k in ("one_encoder", "large_encoder"))]
    return result | {
        "same_results": all(same),
        "pictures": pictures,
        "threads": threads,
        "pack": f"{pack.name} {pack.version}",
        "seed": seed,
    }


def report(result: dict[str, Any]) -> str:
    rows: list[tuple[str, object]] = [
        ("machine", result["machine"]),
        ("load at start", result["load_at_start"]),
        ("images per second", result.get("images_per_second")),
        ("plain images per second", result.get("plain_images_per_second")),
        ("ratio", f"{figures.shown(result.get('ratio'))} (bar 3)"),
        ("agreement", result.get("agreement")),
        *((f"{k}, ratio", result[k]["ratio"]) for k in ("one_encoder", "large_encoder") if k in result),
        ("same results", result.get("same_results")),
    ]
    return figures.table(rows, "scoring")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="Where to write the figures.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--rounds", type=int, default=5, help="Turns of each way.")
    parser.add_argument("--threads", type=int, default=machine.usable_cores(), help="Of each way.")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    about = machine.describe()
    with tempfile.TemporaryDirectory(prefix="scoring-") as folder:
        result = about | measure(
            Path(folder),
            seed=options.seed,
            pictures=options.pictures,
            rounds=options.rounds,
            threads=options.threads,
        )
    print(report(result))
    if options.json:
        figures.write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
