"""What templates may not contain, and what the components promise without a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.template import engines
from django.template.loader import render_to_string

from config import styleguide
from static import build

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT / "templates")) for path in paths]


@pytest.mark.parametrize("path", TEMPLATES, ids=names(TEMPLATES))
def test_a_template_keeps_the_policy(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\sstyle\s*=", text), "style= is refused by the browser; use a class"
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", text), "inline handlers are refused by the browser"
    assert "hx-on" not in text
    assert not re.search(r"<script(?![^>]*\ssrc=)", text), "scripts stand in files"
    assert not re.search(r"hx-(vals|headers|vars)=[\"']js:", text)


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    known = set(build.icon_names(ROOT / "static" / "icons.txt"))
    named = {
        name
        for path in TEMPLATES
        for name in re.findall(
            r"components/icon\.html\" with name=(?:\w+\|default:)?\"([a-z0-9-]+)\"", path.read_text()
        )
    }
    assert len(named) > 20
    assert named - known == set()


def test_every_template_says_what_it_needs() -> None:
    silent = [
        path.name
        for path in TEMPLATES
        if path.parent.name == "components" and "{% comment %}" not in path.read_text()[:40]
    ]
    assert silent == []


def render(template: str, **context: Any) -> str:
    return render_to_string(f"components/{template}.html", context)


def test_a_score_says_its_band_in_a_word_a_shape_and_a_colour() -> None:
    shapes = {"excellent": '<circle class="shape"', "good": '<path class="shape"', "review": '<rect class="shape"'}
    words = {"excellent": "excellent", "good": "good", "review": "needs review"}
    for band, shape in shapes.items():
        html = render("score", value=87, band=band)
        assert shape in html
        assert words[band] in html
        assert f'class="score {band}"' in html
        assert 'stroke-dasharray="87 100"' in html


def test_what_cannot_be_measured_is_a_dash_with_its_reason_and_zero_is_a_number() -> None:
    html = render("score", value=None, reason="profile view")
    assert "–" in html
    assert "profile view" in html
    assert "<circle" not in html
    assert 'stroke-dasharray="0 100"' in render("score", value=0, band="review")


def test_a_field_ties_its_help_and_its_errors_to_the_control() -> None:
    form = styleguide.SampleForm({"name": "", "tier": "low", "rights": "own"})
    html = render("field", field=form["name"])
    described = re.search(r'<input[^>]*aria-describedby="([^"]+)"', html)
    assert described
    for identity in described[1].split():
        assert f'id="{identity}"' in html
    assert 'aria-invalid="true"' in html
    assert "This field is required." in html


def test_a_picture_keeps_its_place_and_escapes_its_name() -> None:
    picture = {
        "url": "/files/1",
        "width": 480,
        "height": 600,
        "placeholder": "data:image/webp;base64,AA",
        "alt": '"><script>',
    }
    html = render("picture", picture=picture)
    assert 'width="480" height="600"' in html
    assert 'loading="lazy"' in html
    assert 'src="data:image/webp;base64,AA"' in html
    assert "<script>" not in html
    assert "No picture yet" in render("picture", picture=None)


def test_progress_without_a_value_has_no_value() -> None:
    assert " value=" not in render("progress", label="Training")
    assert ' value="0" max="1"' in render("progress", value=0)


def test_the_end_of_a_list_is_a_link_and_loads_itself() -> None:
    html = render("more", next_url="?after=7")
    assert 'hx-get="?after=7"' in html
    assert 'href="?after=7"' in html
    assert render("more", next_url="").strip() == ""


def test_a_checking_row_asks_for_itself_and_a_finished_one_does_not() -> None:
    row = {"id": 1, "name": "a.png", "state": "checking", "refresh_url": "/r/"}
    assert 'data-refresh-url="/r/"' in render("upload_row", row=row)
    assert "data-refresh-url" not in render("upload_row", row=row | {"state": "accepted"})


@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "429", "500"])
def test_error_pages_need_no_context(code: str) -> None:
    html = engines["django"].get_template(f"{code}.html").render()
    assert "data-error-panel" in html
    assert "data-error-title" in html
