"""The pictures of a report in the documents: the first screen at 400, 800 and 1600 px, light and
dark.

    python tools/report_pictures.py STUDY -o docs/images

STUDY: a folder of ``sub8 sweep`` in which ``sub8 report`` has run. Needs the extra dev and the
system package chromium.
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

SIZES = {400: 1100, 800: 1100, 1600: 1300}  # width -> height of a screen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    page_file = given.study / "report.html"
    if chromium is None or not page_file.is_file():
        parser.error(f"needs chromium, and {page_file}, which sub8 report writes")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width, height in SIZES.items():
            for scheme in ("light", "dark"):
                view = {"width": width, "height": height}
                page = browser.new_page(viewport=view, color_scheme=scheme)  # type: ignore[arg-type]
                page.goto(page_file.resolve().as_uri())
                page.wait_for_selector(".chart svg")
                suffix = "" if scheme == "light" else "-dark"
                target = given.output / f"report-{width}{suffix}.png"
                page.screenshot(path=target)
                page.close()
                Image.open(target).convert("RGB").save(target, optimize=True)  # a third smaller
        browser.close()


if __name__ == "__main__":
    main()
