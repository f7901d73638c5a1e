"""The report in a real browser: no error, no request, it sorts, shows tooltips, fits and prints."""

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from made_up_studies import made_up_study
from PIL import Image
from tests.conftest import CLASSES, SIZE, small_network

import sub8
from sub8.errors import InputError
from sub8.files import path_sha256
from sub8.study.examples import MOST, errors_of
from sub8.study.point import pack_bits
from sub8.study.recommend import recommend
from sub8.study.report import report
from sub8.study.sweep import Study

pytest.importorskip("altair", reason="needs the extra study")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("study")
    (target / "study.json").write_text(json.dumps(study_with_answers(target).to_dict()))
    report(target)
    return target


def study_with_answers(folder):
    """Made up, but for what the recommended point answers on the data, which lie in the folder."""
    study = made_up_study()
    point = recommend(study, 1.0).point
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (point.images, SIZE, SIZE, 3), dtype=np.uint8)
    labels = random.integers(0, CLASSES, point.images)
    np.savez(folder / "data.npz", images=images, labels=labels)
    (folder / "models").mkdir()
    model = folder / "models" / f"{point.setting.name}.onnx"
    sub8.quantize(small_network(), images, hold_out=0).save(model)
    right = sub8.evaluate(model, folder / "data.npz").right
    data = {"data": str(folder / "data.npz")}
    answered = replace(point, right=pack_bits(right))
    return replace(
        study,
        question=study.question | {"data_sha256": path_sha256(folder / "data.npz")},
        sources=data,
        baselines=(
            replace(study.baselines[0], right=pack_bits(np.ones(point.images, bool))),
            study.baselines[1],
        ),
        points=tuple(answered if one is point else one for one in study.points),
    )


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


def test_the_study_survives_its_file(tmp_path):
    study = made_up_study()
    (tmp_path / "study.json").write_text(json.dumps(study.to_dict()))
    assert Study.load(tmp_path) == study


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
    assert first[0].startswith("sub8 ") and first[1].startswith("ONNX Runtime float32")
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


def test_the_charts_mark_the_recommended_setting(page):
    """In each that has a Pareto front: a ring, and the setting's name."""
    (label,) = page.locator("#chosen .pick").all_inner_texts()
    for name in ("size", "latency", "replaced"):
        names = page.locator(f"#chart-accuracy-{name} svg text").all_text_contents()
        assert label in names, name
    assert page.locator("table.choice").evaluate(
        "table => table.scrollWidth <= table.parentElement.clientWidth"
    )


def test_what_the_recommended_setting_gets_wrong_is_shown(page, folder):
    study = Study.load(folder)
    errors = errors_of(study, folder, recommend(study, 1.0).point)
    assert (errors.missing, errors.won, len(errors.examples)) == ("", 0, MOST)
    assert errors.lost > MOST
    pictures = Image.open(io.BytesIO(base64.b64decode(errors.examples[0].picture.split(",")[1])))
    assert pictures.size == (SIZE, SIZE)
    assert all(example.truth != example.answer for example in errors.examples)
    shown = page.locator(".pictures li").all_inner_texts()
    assert shown[0].startswith(f"{errors.examples[0].truth}, taken for {errors.examples[0].answer}")
    assert len(shown) == MOST


def test_other_data_than_those_of_the_study_are_not_shown(folder, tmp_path):
    study = Study.load(folder)
    point = recommend(study, 1.0).point
    (tmp_path / "data.npz").write_bytes(b"")
    for name, said in (("data.npz", "is not what was measured"), ("none.npz", "No such file")):
        moved = replace(study, sources={"data": str(tmp_path / name)})
        errors = errors_of(moved, folder, point)
        assert errors.examples == () and said in errors.missing
    assert errors_of(made_up_study(), folder, made_up_study().points[0]).lost is None


def test_every_layer_has_its_costs(page):
    rows = page.locator("section[aria-labelledby=layers] tbody tr").all_inner_texts()
    assert len(rows) == 5
    assert all("20.0 %" in row for row in rows)  # five equal layers
