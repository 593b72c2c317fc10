from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gpu_worker import catalog
from gpu_worker.packs import PackError, verify


class Command(BaseCommand):
    help = "The model packs installed here: list them with their terms, or verify the hash of every file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["list", "verify"])

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        packs = catalog.installed()
        if not packs:
            raise CommandError("No model pack is installed. Set MODEL_PACKS to a folder that holds some.")
        bad = 0
        for pack in packs.values():
            terms = pack.licence.name + ("" if pack.licence.commercial else ", not for commercial projects")
            line = f"{pack.name} {pack.version}: {pack.title} ({pack.domain}; {terms})"
            if what == "verify":
                try:
                    verify(pack)
                    line += " - every file as listed"
                except PackError as error:
                    bad += 1
                    line += f" - {error}"
            self.stdout.write(line)
        if bad:
            raise CommandError(f"{bad} of {len(packs)} packs cannot be used.")
