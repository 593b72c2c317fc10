"""Make the mini pack from nothing, or let it go on learning from the weights that it has.

    python manage.py minipack train --work DIR [--minutes 300] [--stage NAME ...] [--restore [PACK]]

The same without Django: `python -m gpu_worker.minipack.train`. `--minutes` is the time for all the training together;
every stage takes its share, keeps checkpoints in DIR and goes on where it was stopped, and what is finished is not done
again. A stage alone (`--stage generator`) has the same share. With `--restore`, codec and generator begin with the
weights of a pack, whose detector is kept, too. The figures in the model card name the hardware and the time they were
measured with.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import PACK

SHARES = {
    "decoder": 0.08,
    "conditioning": 0.04,
    "scoring": 0.04,
    "audit": 0.04,
    "attributes": 0.04,
    "figure": 0.03,
    "detector": 0.08,
    "latent_identity": 0.015,
    "generator": 0.495,
    "control": 0.14,
}
"""Of the training minutes."""
STAGES = (
    "data",
    "codec",
    "encoders",
    "attributes",
    "figure",
    "detector",
    "latent_identity",
    "generator",
    "control",
    "export",
    "calibrate",
    "evaluate",
)
GENERATED = 200
"""People who also get a generated portrait in the calibration."""
MEASURED = 120
"""Pictures from which each figure is measured."""
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    work: Path
    pack: Path
    """Where the pack goes."""
    minutes: float = 300.0
    """For all the training together."""
    processes: int = 2
    device: str = "cpu"
    """Of generator and ControlNet: `cpu` or `cuda`."""
    restore: Path | None = None
    """The pack whose weights codec and generator begin with; None: with nothing."""
    scale: float = 1.0
    """Share of each split's people, 0-1."""
    generated: int = GENERATED
    measured: int = MEASURED

    def share(self, name: str) -> float:
        """Minutes."""
        return SHARES[name] * self.minutes


def run(stage: str, plan: Plan, *, log: Log = print) -> None:
    """Do one stage. The models are imported here: each stage needs only its own."""
    import torch

    work = plan.work
    torch.set_num_threads(plan.processes)
    torch.set_flush_denormal(True)
    if stage == "data":
        from . import data

        data.make(work, scale=plan.scale, processes=plan.processes, log=log)
    elif stage == "codec":
        from . import codec, restore

        if plan.restore is not None:
            restore.codec(plan.restore, work, log=log)
        codec.prepare(work, log=log)
        codec.train(work, minutes=plan.share("decoder"), log=log)
    elif stage == "encoders":
        from . import encoders

        for name in encoders.NAMES:
            encoders.train(work, name, minutes=plan.share(name), log=log)
    elif stage == "attributes":
        from . import attributes

        attributes.train(work, minutes=plan.share(stage), log=log)
    elif stage == "figure":
        from . import figure

        figure.train(work, minutes=plan.share(stage), log=log)
    elif stage == "detector":
        from . import detector

        detector.train(work, minutes=plan.share(stage), log=log)
    elif stage == "latent_identity":
        from . import latent_identity

        latent_identity.train(work, minutes=plan.share(stage), log=log)
    elif stage == "generator":
        from . import generator, restore

        if plan.restore is not None:
            restore.generator(plan.restore, work, log=log)
        generator.train(work, minutes=plan.share(stage), processes=plan.processes, device=plan.device, log=log)
    elif stage == "control":
        from . import control

        control.train(work, minutes=plan.share(stage), processes=plan.processes, device=plan.device, log=log)
    elif stage == "export":
        from . import export

        export.export(work, plan.pack, base=plan.restore, log=log)
    elif stage == "calibrate":
        from . import calibrate, export

        found = calibrate.calibrate(work, plan.pack, generated=plan.generated, log=log)
        export.write_manifest(plan.pack, calibration=found)
    elif stage == "evaluate":
        from . import evaluate

        evaluate.measure(work, plan.pack, count=plan.measured, log=log)
    else:
        raise ValueError(f"There is no stage {stage}; there are {', '.join(STAGES)}.")


def run_all(stages: Sequence[str], plan: Plan, *, log: Log = print) -> None:
    """Do these stages in their order."""
    for stage in [stage for stage in STAGES if stage in stages]:
        begun = time.monotonic()
        run(stage, plan, log=log)
        log(f"{stage}: done in {(time.monotonic() - begun) / 60:.1f} min")


# ------------------------------------------------------------------------------------------------------ arguments
def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--work` and `--pack`, which all acts take."""
    parser.add_argument("--work", type=Path, required=True, help="Where rendered pictures and checkpoints go (16 GB).")
    parser.add_argument("--pack", type=Path, default=PACK, help="Where the pack goes; by default into the source tree.")
    parser.add_argument("--processes", type=int, default=2, help="Cores to use.")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=300.0, help="For all the training together.")
    parser.add_argument("--stage", choices=STAGES, nargs="+", help="Only these.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="Of generator and ControlNet.")
    parser.add_argument(
        "--restore",
        type=Path,
        nargs="?",
        const=PACK,
        metavar="PACK",
        help="Begin codec and generator with the weights of this pack, by default the installed one, and keep its "
        "detector.",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="Share of the people to use, to try the recipe out.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    add_training_arguments(parser)
    options = vars(parser.parse_args())
    stages = options.pop("stage")
    plan = Plan(**options)
    run_all(stages or stages_of(plan), plan, log=_log)


def stages_of(plan: Plan) -> list[str]:
    """All that are needed: with the weights of a pack comes its detector."""
    return [stage for stage in STAGES if stage != "detector" or plan.restore is None]


def _log(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
