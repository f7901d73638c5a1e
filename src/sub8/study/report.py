"""The verb ``report``: a study as one self-contained HTML page, and its charts as PNG and SVG."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sub8.errors import InputError, Sub8Error
from sub8.extras import missing_extra
from sub8.files import check_writable, write_file
from sub8.study.examples import errors_of
from sub8.study.point import Point
from sub8.study.recommend import Recommendation, drop_of, recommend, significance
from sub8.study.sweep import PEER_FLOAT, PEER_INT8, Study, shown
from sub8.uncertainty import FEW_IMAGES, margin
from sub8.verbs.error_budget import ErrorBudget, error_budget

MARK = b'<meta name="generator" content="sub8">'
_HEAD = 4096  # bytes within which the mark stands
_SOURCES = ("model", "data", "calibration")
# Of the charts, on the page (where the template adds the colours of light and dark) and as files.
_LETTERS = {
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titlePadding": 8, "labelOverlap": True},
    "legend": {"labelFontSize": 12, "symbolSize": 90},
}


@dataclass(frozen=True)
class Report:
    """The files written, and the setting the report recommends."""

    page: str
    pictures: tuple[str, ...]
    chosen: str


def report(folder: str | Path, *, max_drop: float = 1.0, overwrite: bool = True) -> Report:
    """Write ``report.html`` and ``charts/`` into a study's folder.

    max_drop: points of top-1 the recommended setting may lose against float32. Images that it alone
    gets wrong, and what every layer adds to its error, are shown where data and model still lie
    where the sweep found them.
    A report that sub8 wrote before is replaced. Raises InputError where the study is missing, empty
    or damaged, the extra ``study`` is not installed, or ``overwrite`` is False and report.html is
    by someone else."""
    target = Path(folder)
    study = Study.load(target)
    if not study.points:
        raise InputError(f"{target}: the study holds no finished point")
    try:
        import jinja2
        import vl_convert

        from sub8.study.charts import charts
    except ImportError as error:
        raise missing_extra("study", error.name, "the report") from error
    page_path = target / "report.html"
    advice = recommend(study, max_drop)
    drawn = {name: chart.to_dict() for name, chart in charts(study, advice.point).items()}
    if not overwrite:
        _check_own(page_path, [*drawn])
    budget, no_budget = _budget(study, target, advice.point)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sub8.study"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        study=study,
        rows=[_row(study, target, point) for point in study.points],
        advice=advice,
        chosen=advice.point,
        choice=_choice_rows(study, advice),
        beside=_beside(study, advice.point),
        layers=_layer_rows(advice.point, budget),
        budget=budget,
        no_budget=no_budget,
        errors=errors_of(study, target, advice.point),
        shown=shown,
        significance=significance(advice.drop),
        few=FEW_IMAGES,
        max_drop=max_drop,
        charts=drawn,
        # "</" would end the script element; JSON allows the escaped form.
        specifications=json.dumps(drawn).replace("</", "<\\/"),
        # The stub lacks the argument's default.
        letters=json.dumps(_LETTERS),
        script=vl_convert.javascript_bundle().replace("</script", "<\\/script"),  # type: ignore[call-arg]
        peer_float=shown(PEER_FLOAT),
        peer_int8=PEER_INT8,
    )
    # First the page: by its mark the next report knows that the charts are sub8's, too.
    write_file(page_path, page.encode())
    pictures = []
    (target / "charts").mkdir(exist_ok=True)
    for name, specification in drawn.items():
        fixed = {**specification, "width": 640, "background": "white", "config": _LETTERS}
        contents = (
            vl_convert.vegalite_to_svg(fixed).encode(),
            vl_convert.vegalite_to_png(fixed, scale=2),
        )
        for path, content in zip(_pictures(target, name), contents, strict=True):
            write_file(path, content)
            pictures.append(str(path))
    return Report(str(page_path), tuple(pictures), advice.point.setting.label)


def _check_own(page: Path, charts: list[str]) -> None:
    """InputError where what a report would replace is not of an earlier one."""
    if page.exists():
        if MARK not in page.read_bytes()[:_HEAD]:
            raise InputError(f"{page}: exists and is no report of sub8; --force replaces it")
        return
    for name in charts:
        for path in _pictures(page.parent, name):
            if path.exists():
                check_writable(path, overwrite=False)


def _pictures(folder: Path, chart: str) -> list[Path]:
    return [folder / "charts" / f"{chart}.{kind}" for kind in ("svg", "png")]


def _choice_rows(study: Study, advice: Recommendation) -> list[dict[str, Any]]:
    """The recommended setting beside the networks that one has without sub8."""
    point = advice.point
    latency = point.latency or {}
    rows: list[dict[str, Any]] = [
        {
            "name": f"sub8 {point.setting.label}",
            "top1": point.top1,
            "margin": point.top1_margin,
            "megabytes": point.bytes / 1e6,
            "milliseconds": latency.get("sub8"),
        }
    ]
    for baseline in study.baselines:
        rows.append(
            {
                "name": shown(baseline.name),
                "top1": baseline.top1,
                "margin": margin(baseline.top1 / 100, point.images),
                "megabytes": baseline.bytes / 1e6,
                "milliseconds": latency.get(baseline.name),
            }
        )
    return rows


def _beside(study: Study, point: Point) -> str:
    """The recommended file and its time beside the networks that one has without sub8, as text."""
    files = [
        f"{_times(baseline.bytes / point.bytes, 'smaller', 'larger')} than {shown(baseline.name)}"
        for baseline in study.baselines
    ]
    told = f"Its file is {' and '.join(files)}."
    if point.latency is not None:
        ours = point.latency["sub8"]
        times = [
            f"{_times(point.latency[peer] / ours, 'faster', 'slower')} than {shown(peer)}"
            for peer in (PEER_FLOAT, PEER_INT8)
        ]
        told += f" One image takes {ours:.2f} ms: {' and '.join(times)}."
    return told


def _times(ratio: float, more: str, less: str) -> str:
    return f"{ratio:.1f} × {more}" if ratio >= 1 else f"{1 / ratio:.1f} × {less}"


def _budget(study: Study, folder: Path, point: Point) -> tuple[ErrorBudget | None, str]:
    """What every layer of a point adds to its error, on calibration data; or why that is not
    known.
    """
    quantised = folder / "models" / f"{point.setting.name}.onnx"
    try:
        return error_budget(quantised, study.source("model"), study.source("calibration")), ""
    except Sub8Error as error:
        return None, str(error)


def _layer_rows(point: Point, budget: ErrorBudget | None) -> list[dict[str, Any]]:
    """Every layer with its parts of the file's weights, of the multiplications and, where that is
    known, of the error, 0..1, and the same of the largest layer's.
    """
    amounts: dict[str, list[float]] = {
        name: [getattr(layer, name) for layer in point.layers] for name in ("bytes", "macs")
    }
    if budget is not None:
        errors = {share.name: share.error for share in budget.shares}
        amounts["error"] = [errors.get(layer.name, 0.0) for layer in point.layers]
    columns: dict[str, list[float]] = {}
    for name, mine in amounts.items():
        whole = budget.sum if budget is not None and name == "error" else sum(mine)
        columns[f"of_{name}"] = [amount / (whole or 1) for amount in mine]
        columns[f"of_most_{name}"] = [amount / (max(mine) or 1) for amount in mine]
    return [
        {"layer": layer} | {name: parts[place] for name, parts in columns.items()}
        for place, layer in enumerate(point.layers)
    ]


def _row(study: Study, folder: Path, point: Point) -> dict[str, Any]:
    latency = point.latency or {}
    ours = latency.get("sub8")
    drop = drop_of(study, point)
    return {
        "point": point,
        "drop": drop.points,
        "drop_margin": drop.margin,
        "milliseconds": ours,
        "against_float": latency[PEER_FLOAT] / ours if ours else None,
        "against_int8": latency[PEER_INT8] / ours if ours else None,
        "commands": _commands(study, folder, point),
    }


def _commands(study: Study, folder: Path, point: Point) -> list[str]:
    """What makes a row again, from the folder in which the sweep was run."""
    question, name = study.question, f"{point.setting.name}.onnx"
    found = {key: shlex.quote(study.sources.get(key) or str(question[key])) for key in _SOURCES}
    quantize = (
        f"sub8 quantize {found['model']} --calibration {found['calibration']}"
        f"{_only(question['calibration_images'])} --weights {point.setting.weights}"
        f" --cluster {point.setting.cluster} --method {point.setting.method} -o {name}"
    )
    if question["preprocess"] is not None:
        quantize += f" --preprocess {shlex.quote(str(folder / 'preprocess.json'))}"
    evaluate = f"sub8 evaluate {name} {found['data']}{_only(question['images'])}"
    return [quantize, evaluate]


def _only(images: str | int | None) -> str:
    return "" if images is None else f" --images {images}"
