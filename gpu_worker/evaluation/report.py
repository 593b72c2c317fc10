"""The report of an evaluation: one HTML file that needs nothing else, and the same figures as JSON."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from PIL import Image

from gpu_worker.evaluation import plots
from gpu_worker.evaluation.engine import TIERS, Result
from gpu_worker.evaluation.figures import Made
from gpu_worker.reports import DATA, PAGE, content_security_policy

STYLE: Final = Path(__file__).with_name("report.css")
THUMBNAIL, BETWEEN = 144, 4
"""Pixels."""
PEOPLE_SHOWN: Final = 5
MISSING: Final = "–"
ROWS: Final = (
    ("verified_at_fmr_1e2", "Verified, one false match in 100"),
    ("verified_at_fmr_1e3", "Verified, one false match in 1,000"),
    ("mean_cosine", "Mean cosine"),
    ("traits_kept", "Traits kept"),
    ("adherence", "Prompts followed"),
    ("copy_paste", "Copies of a reference"),
    ("no_face_rate", "No face"),
    ("not_measurable", "Face that cannot be measured"),
)
KINDS: Final = {
    "renders": "pictures of two people",
    "generated": "a picture made of one person, a picture of another",
    "generated_as_scored": "the same, as the studio scores it",
}


def write(result: Result, about: Mapping[str, Any], folder: Path) -> Path:
    """Write `report.json` and `report.html`; returns the path of the page. `about`: date, machine and versions."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {**about, **result.figures}
    figures["summary"] = in_a_sentence(figures)
    _replace(folder / DATA, json.dumps(figures, indent=1, allow_nan=False) + "\n")
    _replace(folder / PAGE, page(result, figures))
    return folder / PAGE


def page(result: Result, figures: Mapping[str, Any]) -> str:
    pack = figures["pack"]
    head = f"{pack['title']} {pack['version']}"
    style = STYLE.read_text(encoding="utf-8")
    policy = content_security_policy(f"<style>{style}</style>")
    sections = [
        f"<h1>{escape(head)}</h1>",
        f'<p class="quiet">Evaluated {escape(str(figures.get("date", ""))[:10])}, seed {figures["seed"]}.</p>',
        f'<p class="lead">{escape(figures["summary"])}</p>',
        _tiers(figures),
        _adherence(figures),
        _encoders(figures),
        _stated(figures),
        _spread(result, figures),
        _strata(figures),
        _samples(result),
        _what_was_run(figures),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        f"<title>{escape(head)} · evaluation</title><style>{style}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def in_a_sentence(figures: Mapping[str, Any]) -> str:
    """What the figures come to, for somebody who reads nothing else."""
    tiers = [t for t in figures["tiers"].values() if t["offered"]]
    if not tiers:
        return "The pack makes no pictures; only its encoders were measured."
    parts = [f"{t['title'].lower()} {_percent(t['verified_at_fmr_1e3'])}" for t in tiers]
    return (
        "Pictures that still show the same person, at one false match in 1,000 by the "
        f"{figures['judge']} encoder: {', '.join(parts)}."
    )


# ------------------------------------------------------------------------------------------------------- sections
def _tiers(figures: Mapping[str, Any]) -> str:
    tiers = figures["tiers"]
    offered = {name: tier for name, tier in tiers.items() if tier["offered"]}
    heads = ["", *(tier["title"] for tier in offered.values())]
    rows: list[list[str]] = [
        ["People, pictures", *(f"{tier['identities']}, {tier['pictures']}" for tier in offered.values())]
    ]
    for key, label in ROWS:
        share = key != "mean_cosine"
        rows.append([label, *(_estimate(tier[key], share=share) for tier in offered.values())])
    for judge in figures["judges"][1:]:
        for key, label in ROWS[:3]:
            values = [_estimate(t["by_encoder"][judge][key], share=key != "mean_cosine") for t in offered.values()]
            rows.append([f"{label}, by the {judge} encoder", *values])
    rows.append(["Seconds a picture", *(f"{tier['seconds_per_picture']:.2f}" for tier in offered.values())])
    absent = [
        f"<li>{escape(t['title'])}: not offered. {escape(t['reason'])}</li>" for t in tiers.values() if not t["offered"]
    ]
    return (
        "<h2>Tiers</h2>"
        f"<p>Judged by the {escape(figures['judge'])} encoder against {figures['settings']['held_out']} pictures of "
        "each person that took no part in making them. A picture without a face is not verified. Below each figure: "
        "the 95 % interval over people.</p>"
        + (_table(heads, rows) if offered else "")
        + (f"<ul>{''.join(absent)}</ul>" if absent else "")
    )


def _adherence(figures: Mapping[str, Any]) -> str:
    offered = {name: tier for name, tier in figures["tiers"].items() if tier["offered"]}
    if not offered:
        return ""
    if not figures["measures_attributes"]:
        text = "Not measured: the pack brings no attribute classifier, so nothing can tell what a picture shows."
        return f"<h2>Prompts and traits</h2><p>{text}</p>"
    out = "<h2>Prompts and traits</h2>"
    for key, what in (("adherence_by", "Prompts followed"), ("traits_by", "Traits kept")):
        names = list(dict.fromkeys(name for tier in offered.values() for name in tier[key]))
        rows = [[name, *(_estimate(t[key].get(name)) for t in offered.values())] for name in names]
        if rows:
            out += _table(["", *(t["title"] for t in offered.values())], rows, caption=what)
    plot = plots.identity_and_adherence(
        {t["title"]: (t["adherence"], t["verified_at_fmr_1e3"]) for t in offered.values()}
    )
    return out + _figure(plot, "Pictures verified at one false match in 1,000 over prompts followed, with intervals.")


def _encoders(figures: Mapping[str, Any]) -> str:
    encoders = figures["encoders"]
    heads = ["Encoder", "People, pictures", "True matches at 1 in 100", "At 1 in 1,000", "Equal error rate", "No face"]
    rows = []
    for name, e in encoders.items():
        size, missed = f"{e['people']}, {e['pictures']}", _share(e["no_face_rate"])
        if "roc" in e:
            matched = [_estimate(e["tmr_at_fmr_1e2"]), _estimate(e["tmr_at_fmr_1e3"]), _share(e["equal_error_rate"])]
        else:
            matched = [MISSING] * 3
        rows.append([name, size, *matched, missed])
    curves = {name: e["roc"] for name, e in encoders.items() if "roc" in e}
    reasons = {e["reason"] for e in encoders.values() if "reason" in e}
    return (
        "<h2>Encoders</h2><p>Pairs of pictures of people who serve for nothing else, through the pack's own detector; "
        "thresholds by the pairs themselves.</p>"
        + _table(heads, rows)
        + "".join(f"<p>Not measured: {escape(reason)}</p>" for reason in sorted(reasons))
        + _figure(
            plots.roc(curves), "True-match rate over false-match rate; the dashed lines are at 1 in 100 and 1 in 1,000."
        )
    )


def _stated(figures: Mapping[str, Any]) -> str:
    rows = []
    for encoder, rates in figures["stated_vs_measured_fmr"].items():
        for rate in rates.values():
            for kind, label in KINDS.items():
                found = rate[kind]
                if found["value"] is not None:
                    measured = _estimate(found, digits=3)
                    rows.append([encoder, label, f"{100 * rate['stated']:g} %", measured, _verdict(found["holds"])])
    if not rows:
        return (
            "<h2>Stated false-match rates</h2><p>Not measured: the pack states none, or there were no other people.</p>"
        )
    text = "How often two different people reach the cosine of a stated rate. It holds within a factor of two."
    heads = ["Encoder", "Pairs", "Stated", "Measured", ""]
    return f"<h2>Stated false-match rates</h2><p>{text}</p>{_table(heads, rows)}"


def _spread(result: Result, figures: Mapping[str, Any]) -> str:
    titles = {name: tier["title"] for name, tier in figures["tiers"].items()}
    names = [tier.name for tier in TIERS if tier.name in result.distributions]
    rows: dict[str, Sequence[float]] = {}
    if "impostors" in result.distributions:
        rows["Other people"] = result.distributions["impostors"]
    rows |= {titles[name]: result.distributions[name] for name in names}
    at = figures["thresholds"][figures["judge"]]
    plot = plots.distributions(rows, {"1 in 100": at["1e-2"], "1 in 1,000": at["1e-3"]})
    if not plot:
        return ""
    return "<h2>Scores</h2>" + _figure(
        plot, f"Cosines by the {figures['judge']} encoder; dashed: where verified begins."
    )


def _strata(figures: Mapping[str, Any]) -> str:
    offered = {name: tier for name, tier in figures["tiers"].items() if tier["offered"]}
    slots = list(dict.fromkeys(slot for tier in offered.values() for slot in tier["strata"]))
    out = ""
    for slot in slots:
        values = sorted({value for tier in offered.values() for value in tier["strata"].get(slot, {})})
        rows = {
            value: {
                tier["title"]: tier["strata"][slot][value]["verified_at_fmr_1e3"]
                for tier in offered.values()
                if value in tier["strata"].get(slot, {})
            }
            for value in values
        }
        out += f"<h3>{escape(slot.capitalize())}</h3>{_figure(plots.strata(rows), '')}"
    lead = "<p>Share verified at one false match in 1,000, by what the prompt asked for.</p>"
    return f"<h2>By what was asked for</h2>{lead}{out}" if out else ""


def _samples(result: Result) -> str:
    out = ""
    shown = list(dict.fromkeys(m.who for m in result.made if m.tier == "standard"))[:PEOPLE_SHOWN]
    shown += [k for k in range(len(result.subjects)) if k not in shown][: PEOPLE_SHOWN - len(shown)]
    for tier in TIERS:
        made = [m for m in result.made if m.tier == tier.name and m.who in shown]
        if made:
            people = ", ".join(result.subjects[k].person.key for k in dict.fromkeys(m.who for m in made))
            src, width, height = _sheet(result, made)
            alt = f"{tier.title}: pictures of {people}"
            picture = f'<img src="{src}" width="{width}" height="{height}" alt="{escape(alt)}">'
            out += f"<h3>{escape(tier.title)}</h3>{_figure(picture, '')}"
    if not out:
        return ""
    first = "First in each row: a reference. " if result.shows_references else ""
    return (
        f"<h2>Pictures</h2><p>{first}Each row is a person, each column the same prompt and seed in every tier.</p>{out}"
    )


def _sheet(result: Result, made: Sequence[Made]) -> tuple[str, int, int]:
    """A data address with its width and height in pixels."""
    rows: dict[int, list[Path]] = {}
    for m in sorted(made, key=lambda m: (m.who, m.number)):
        first = [result.subjects[m.who].references[0].path] if result.shows_references else []
        rows.setdefault(m.who, first).append(m.path)
    columns, step = max(map(len, rows.values())), THUMBNAIL + BETWEEN
    sheet = Image.new("RGB", (columns * step - BETWEEN, len(rows) * step - BETWEEN), "#232323")
    for y, paths in enumerate(rows.values()):
        for x, path in enumerate(paths):
            with Image.open(path) as picture:
                small = picture.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
            sheet.paste(small, (x * step, y * step))
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=84, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}", sheet.width, sheet.height


def _what_was_run(figures: Mapping[str, Any]) -> str:
    settings, people, seconds, pack = (figures[k] for k in ("settings", "people", "seconds", "pack"))
    recipe, fixed = settings["recipe"], ", ".join(settings["fixed"].values())
    size = " × ".join(map(str, settings["size"]))
    told: list[tuple[str, str]] = [
        ("Pack", f"{pack['name']} {pack['version']}, {pack['architecture']}, {pack['resolution']} px"),
        ("Hash of the pack", pack["sha256"]),
        ("People", f"{people['subjects']} to make pictures of, {people['others']} others; {people['source']}"),
        ("Seed", str(figures["seed"])),
        (
            "Pictures",
            f"{settings['steps']} steps, guidance {settings['guidance']:g}, {size} px",
        ),
        ("Strengths", f"image prompt {settings['image_prompt_strength']:g}, adapter {settings['adapter_strength']:g}"),
        ("References", f"{settings['references']} to make pictures from, {settings['held_out']} held out"),
    ]
    if settings["best_of"]:
        told.append(("High", f"identity ControlNet {settings['control_strength']:g}, best of {settings['best_of']}"))
    if fixed:
        told.append(("Asked for in every prompt", fixed))
    if recipe:
        of = settings["recipe_steps_of_the_pack"]
        told.append(("Recipe", ", ".join(f"{k} {_plain(v)}" for k, v in recipe.items())))
        longest = max(settings["train_seconds"], default=math.nan)
        told.append(
            ("Training", f"{recipe['steps']} of the pack's {of} steps; at most {longest:.0f} s for each adapter")
        )
    told.append(("Machine", str(figures.get("machine", "unknown"))))
    told.append(("Versions", ", ".join(f"{k} {v}" for k, v in dict(figures.get("versions") or {}).items())))
    if seconds["estimated"] is not None:
        told.append(("Estimated", f"{seconds['estimated'] / 60:.1f} min, after the first person"))
    told.append(("Taken", f"{seconds['total'] / 60:.1f} min"))
    told += [(part.capitalize(), f"{spent:.0f} s") for part, spent in seconds["parts"].items()]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in told)
    notes = "".join(f"<li>{escape(note)}</li>" for note in figures["notes"])
    return f"<h2>What was run</h2><dl>{rows}</dl>" + (f"<h3>Notes</h3><ul>{notes}</ul>" if notes else "")


# --------------------------------------------------------------------------------------------------------- pieces
def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> str:
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
    body = ""
    for first, *rest in rows:
        cells = "".join(f"<td>{cell if isinstance(cell, _Markup) else escape(cell)}</td>" for cell in rest)
        body += f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


class _Markup(str):
    """Text that is markup already."""


def _estimate(found: Mapping[str, Any] | None, *, share: bool = True, digits: int = 1) -> str:
    if not found or found["value"] is None:
        return _Markup('<span class="quiet">not measured</span>')
    if share:
        value, low, high = (f"{100 * found[k]:.{digits}f}" for k in ("value", "low", "high"))
        return _Markup(f"{value} %<small>{low} to {high}</small>")
    return _Markup(f"{found['value']:.3f}<small>{found['low']:.3f} to {found['high']:.3f}</small>")


def _verdict(holds: bool | None) -> str:
    if holds is None:
        return _Markup('<span class="quiet">too few people to tell</span>')
    return _Markup('<span class="yes">● holds</span>' if holds else '<span class="no">▲ does not hold</span>')


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def _percent(found: Mapping[str, Any]) -> str:
    return "not measured" if found["value"] is None else f"{100 * found['value']:.0f} %"


def _plain(value: Any) -> str:
    return (
        " ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _figure(inner: str, caption: str) -> str:
    if not inner:
        return ""
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><div class="scroll">{inner}</div>{said}</figure>'


def _replace(path: Path, text: str) -> None:
    """Whole or not at all under its name."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
