"""Write web.txt, worker.txt and dev.txt: every package each kind of host needs, at the version installed here.

    .venv/bin/python requirements/lock.py

Run it in an environment where `pip install -e .[dev]` resolved. The files are installed with `--no-deps`, so nothing
is resolved anew. opencv-python stays out: it is the same module as opencv-python-headless, which needs no display
libraries.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
LEFT_OUT = {"opencv-python", "persona-studio"}


def closure(wanted: list[str]) -> dict[str, str]:
    """Return name -> version of the requirements and all they need."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(Requirement(w), "") for w in wanted]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in LEFT_OUT:
            try:
                installed = distribution(name)
            except PackageNotFoundError:
                sys.exit(f"{name} is not installed; run pip install -e .[dev] first.")
            found[name] = installed.version
            for each in {"", *requirement.extras}:
                if (name, each) not in seen:
                    seen.add((name, each))
                    todo += [(Requirement(r), each) for r in installed.requires or []]
    return found


def main() -> None:
    extras = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    before: dict[str, str] = {}
    previous = ""
    for name in ("web", "worker", "dev"):
        pinned = before | closure([r for r in extras[name] if not r.startswith("persona-studio")])
        own = sorted(set(pinned) - set(before))
        lines = [f"-r {previous}.txt"] if previous else []
        # A local version such as 2.13.0+cpu names a build, not what an index offers.
        lines += [f"{p}=={pinned[p].partition('+')[0]}" for p in own]
        (HERE / f"{name}.txt").write_text("\n".join(lines) + "\n")
        before, previous = pinned, name


if __name__ == "__main__":
    main()
