"""Reports of evaluated packs as files: where they lie, and what their pages may do.

`<root>/<pack>-<version>/report.html` and `report.json`; the latest evaluation of a version takes the place of the one
before. This module imports nothing but the standard library: the engine that writes reports and the web hosts that
serve them both use it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Final

from gpu_worker.packs import Pack

PAGE: Final = "report.html"
DATA: Final = "report.json"


def folder_for(pack: Pack, root: Path) -> Path:
    """Where the report of this version of the pack lies below the folder of all reports."""
    return root / re.sub(r"[^A-Za-z0-9._-]+", "-", f"{pack.name}-{pack.version}")


def content_security_policy(html: str) -> str:
    """A policy under which the page shows its own stylesheets (by their hashes) and its embedded pictures, and nothing
    else: no script, no request, no form."""
    sheets = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode() for sheet in sheets]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return f"default-src 'none'; img-src data:; style-src {allowed}; base-uri 'none'; form-action 'none'"
