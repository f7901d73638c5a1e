"""The report in a real browser: no error, no request, it sorts, shows tooltips, fits and prints."""

import json
import re
from dataclasses import replace

import pytest
from made_up_studies import made_up_study

from sub8.errors import InputError
from sub8.study.report import report
from sub8.study.sweep import Study

pytest.importorskip("altair", reason="needs the extra study")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("study")
    (target / "study.json").write_text(json.dumps(made_up_study().to_dict()))
    report(target)
    return target


@pytest.fixture(params=[400, 1600])
def page(request, browser, folder):
    """The report opened at a width; on leaving, nothing may have gone wrong or been fetched."""
    troubles, requests = [], []
    opened = browser.new_page(viewport={"width": request.param, "height": 900})
    opened.on(
        "console",
        lambda message: (
            troubles.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("request", lambda sent: requests.append(sent.url))
    opened.goto((folder / "report.html").as_uri())
    opened.wait_for_selector(".chart svg")
    yield opened
    opened.close()
    assert troubles == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def column(page, index):
    return page.locator(f"#all tbody tr td:nth-child({index})").all_inner_texts()


def test_the_study_survives_its_file(folder):
    assert Study.load(folder).to_dict() == made_up_study().to_dict()


def test_every_chart_is_also_a_picture(folder):
    names = {path.name for path in (folder / "charts").iterdir()}
    for name in (
        "accuracy-replaced",
        "accuracy-size",
        "accuracy-latency",
        "accuracy-cluster",
        "sensitivity",
    ):
        assert {f"{name}.png", f"{name}.svg"} <= names
    assert (folder / "charts" / "accuracy-size.png").read_bytes().startswith(b"\x89PNG")


def test_names_from_the_study_cannot_become_markup(folder):
    text = (folder / "report.html").read_text()
    assert "</script><b>" not in text


def test_nothing_is_loaded_from_elsewhere(folder):
    markup = re.sub(r"<script.*?</script>", "", (folder / "report.html").read_text(), flags=re.S)
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", markup)


def test_the_table_sorts_by_mouse_and_by_keyboard(page):
    top1 = page.get_by_role("button", name="top-1 %")
    top1.click()
    values = [float(text) for text in column(page, 2)]
    assert values == sorted(values)
    top1.press("Enter")
    values = [float(text) for text in column(page, 2)]
    assert values == sorted(values, reverse=True)
    assert page.locator("th[aria-sort=descending]").inner_text().strip().startswith("top-1 %")


def test_a_mark_shows_its_figures_on_hover(page):
    page.locator("#chart-accuracy-size .mark-symbol path").first.hover(force=True)
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "top-1 %" in page.locator("#vg-tooltip-element").inner_text()


def test_the_page_fits_the_width_and_prints(page):
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.pdf().startswith(b"%PDF")


def test_dark_colours_follow_the_system(page):
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.wait_for_selector(".chart svg")


def test_a_folder_without_a_study_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"study\.json"):
        report(tmp_path)
    (tmp_path / "study.json").write_text('{"format": 1}')
    with pytest.raises(InputError, match="damaged"):
        report(tmp_path)


@pytest.mark.parametrize("width", [400, 800, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(browser, folder, width, scheme):
    """axe-core finds nothing wrong, and the console is empty."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python (extra dev)"
    )
    said = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: said.append(message.text))
    page.goto((folder / "report.html").as_uri())
    page.wait_for_selector(".chart svg")
    found = axe.Axe().run(page).response["violations"]
    page.close()
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found] == []
    assert said == []


def test_the_question_comes_first(page):
    assert page.locator("h2").first.inner_text().startswith("Which setting should I ship?")
    first = page.locator("table.choice tbody tr").all_inner_texts()
    assert first[0].startswith("sub8 ") and first[1].startswith("ONNX Runtime fp32")
    assert all("±" in row for row in first)


def test_a_study_of_several_methods_keeps_them_apart(tmp_path):
    study = made_up_study()
    other = [replace(p, setting=replace(p.setting, method="hessian")) for p in study.points]
    both = replace(study, points=(*study.points, *other))
    (tmp_path / "study.json").write_text(json.dumps(both.to_dict()))
    written = report(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert text.count("<summary>ternary N=4 optimal") == text.count("<summary>ternary N=4 hessian")
    assert written.chosen.split()[-1] in ("optimal", "hessian")
