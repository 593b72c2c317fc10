"""Identity by tier: does the mini pack keep people whom it has never seen the same?

    python -m benchmarks.identity --json FILE [--seed N] [--identities N] [--adapted N] [--others N] [--minutes M]
                                  [--pack DIR] [--recipe JSON] [--out DIR]

The engine of `manage.py evaluate` on people, prompts and noise that follow from `--seed`: text only, `low` (image
prompt), `standard` (adapter and image prompt), `high` (identity ControlNet, best of several) and `high_adapted`, on the
same prompts and seeds. The audit encoder judges, or the scoring encoder in a pack without one. All figures come with
their 95 % interval over people; the keys ending in `_interval` hold them. A tier that the pack does not offer is null.
`--out` also writes the report.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import figures, machine
from gpu_worker.contracts import RunError
from gpu_worker.evaluation import engine, report
from gpu_worker.evaluation.cast import Painted
from gpu_worker.packs import read_pack

PACK = machine.ROOT / "gpu_worker" / "packs" / "mini"
KEYS = (
    "verified_at_fmr_1e2",
    "verified_at_fmr_1e3",
    "mean_cosine",
    "traits_kept",
    "adherence",
    "copy_paste",
    "no_face_rate",
)


def flat(told: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the benchmark from the engine's figures."""
    result: dict[str, Any] = {
        "encoder_tmr_at_fmr_1e3": _value(told["encoders"].get("scoring"), "tmr_at_fmr_1e3"),
        "audit_tmr_at_fmr_1e3": _value(told["encoders"].get("audit"), "tmr_at_fmr_1e3"),
        "judge": told["judge"],
        "encoders": {
            name: {key: _value(encoder, key) for key in ("tmr_at_fmr_1e2", "tmr_at_fmr_1e3")}
            | {"people": encoder["people"], "no_face_rate": encoder["no_face_rate"]}
            for name, encoder in told["encoders"].items()
        },
    }
    for name, tier in told["tiers"].items():
        result[name] = _tier(tier) if tier["offered"] else None
    result["stated_vs_measured_fmr"] = {
        encoder: {
            rate: {"stated": found["stated"]}
            | {kind: found[kind]["value"] for kind in report.KINDS}
            | {f"{kind}_interval": _interval(found[kind]) for kind in report.KINDS}
            for rate, found in rates.items()
        }
        for encoder, rates in told["stated_vs_measured_fmr"].items()
    }
    result |= {key: told[key] for key in ("pack", "people", "settings", "seconds", "notes", "seed")}
    return result


def _tier(tier: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: tier[key]["value"] for key in KEYS}
    intervals = {f"{key}_interval": _interval(tier[key]) for key in KEYS}
    by_encoder = {
        f"{key}_by_{judge}": found["value"]
        for judge, all_found in tier["by_encoder"].items()
        for key, found in all_found.items()
    }
    strata = {
        slot: {value: {key: found["value"] for key, found in row.items()} for value, row in rows.items()}
        for slot, rows in tier["strata"].items()
    }
    about = {key: tier[key] for key in ("identities", "pictures", "seconds_per_picture")}
    return about | values | intervals | by_encoder | {"strata": strata}


def _value(found: Mapping[str, Any] | None, key: str) -> float | None:
    return found[key]["value"] if found and key in found else None


def _interval(found: Mapping[str, Any]) -> list[float | None]:
    return [found["low"], found["high"]]


def table(result: Mapping[str, Any]) -> str:
    tiers = [name for name in (tier.name for tier in engine.TIERS) if result[name]]
    rows: list[tuple[str, object]] = [
        ("pack", f"{result['pack']['name']} {result['pack']['version']}"),
        ("scoring encoder, true matches at 1e-3", result["encoder_tmr_at_fmr_1e3"]),
        ("audit encoder, true matches at 1e-3", result["audit_tmr_at_fmr_1e3"]),
        ("judged by", result["judge"]),
    ]
    for key in ("identities", *KEYS, "seconds_per_picture"):
        rows.append((key, ", ".join(f"{name} {figures.shown(result[name][key])}" for name in tiers)))
    for encoder, rates in result["stated_vs_measured_fmr"].items():
        for rate, found in rates.items():
            measured = ", ".join(f"{kind} {figures.shown(found[kind])}" for kind in report.KINDS)
            rows.append((f"false matches of {encoder}, stated {rate}", measured))
    seconds = result["seconds"]
    rows.append(("seconds", f"{seconds['total']:.0f} (estimated {figures.shown(seconds['estimated'])})"))
    return figures.table(rows, "identity")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="Where to write the figures.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--identities", type=int, default=40, help="People of whom pictures are made.")
    parser.add_argument("--adapted", type=int, default=12, help="How many of them also get a trained adapter.")
    parser.add_argument("--others", type=int, default=500, help="Further people, for encoders and stated rates.")
    parser.add_argument("--minutes", type=float, default=25, help="Stop making pictures after so long.")
    parser.add_argument("--pack", type=Path, default=PACK)
    parser.add_argument("--recipe", type=json.loads, default={}, help="JSON: fields of the pack's recipe to replace.")
    parser.add_argument("--out", type=Path, help="Folder for the report.")
    options = parser.parse_args()
    about = machine.describe()
    plan = engine.Plan(
        seed=options.seed,
        identities=options.identities,
        adapted=options.adapted,
        strangers=options.others,
        minutes=options.minutes,
        recipe=options.recipe,
    )
    try:
        pack = read_pack(options.pack)
        with engine.evaluating(
            pack,
            Painted(seed=options.seed, size=pack.resolution, vocabulary=pack.vocabulary),
            plan,
            tell=lambda text: print(text, flush=True),
        ) as measured:
            result = flat(measured.figures)
            if options.out:
                report.write(measured, about, options.out)
    except RunError as error:
        print(error, file=sys.stderr)
        return 1
    result |= about
    print(table(result))
    if options.json:
        figures.write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
