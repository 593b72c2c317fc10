"""Script modules from npm, as the pages load them: without an import map, which our content security policy forbids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from static import build

VENDOR = Path(build.__file__).parent / "vendor"


def test_all_that_is_imported_is_an_address_of_a_file_that_is_there() -> None:
    files = list((VENDOR / "yjs").rglob("*.js"))
    assert VENDOR / "yjs" / "yjs.js" in files
    for file in files:
        for name in re.findall(r"^(?:import|export)\b[^'\"\n]*\bfrom\s*['\"]([^'\"]+)['\"]", file.read_text(), re.M):
            assert name.startswith("."), (file, name)
            assert (file.parent / name).is_file(), (file, name)


def test_names_become_addresses_beside_the_module(tmp_path: Path) -> None:
    packages = tmp_path / "node_modules"
    for name, text in {
        "one/dist/one.mjs": "import { a } from 'two/a'\nexport const from = 'two/b'\nexport * from './more.js'\n",
        "one/dist/more.js": "import './last.js'\n",
        "one/dist/last.js": "/** @param {import('never').There} x */\n",
        "two/a.js": "export * from './deep/b.js'\n",
        "two/deep/b.js": "import * as a from '../a.js'\n",
    }.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    written = build.modules(tmp_path / "out" / "one.js", "one/dist/one.mjs", packages)
    text = (tmp_path / "out" / "one.js").read_text()
    assert "from './two/a.js'" in text
    assert "from = 'two/b'" in text
    assert {str(p.relative_to(tmp_path / "out")) for p in written} >= {"one.js", "two/a.js", "two/deep/b.js", "more.js"}


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "one.mjs").write_text("import 'gone/a'\n")
    with pytest.raises(build.MissingPart, match=r"gone/a\.js is missing"):
        build.modules(tmp_path / "out" / "one.js", "one.mjs", tmp_path)
