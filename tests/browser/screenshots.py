"""The main pages as pictures, on real rows: `make screenshots` writes build/screenshots/NAME-WIDTH.png.

Starts an installation of its own with the sample project, goes through the main job in a browser, and takes each page
at 1440 and at 390 pixels.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from gpu_worker.minipack import people
from gpu_worker.minipack.renderer import Placed, nuisance, render_group
from library.sign_ins import PASSWORD
from tests.run import find
from tests.system.studio import ROOT, Studio

WIDTHS = {1440: 900, 390: 844}
SOMEBODY_NEW = 4711


def mixed_files(folder: Path) -> list[Path]:
    """Good references of somebody new, and what people upload by mistake."""
    good = people.write_references(folder, seed=SOMEBODY_NEW, count=10)
    rng = np.random.default_rng(3)
    group = folder / "at the party.png"
    trio = [
        Placed(person=people.sample_person(k), scene=nuisance(rng), x=52.0 + 76 * k, y=120, scale=0.42)
        for k in range(3)
    ]
    picture, _ = render_group(trio, nuisance(rng), 512)
    Image.fromarray(picture).save(group)
    landscape = folder / "only the beach.png"
    picture, _ = render_group([], nuisance(rng), 512)
    Image.fromarray(picture).save(landscape)
    again = folder / "the same again.png"
    shutil.copy(good[0], again)
    broken = folder / "notes.png"
    broken.write_text("These are notes, not a picture.")
    return [*good, group, landscape, again, broken]


class Camera:
    def __init__(self, page: Page, folder: Path) -> None:
        self.page, self.folder = page, folder

    def shoot(self, name: str) -> None:
        for width, height in WIDTHS.items():
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.wait_for_timeout(350)
            self.page.screenshot(path=self.folder / f"{name}-{width}.png")
        self.page.set_viewport_size({"width": 1440, "height": 900})


def wait(true: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("The studio took too long.")
        time.sleep(0.5)


def go_through(studio: Studio, page: Page, camera: Camera, files: list[Path]) -> None:
    home = f"http://127.0.0.1:{studio.port}"
    page.goto(f"{home}/accounts/login/")
    camera.shoot("sign-in")
    page.fill("input[name=login]", "alice@studio.example")
    page.fill("input[name=password]", PASSWORD)
    page.click("main button[type=submit]")
    page.wait_for_load_state()
    gallery = page.url
    camera.shoot("gallery")

    page.goto(f"{gallery}new/")
    camera.shoot("new-character")
    page.fill("input[name=name]", "Ruben Brandt")
    page.fill("textarea[name=description]", "The lighthouse keeper's nephew, who comes for the summer and stays.")
    noun, traits = people.describe(people.sample_person(SOMEBODY_NEW))["noun"], "freckles"
    page.fill("input[name=noun]", str(noun))
    page.fill("[name=traits]", traits)
    page.click("main form button[type=submit]")
    page.wait_for_url("**/characters/*-*/references/")
    character = page.url.partition("?")[0].removesuffix("references/")

    page.set_input_files("input[type=file]", [str(f) for f in files])
    page.wait_for_timeout(1500)
    camera.shoot("uploading")
    wait(lambda: page.locator("[data-refresh-url]:not(#queue-pulse)").count() == 0)
    page.goto(f"{character}references/")
    camera.shoot("upload-with-mixed-results")
    page.goto(character)
    camera.shoot("character-before-training")

    page.goto(f"{character}train/")
    camera.shoot("train")
    page.get_by_role("button", name="Train Ruben Brandt").click()
    page.wait_for_url("**/training/*-*/")
    run = page.url
    page.wait_for_timeout(30_000)
    camera.shoot("training")
    page.goto(gallery.replace("/characters/", "/training/"))
    camera.shoot("queue")
    page.goto(run)
    wait(lambda: page.get_by_text("Trained", exact=True).count() > 0, 600)
    camera.shoot("training-done")

    page.goto(f"{character}variations/")
    camera.shoot("order-variations")
    for axis, values in {
        "expression": ("happy", "surprised", "sad"),
        "background": ("beach", "library", "forest"),
    }.items():
        for value in values:
            page.locator(f"input[name={axis}][value='{value}']").check(force=True)
    page.wait_for_timeout(800)
    page.locator("form[data-order] button[type=submit], main form button[type=submit]").last.click()
    page.wait_for_timeout(9_000)
    camera.shoot("variations-coming")
    wait(lambda: page.reload() and page.locator("[data-refresh-url]:not(#queue-pulse)").count() == 0)
    camera.shoot("variations-grid")

    cells = page.locator("[data-item]")
    cells.nth(0).locator("input[type=checkbox]").first.check(force=True)
    cells.nth(1).locator("input[type=checkbox]").first.check(force=True)
    page.get_by_text("Compare", exact=False).last.click()
    page.wait_for_url("**/compare/**")
    camera.shoot("compare")
    page.goto(f"{character}sheets/")
    camera.shoot("order-sheet")
    page.locator("form[data-order] button[type=submit]").last.click()
    page.wait_for_timeout(9_000)
    wait(lambda: page.reload() and page.locator("[data-refresh-url]:not(#queue-pulse)").count() == 0)
    page.get_by_role("button", name="Approve all").click()
    page.wait_for_timeout(2_000)
    camera.shoot("character-sheet")
    page.goto(character)
    camera.shoot("character")
    page.goto(gallery)
    camera.shoot("gallery-after")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "screenshots")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(SAMPLE_SIGN_INS="1", STUDIO_THREADS="2")
    try:
        studio.manage("sample_project")
        studio.start()
        with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            go_through(studio, page, Camera(page, folder), mixed_files(Path(name)))
            browser.close()
    finally:
        studio.stop()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


if __name__ == "__main__":
    main()
