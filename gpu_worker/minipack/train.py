"""Make the mini pack from nothing.

    python -m gpu_worker.minipack.train --work DIR [--minutes 150] [--stage NAME ...]

Stages: `data`, `codec`, `encoders`, `detector`, `generator`, `export`, `evaluate`. With `--restore`, an empty DIR first
takes over the weights of the pack, and the generator goes on learning from them. `--minutes` is the time for all the
training together; every stage takes its share, keeps checkpoints in DIR and goes on where it was stopped. What is
finished is not done again. The figures in the model card name the hardware and the time they were measured with.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

SHARES = {"decoder": 0.12, "conditioning": 0.08, "scoring": 0.08, "detector": 0.1, "generator": 0.6, "attributes": 0.02}
"""Of the training minutes."""
STAGES = ("data", "codec", "encoders", "detector", "generator", "export", "evaluate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where rendered pictures and checkpoints go (8 GB)")
    parser.add_argument("--pack", type=Path, help="where the pack goes; by default into the source tree")
    parser.add_argument("--minutes", type=float, default=150)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--stage", choices=STAGES, nargs="*", default=STAGES)
    parser.add_argument("--restore", action="store_true", help="start from the weights of the pack")
    options = parser.parse_args()
    if options.restore:
        from . import export, restore

        restore.restore(options.pack or export.PACK, options.work, processes=options.processes, log=_log)
    for stage in [stage for stage in STAGES if stage in options.stage]:
        begun = time.monotonic()
        run(stage, options.work, options.pack, minutes=options.minutes, processes=options.processes, log=_log)
        _log(f"{stage}: done in {(time.monotonic() - begun) / 60:.1f} min")


def run(
    stage: str, work: Path, pack: Path | None, *, minutes: float, processes: int, log: Callable[[str], None]
) -> None:
    """Do one stage. The models are imported here: each stage needs only its own."""
    import torch

    torch.set_num_threads(processes)
    torch.set_flush_denormal(True)
    share = {name: part * minutes for name, part in SHARES.items()}
    if stage == "data":
        from . import data

        data.make(work, processes=processes, log=log)
    elif stage == "codec":
        from . import codec

        codec.prepare(work, log=log)
        codec.train(work, minutes=share["decoder"], log=log)
    elif stage == "encoders":
        from . import encoders

        for name in encoders.WIDTHS:
            encoders.train(work, name, minutes=share[name], log=log)
    elif stage == "detector":
        from . import detector

        detector.train(work, minutes=share["detector"], log=log)
    elif stage == "generator":
        from . import generator

        generator.train(work, minutes=share["generator"], processes=processes, log=log)
    elif stage == "export":
        from . import calibrate, export

        target = pack or export.PACK
        export.export(work, target, log=log)
        calibrate.calibrate(work, target, generated=100, log=log)
        export.write_manifest(work, target)
    else:
        from . import attributes, evaluate, export

        attributes.train(work, minutes=share["attributes"], log=log)
        evaluate.measure(work, pack or export.PACK, log=log)


def _log(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
