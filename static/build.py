"""Copy fonts and script modules and build the icon sprite that the pages use, from an npm folder into static/vendor.

    python static/build.py [--node-modules node_modules] [--out static/vendor]

Plain standard library, so that it runs wherever the packages of package.json were unpacked, by whichever npm.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
SVG = "http://www.w3.org/2000/svg"
FONTS = {
    "inter-latin.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
    "inter-latin-ext.woff2": "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2",
}
LICENCES = {
    "inter-LICENSE.txt": "@fontsource-variable/inter/LICENSE",
    "lucide-LICENSE.txt": "lucide-static/LICENSE",
    "yjs/yjs-LICENSE.txt": "yjs/LICENSE",
    "yjs/lib0-LICENSE.txt": "lib0/LICENSE",
}
MODULES = {"yjs/yjs.js": "yjs/dist/yjs.mjs"}
"""Script modules, taken with all they import: `lib0/map` becomes `lib0/map.js` beside them. A page under our content
security policy has no import map, so every name in them is made an address."""
_IMPORT = re.compile(
    r"""^(?P<before>import\s*|(?:import|export)\b[^'"\n]*\bfrom\s*)(?P<quote>['"])(?P<name>[^'"\n]+)(?P=quote)""", re.M
)


class MissingPart(Exception):
    """Something the pages need is not in the npm folder."""


def icon_names(listing: Path) -> list[str]:
    """Return the names in `listing`: one per line, `#` starts a comment."""
    lines = (line.partition("#")[0].strip() for line in listing.read_text(encoding="utf-8").splitlines())
    return sorted({line for line in lines if line})


def sprite(names: list[str], icons: Path) -> str:
    """Return one SVG document with a `<symbol>` per icon.

    Stroke and fill are left to the page (`.icon` in the style sheet), so that one icon serves every size and colour.
    """
    ElementTree.register_namespace("", SVG)
    root = ElementTree.Element(f"{{{SVG}}}svg")
    for name in names:
        source = icons / f"{name}.svg"
        if not source.is_file():
            raise MissingPart(f"There is no icon called {name!r} in {icons}. Check static/icons.txt.")
        text = re.sub(r"<!--.*?-->", "", source.read_text(encoding="utf-8"), flags=re.S)
        drawing = ElementTree.fromstring(text)  # noqa: S314 - a file of a package whose version and hash are pinned
        symbol = ElementTree.SubElement(root, f"{{{SVG}}}symbol", {"id": name, "viewBox": drawing.attrib["viewBox"]})
        for part in drawing:
            part.tail = None
            symbol.append(part)
        symbol.tail = "\n"
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def modules(target: Path, source: str, node_modules: Path) -> list[Path]:
    """Write a module and all it imports below the folder of `target` and return the files written."""
    folder, written = target.parent, []
    todo = [(target, node_modules / source)]
    while todo:
        path, origin = todo.pop()
        if path in written:
            continue
        if not origin.is_file():
            raise MissingPart(f"{origin} is missing. Run `npm ci` again.")

        def address(found: re.Match[str], path: Path = path, origin: Path = origin) -> str:
            name = found["name"]
            if name.startswith("."):
                wanted, place = origin.parent / name, path.parent / name
            else:
                wanted, place = node_modules / f"{name}.js", folder / f"{name}.js"
            todo.append((Path(os.path.normpath(place)), wanted))
            relative = os.path.relpath(place, path.parent)
            quote = found["quote"]
            return f"{found['before']}{quote}{relative if relative.startswith('.') else f'./{relative}'}{quote}"

        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_IMPORT.sub(address, origin.read_text(encoding="utf-8")), encoding="utf-8")
        written.append(path)
    return written


def build(node_modules: Path, out: Path, listing: Path) -> list[Path]:
    """Write fonts, script modules, licences and `icons.svg` into `out` and return the files written.

    Raises MissingPart, with what to do, when a package or an icon is not there.
    """
    if not node_modules.is_dir():
        raise MissingPart(f"{node_modules} does not exist. Run `npm ci` first.")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, path in {**FONTS, **LICENCES}.items():
        source = node_modules / path
        if not source.is_file():
            raise MissingPart(f"{source} is missing. Run `npm ci` again.")
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, out / name)
        written.append(out / name)
    for name, path in MODULES.items():
        written += modules(out / name, path, node_modules)
    target = out / "icons.svg"
    target.write_text(sprite(icon_names(listing), node_modules / "lucide-static" / "icons"), encoding="utf-8")
    return [*written, target]


def main() -> int:
    parser = argparse.ArgumentParser(description="Copy fonts and build the icon sprite into static/vendor.")
    parser.add_argument("--node-modules", type=Path, default=HERE.parent / "node_modules")
    parser.add_argument("--out", type=Path, default=HERE / "vendor")
    options = parser.parse_args()
    try:
        written = build(options.node_modules, options.out, HERE / "icons.txt")
    except MissingPart as problem:
        print(problem, file=sys.stderr)  # noqa: T201
        return 1
    print(f"{len(written)} files in {options.out}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
