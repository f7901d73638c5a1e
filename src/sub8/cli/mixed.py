"""What a file's metadata ``sub8.choice`` says, as rows of tables and as a chart."""

from pathlib import Path
from typing import Any

from sub8.errors import InputError
from sub8.extras import missing_extra
from sub8.files import write_file

LAYER_COLUMNS = ("layer", "chosen", "bits a weight|", "gain|", "error|", "of all error|", "time|")
FRONT_COLUMNS = ("", "bits a weight|", "error|", "time|", "expected drop|", "at most|")
_SUFFIXES = (".svg", ".png", ".html")


def layer_rows(choice: dict[str, Any]) -> list[list[str]]:
    """A row per layer, for ``LAYER_COLUMNS``."""
    total = max(sum(layer["error"] for layer in choice["layers"]), 1e-30)
    return [
        [
            layer["name"],
            layer["weights"],
            f"{layer['bits']:.2f}",
            f"{layer['gain']:.3g}",
            f"{layer['error']:.2g}",
            f"{100 * layer['error'] / total:.1f} %",
            _milliseconds(layer["milliseconds"]),
        ]
        for layer in choice["layers"]
    ]


def front_rows(choice: dict[str, Any]) -> list[list[str]]:
    """A row per point of the front, for ``FRONT_COLUMNS``; the chosen one is marked."""
    drops = {trial["mean_bits"]: trial for trial in choice["trials"]}
    points = {point["mean_bits"]: point for point in [*choice["front"], choice["chosen"]]}
    rows = []
    for bits, point in sorted(points.items()):
        trial = drops.get(bits)
        rows.append(
            [
                "chosen" if point == choice["chosen"] else "",
                f"{bits:.2f}",
                f"{point['error']:.2g}",
                _milliseconds(point.get("milliseconds")),
                "-" if trial is None else f"{trial['mean']:.2f}",
                "-" if trial is None else f"{trial['bound']:.2f}",
            ]
        )
    return rows


def summary(choice: dict[str, Any]) -> str:
    """One line for people: the budget and what it came to."""
    budget = choice["budget"]
    chosen = choice["chosen"]
    text = f"{chosen['mean_bits']:.2f} bits a weight, predicted error {chosen['error']:.2g}"
    if budget["kind"] == "MaxDrop":
        (trial,) = [t for t in choice["trials"] if t["mean_bits"] == chosen["mean_bits"]]
        return (
            f"at most {budget['points']} points of {_metric(budget)}: {text}, expected drop "
            f"{trial['mean']:.2f}"
            f" (at most {trial['bound']:.2f} with 95 % confidence, for images like those of the"
            " calibration; images that the network was trained on make it look too small)"
        )
    if budget["kind"] == "MaxLatencyRatio":
        return (
            f"at most {budget['ratio']} of int8's latency: {choice['latency_ratio']:.2f}"
            f" measured, {text}"
        )
    return f"at most {budget['bits']} bits a weight: {text}"


def _metric(budget: dict[str, Any]) -> str:
    name = str(budget.get("metric", "top1"))
    return "top-1" if name == "top1" else name


def plot(choice: dict[str, Any], path: str | Path, *, overwrite: bool = True) -> None:
    """Draw the front and the layers' bits to an .svg, .png or .html file.

    Raises InputError for other files, and where the extra ``study`` is not installed.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(f"{target}: a plot must be a {', '.join(_SUFFIXES)} file")
    try:
        import vl_convert

        specification = _chart(choice)
    except ImportError as error:
        raise missing_extra("study", error.name, "a plot") from error
    if suffix == ".svg":
        content = vl_convert.vegalite_to_svg(specification).encode()
    elif suffix == ".png":
        content = vl_convert.vegalite_to_png(specification, scale=2)
    else:
        content = vl_convert.vegalite_to_html(specification, bundle=True).encode()
    write_file(target, content, overwrite=overwrite)


def _chart(choice: dict[str, Any]) -> dict[str, Any]:
    """Vega-Lite: error against the cost that was spent, above the bits of every layer."""
    import altair as alt

    from sub8.mixed.options import OPTIONS
    from sub8.study.palette import colour

    timed = choice["budget"]["kind"] == "MaxLatencyRatio"
    field, title = (
        ("milliseconds:Q", "layers, ms") if timed else ("mean_bits:Q", "mean bits a weight")
    )
    x = alt.X(field, title=title, scale=alt.Scale(zero=False))
    y = alt.Y("error:Q", title="predicted relative error", scale=alt.Scale(type="log"))
    line = alt.Chart(alt.Data(values=choice["front"])).mark_line(point=True).encode(x=x, y=y)
    mark = (
        alt.Chart(alt.Data(values=[choice["chosen"]]))
        .mark_point(shape="diamond", size=160, filled=True, color="#CC79A7")
        .encode(x=x, y=y)
    )
    kinds = list(dict.fromkeys(fmt.kinds for fmt in OPTIONS))
    names = [layer["name"] for layer in choice["layers"]]
    layers = [{**layer, "kind": layer["weights"].split()[0]} for layer in choice["layers"]]
    bars = (
        alt.Chart(alt.Data(values=layers))
        .mark_bar()
        .encode(
            x=alt.X("name:N", sort=names, title="layer, in order"),
            y=alt.Y("bits:Q", title="bits a weight"),
            color=alt.Color(
                "kind:N",
                title="weights",
                scale=alt.Scale(domain=kinds, range=[colour(kind) for kind in kinds]),
            ),
        )
        .properties(width=640, height=160)
    )
    front = alt.layer(line, mark).properties(
        width=640, height=260, title="Front of cost and error; the diamond is what was chosen"
    )
    return alt.vconcat(front, bars, background="white").to_dict()


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} ms"
