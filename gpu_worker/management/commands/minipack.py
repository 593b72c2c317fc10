from __future__ import annotations

import dataclasses
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gpu_worker.contracts import RunError
from gpu_worker.minipack import train

STAGES = {"export": ("export", "calibrate"), "evaluate": ("evaluate",)}


class Command(BaseCommand):
    help = (
        "Make the mini pack: render its training pictures, train its models, and write and measure the pack. "
        "Everything is seeded; training goes on where it was stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="train | export | evaluate")
        training = acts.add_parser("train", help="Do the whole recipe, or some stages of it.")
        train.add_arguments(training)
        train.add_training_arguments(training)
        export = acts.add_parser("export", help="Write the pack from what was trained so far, and calibrate it anew.")
        train.add_arguments(export)
        evaluate = acts.add_parser("evaluate", help="Measure detector, codec, encoders and classifier of the pack.")
        train.add_arguments(evaluate)

    def handle(self, *args: Any, act: str, stage: list[str] | None = None, **options: Any) -> None:
        plan = train.Plan(**{f.name: options[f.name] for f in dataclasses.fields(train.Plan) if f.name in options})
        if not 0 < plan.scale <= 1 or plan.minutes <= 0 or plan.processes < 1:
            raise CommandError("--scale lies between 0 and 1, and --minutes and --processes are positive.")
        stages = STAGES.get(act) or stage or train.stages_of(plan)
        try:
            train.run_all(stages, plan, log=self.stdout.write)
        except (RunError, FileNotFoundError) as error:
            raise CommandError(str(error)) from None
