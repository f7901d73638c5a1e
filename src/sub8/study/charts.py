"""The study's charts, as Altair specifications: the report embeds them, the folder gets PNG and
SVG.
"""

import statistics
from collections.abc import Sequence
from typing import Any

import altair as alt

from sub8.study.front import pareto_front
from sub8.study.palette import CHOSEN, COLOURS, MARKS, NEUTRAL
from sub8.study.point import Point
from sub8.study.sweep import PEER_FLOAT, Study, shown


def charts(study: Study, chosen: Point) -> dict[str, alt.Chart | alt.LayerChart]:
    """Charts by file name, in the order of the report. chosen: the point that is marked in them."""
    found: dict[str, alt.Chart | alt.LayerChart] = {
        "accuracy-size": _against(study, chosen, "megabytes", "file, MB", smaller_is_better=True)
    }
    if any(point.latency for point in study.points):
        found["accuracy-latency"] = _against(
            study, chosen, "milliseconds", "latency of one image, ms", smaller_is_better=True
        )
    if any(point.replaced for point in study.points):
        found["accuracy-replaced"] = _against(
            study, chosen, "replaced", "replaced multiplications, %"
        )
    if len({point.setting.cluster for point in study.points}) > 1:
        found["accuracy-cluster"] = _by_cluster(study)
    if any(layer.signal_to_noise is not None for point in study.points for layer in point.layers):
        found["sensitivity"] = _sensitivity(study.points)
    return found


def figures(point: Point) -> dict[str, Any]:
    """One point's row of data."""
    return {
        "setting": point.setting.label,
        "weights": point.setting.weights,
        "cluster": str(point.setting.cluster),
        "method": point.setting.method,
        "top1": point.top1,
        "replaced": 100 * point.replaced,
        "megabytes": point.bytes / 1e6,
        "milliseconds": point.latency["sub8"] if point.latency else None,
    }


def _peers(study: Study) -> list[dict[str, Any]]:
    """Rows of the baselines but float32, which is a line; their time is the median over the
    points.
    """
    found = []
    for baseline in study.baselines:
        times = [p.latency[baseline.name] for p in study.points if p.latency]
        if baseline.name == PEER_FLOAT:
            continue
        found.append(
            {
                "setting": shown(baseline.name),
                "top1": baseline.top1,
                "replaced": 0.0,
                "megabytes": baseline.bytes / 1e6,
                "milliseconds": statistics.median(times) if times else None,
            }
        )
    return found


_LEGEND = alt.Legend(orient="top", title=None)


def _scale(study: Study, table: dict[str, str]) -> alt.Scale:
    """Of the weights that there are."""
    there = {point.setting.weights for point in study.points}
    found = {kind: value for kind, value in table.items() if kind in there}
    return alt.Scale(domain=list(found), range=list(found.values()))


def _against(
    study: Study, chosen: Point, field: str, title: str, smaller_is_better: bool = False
) -> alt.LayerChart:
    """Top-1 over a figure, the Pareto front as a line, float32 as a dashed rule, the chosen point
    in a ring.
    """
    sign = -1 if smaller_is_better else 1
    points = [point for point in study.points if figures(point)[field] is not None]
    rows = [figures(point) for point in points]
    front = [figures(p) for p in pareto_front(points, lambda p: sign * figures(p)[field])]
    peers = [peer for peer in _peers(study) if peer[field] is not None]
    x = alt.X(f"{field}:Q", title=title, scale=alt.Scale(zero=False))
    y = alt.Y("top1:Q", title="top-1, %", scale=alt.Scale(zero=False))
    line = (
        alt.Chart(alt.Data(values=front)).mark_line(strokeDash=[1, 0], opacity=0.5).encode(x=x, y=y)
    )
    marks = (
        alt.Chart(alt.Data(values=rows))
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color("weights:N", scale=_scale(study, COLOURS), legend=_LEGEND),
            shape=alt.Shape("weights:N", scale=_scale(study, MARKS), legend=_LEGEND),
            tooltip=[
                alt.Tooltip("setting:N"),
                alt.Tooltip("top1:Q", format=".2f", title="top-1 %"),
                alt.Tooltip("replaced:Q", format=".1f", title="replaced %"),
                alt.Tooltip("megabytes:Q", format=".3f", title="MB"),
                alt.Tooltip("milliseconds:Q", format=".2f", title="ms"),
            ],
        )
    )
    others = (
        alt.Chart(alt.Data(values=peers))
        .mark_point(shape="cross", size=90, filled=True, color=NEUTRAL)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("setting:N"),
                alt.Tooltip("top1:Q", format=".2f", title="top-1 %"),
                alt.Tooltip("megabytes:Q", format=".3f", title="MB"),
                alt.Tooltip("milliseconds:Q", format=".2f", title="ms"),
            ],
        )
    )
    all_x = [row[field] for row in [*rows, *peers]]
    middle = (min(all_x) + max(all_x)) / 2
    layers = [line, _float_rule(study), others]
    layers += [_named(peer, x, y, peer[field] > middle, NEUTRAL, 0) for peer in peers]
    marked = [figures(chosen)] if chosen in points else []
    for row in marked:
        ring = alt.Chart(alt.Data(values=[row])).mark_point(
            filled=False, size=320, strokeWidth=2.5, color=CHOSEN, opacity=1
        )
        layers += [ring.encode(x=x, y=y), _named(row, x, y, row[field] > middle, CHOSEN, -16)]
    description = (
        f"Top-1 accuracy against {title}, one mark per setting, a cross for ONNX Runtime's int8;"
        " the line is the Pareto front, the dashed one float32."
    )
    if marked:
        description += f" In the ring: {chosen.setting.label}, the recommended setting."
    return alt.LayerChart(layer=[*layers, marks]).properties(
        width="container", height=300, description=description
    )


def _named(
    row: dict[str, Any], x: alt.X, y: alt.Y, to_the_left: bool, colour: str, down: int
) -> alt.Chart:
    """The name of a mark, beside it, so many pixels below it."""
    text = alt.Chart(alt.Data(values=[row])).mark_text(
        dx=-14 if to_the_left else 14,
        dy=down,
        align="right" if to_the_left else "left",
        color=colour,
        fontSize=12,
    )
    return text.encode(x=x, y=y, text="setting:N")


def _float_rule(study: Study) -> alt.Chart:
    values = [{"top1": study.baselines[0].top1, "name": shown(study.baselines[0].name)}]
    return (
        alt.Chart(alt.Data(values=values))
        .mark_rule(strokeDash=[4, 4], color=NEUTRAL)
        .encode(y="top1:Q", tooltip=["name:N", alt.Tooltip("top1:Q", format=".2f")])
    )


def _by_cluster(study: Study) -> alt.LayerChart:
    order = list(dict.fromkeys(str(point.setting.cluster) for point in study.points))
    lines = (
        alt.Chart(alt.Data(values=[figures(point) for point in study.points]))
        .mark_line(point=True)
        .encode(
            x=alt.X("cluster:N", title="cluster size N", sort=order, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("top1:Q", title="top-1, %", scale=alt.Scale(zero=False)),
            color=alt.Color("weights:N", scale=_scale(study, COLOURS), legend=_LEGEND),
            detail="method:N",
            tooltip=["setting:N", alt.Tooltip("top1:Q", format=".2f")],
        )
    )
    return alt.LayerChart(layer=[_float_rule(study), lines]).properties(
        width="container",
        height=300,
        description="Top-1 accuracy against the cluster size N. The dashed line is float32.",
    )


def _sensitivity(points: Sequence[Point]) -> alt.Chart:
    layers = [layer.name for layer in points[0].layers]
    rows = [
        {"setting": point.setting.label, "layer": layer.name, "snr": layer.signal_to_noise}
        for point in points
        for layer in point.layers
        if layer.signal_to_noise is not None
    ]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_rect()
        .encode(
            x=alt.X(
                "layer:N",
                sort=layers,
                title="layer, in order",
                axis=alt.Axis(labels=len(layers) < 40),
            ),
            y=alt.Y("setting:N", sort=[point.setting.label for point in points], title=None),
            color=alt.Color("snr:Q", title="SNR, dB", scale=alt.Scale(scheme="viridis")),
            tooltip=["setting:N", "layer:N", alt.Tooltip("snr:Q", format=".1f", title="SNR dB")],
        )
        .properties(
            width="container",
            height=16 * len(points),
            description="Signal-to-noise ratio of every layer's output (dark: noisy) for every"
            " setting.",
        )
    )
