"""The verb ``report``: a study as one self-contained HTML page, and its charts as PNG and SVG."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sub8.errors import InputError
from sub8.extras import missing_extra
from sub8.files import write_file
from sub8.study.front import choose
from sub8.study.point import Point
from sub8.study.sweep import PEER_FLOAT, PEER_INT8, Study


@dataclass(frozen=True)
class Report:
    """The files written, and the setting the report recommends."""

    page: str
    pictures: tuple[str, ...]
    chosen: str


def report(folder: str | Path, *, max_drop: float = 1.0) -> Report:
    """Write ``report.html`` and ``charts/`` into a study's folder.

    max_drop: points of top-1 the recommended setting may lose against fp32.
    Raises InputError where the study is missing, empty or damaged, or the extra ``study`` is not
    installed."""
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
    drawn = {name: chart.to_dict() for name, chart in charts(study).items()}
    pictures = []
    (target / "charts").mkdir(exist_ok=True)
    for name, specification in drawn.items():
        fixed = {**specification, "width": 640, "background": "white"}
        for suffix, content in (
            ("svg", vl_convert.vegalite_to_svg(fixed).encode()),
            ("png", vl_convert.vegalite_to_png(fixed, scale=2)),
        ):
            path = target / "charts" / f"{name}.{suffix}"
            write_file(path, content)
            pictures.append(str(path))
    chosen = choose(study.points, study.baselines[0].top1, max_drop)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sub8.study"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        study=study,
        rows=[_row(study, point) for point in study.points],
        chosen=chosen,
        max_drop=max_drop,
        charts=drawn,
        # "</" would end the script element; JSON allows the escaped form.
        specifications=json.dumps(drawn).replace("</", "<\\/"),
        # The stub lacks the argument's default.
        script=vl_convert.javascript_bundle().replace("</script", "<\\/script"),  # type: ignore[call-arg]
        peer_float=PEER_FLOAT,
        peer_int8=PEER_INT8,
    )
    write_file(target / "report.html", page.encode())
    return Report(str(target / "report.html"), tuple(pictures), chosen.setting.label)


def _row(study: Study, point: Point) -> dict[str, Any]:
    question = study.question
    latency = point.latency or {}
    ours = latency.get("sub8")
    command = (
        f"sub8 quantize {question['model']} --calibration {question['calibration']} --images "
        f"{question['calibration_images']} --weights {point.setting.weights} --cluster "
        f"{point.setting.cluster} --method {point.setting.method} -o {point.setting.name}.onnx"
    )
    if question["preprocess"] is not None:
        command += " --preprocess preprocess.json"
    return {
        "point": point,
        "drop": study.baselines[0].top1 - point.top1,
        "milliseconds": ours,
        "against_float": latency[PEER_FLOAT] / ours if ours else None,
        "against_int8": latency[PEER_INT8] / ours if ours else None,
        "command": command,
    }
