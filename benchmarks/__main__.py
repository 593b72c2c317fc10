"""Run every benchmark and write benchmarks/RESULTS.md: `python -m benchmarks [NAME ...] [--seed N]`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import figures, machine

NAMES = ("main_job", "identity", "scoring", "gallery")
RESULTS = machine.ROOT / "benchmarks" / "RESULTS.md"
ABOUT = ("date", "machine", "load_at_start", "revision", "versions")


def section(name: str, result: dict[str, Any]) -> str:
    """A benchmark's figures as a table in Markdown."""
    rows = [
        f"| {what} | {value} |"
        for key, value in result.items()
        if key not in ABOUT
        for what, value in _rows(key, value)
    ]
    return "\n".join([f"## {name}", "", "| figure | value |", "|---|---|", *rows, ""])


def _rows(key: str, value: Any) -> list[tuple[str, str]]:
    """One row, and one for each part of what has nothing but parts. Parts beside figures stay in the JSON."""
    if not isinstance(value, dict):
        return [(key, figures.shown(value))]
    plain = {k: v for k, v in value.items() if not isinstance(v, dict)}
    if plain or not value:
        return [(key, figures.shown(plain))]
    return [row for name, part in value.items() for row in _rows(f"{key}, {name}", part)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], help="Which; all without any.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    about, sections, status = machine.describe(), [], 0
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names or NAMES:
            path = Path(folder) / f"{name}.json"
            command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(path), "--seed", str(options.seed)]
            status |= subprocess.run(command, cwd=machine.ROOT, check=False).returncode
            if path.exists():
                sections.append(section(name, json.loads(path.read_text())))
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    head = [
        "# Results",
        "",
        f"{about['date']}, {about['machine']}, revision {about['revision']}, seed {options.seed}.",
        "",
    ]
    RESULTS.write_text("\n".join([*head, f"{versions}.", "", *sections]))
    print(f"Written to {RESULTS.relative_to(machine.ROOT)}.")
    return status


if __name__ == "__main__":
    sys.exit(main())
