from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from library.sample import make_sample_project, sign_ins_in_words


class Command(BaseCommand):
    help = "Make the sample project with people of every role and a cast with references; print the sign-ins."

    def handle(self, *args: Any, **options: Any) -> None:
        project = make_sample_project()
        self.stdout.write(f"The sample project is “{project.name}”.")
        self.stdout.write(sign_ins_in_words())
