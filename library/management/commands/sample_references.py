from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from library import people


class Command(BaseCommand):
    help = (
        "Paint reference pictures of a person who is not in the sample project, to upload by hand or through the API."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path)
        parser.add_argument("--count", type=int, default=10, help="Pictures, 1 to 100.")
        parser.add_argument("--seed", type=int, default=0, help=f"Which person, 0 to {people.OTHERS - 1:,}.")
        parser.add_argument("--size", type=int, default=512, help="Pixels on each side, 128 to 2048.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 128 <= options["size"] <= 2048:
            raise CommandError("The size must be from 128 to 2048 pixels.")
        try:
            paths = people.write_references(
                options["directory"], seed=options["seed"], count=options["count"], size=options["size"]
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{options['directory']} cannot be written: {error.strerror}.") from None
        told = people.describe(options["seed"])
        self.stdout.write(f"{len(paths)} pictures in {options['directory']}.")
        self.stdout.write(f"A description that fits: {told['age']} {told['noun']}, {told['traits']}.")
