from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gpu_worker import catalog, machine, reports
from gpu_worker.contracts import RunError
from gpu_worker.packs import Pack, read_pack


class Command(BaseCommand):
    help = (
        "Measure an installed model pack: whether its pictures still show the same person in every tier, whether they "
        "follow their prompts, and whether its stated rates of false matches are true. Writes a report that the "
        "catalogue links to."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pack", help="Name of an installed pack, or a folder that holds one.")
        parser.add_argument(
            "--people",
            type=Path,
            metavar="DIR",
            help="One folder of pictures for each person. Without it, painted people, for packs that make drawings.",
        )
        parser.add_argument("--identities", type=int, help="People of whom pictures are made.")
        parser.add_argument("--adapted", type=int, help="How many of them also get a trained adapter.")
        parser.add_argument("--others", type=int, help="Further people, for the encoders and their stated rates.")
        parser.add_argument("--seed", type=int, default=0, help="Draws people, prompts and noise.")
        parser.add_argument("--minutes", type=float, help="Stop making pictures after so long.")
        parser.add_argument("--out", type=Path, metavar="DIR", help="Where the report goes; where the catalogue looks.")

    def handle(self, *args: Any, pack: str, seed: int, out: Path | None, **options: Any) -> None:
        from gpu_worker.evaluation import engine, report
        from gpu_worker.evaluation.cast import Cast, Folders, Painted

        found = self._pack(pack)
        wanted = {
            "identities": options["identities"],
            "adapted": options["adapted"],
            "strangers": options["others"],
            "minutes": options["minutes"],
        }
        for name, value in wanted.items():
            if value is not None and value < (1 if name == "identities" else 0):
                raise CommandError(f"{value:g} is too small for --{'others' if name == 'strangers' else name}.")
        plan = dataclasses.replace(engine.Plan(seed=seed), **{k: v for k, v in wanted.items() if v is not None})
        cast: Cast
        if options["people"] is not None:
            cast = Folders(options["people"], seed=seed, held_out=plan.held_out)
        elif found.domain == "illustration":
            cast = Painted(seed=seed, size=found.resolution, vocabulary=found.vocabulary)
        else:
            raise CommandError(
                f"{found.title} was made for photographs. Give a folder with one folder of pictures for each person: "
                "--people DIR."
            )
        about = machine.describe()
        try:
            with engine.evaluating(found, cast, plan, tell=self.stdout.write) as result:
                written = report.write(result, about, out or reports.folder_for(found, settings.EVALUATIONS_DIR))
        except RunError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(report.in_a_sentence(result.figures))
        self.stdout.write(
            f"{result.figures['seconds']['total'] / 60:.1f} minutes. Written to {os.path.relpath(written)}."
        )

    @staticmethod
    def _pack(named: str) -> Pack:
        installed = catalog.installed()
        if named in installed:
            return installed[named]
        if (Path(named) / "pack.json").exists():
            try:
                return read_pack(named)
            except RunError as error:
                raise CommandError(str(error)) from None
        known = ", ".join(installed) or "none"
        raise CommandError(f"The model pack {named!r} is not installed. Installed: {known}.")
