"""The table and the plots of finished points."""

from pathlib import Path
from typing import Any

import matplotlib
from points import FLOAT, NEAREST, NNCF, ONNXRUNTIME

matplotlib.use("Agg")
from matplotlib import pyplot

Row = dict[str, Any]
# Okabe and Ito's palette: distinguishable with any colour vision; the marks repeat the distinction.
COLOURS = ("#999999", "#E69F00", "#56B4E9", "#0072B2", "#D55E00", "#CC79A7", "#009E73")
MARKS = "xsv^oDP"
PEERS = {FLOAT: "--", ONNXRUNTIME: ":", NNCF: "-."}


def write_report(rows: list[Row], folder: Path) -> None:
    """Write ``results.md`` and one ``NETWORK.png`` for every network among the rows."""
    networks = list(dict.fromkeys(row["question"]["name"] for row in rows))
    sections = []
    for network in networks:
        chosen = [row for row in rows if row["question"]["name"] == network]
        sections.append(f"## {network}\n\n{tables(chosen)}\n")
        plot(chosen, network, folder / f"{network}.png")
    (folder / "results.md").write_text("\n".join(sections), "utf-8")


def tables(rows: list[Row]) -> str:
    """Markdown: the peers, top-1 by method and precision (the best low-bit figures bold), cost, and
    failures.
    """
    asked = question_of(rows)
    peers = [row for row in rows if row["question"]["cluster"] is None]
    own = [row for row in rows if row["question"]["cluster"] is not None]
    pieces = [
        f"Calibrated on images {asked['calibration_images']} of `{asked['calibration']}`, tested on"
        f" {asked['test_images'] or 'all images'} of `{asked['test']}`.",
        _table(["peer", "top-1, %", "top-5, %", "MB"], [_peer(row) for row in peers]),
        _table(*_matrix(own, _top1, bold=max)),
        "Processor seconds and peak memory (MiB) of quantising:",
        _table(*_matrix(own, _cost)),
    ]
    failures = [f"- {row['label']}: {row['error']}" for row in rows if "error" in row]
    wrong = [
        f"- {row['label']}: {row['mismatches']} elements differ from ONNX Runtime"
        for row in rows
        if row.get("mismatches")
    ]
    if failures or wrong:
        pieces.append("Failures:\n\n" + "\n".join(failures + wrong))
    return "\n\n".join(pieces)


def question_of(rows: list[Row]) -> dict[str, Any]:
    found: dict[str, Any] = rows[0]["question"]
    return found


def _peer(row: Row) -> list[str]:
    if "error" in row:
        return [row["label"], "failed", "failed", ""]
    return [
        row["label"],
        f"{row['top1']:.2f}",
        f"{row['top5']:.2f}",
        f"{row['bytes'] / 1e6:.2f}",
    ]


def _top1(row: Row) -> str:
    return f"{row['top1']:.2f}"


def _cost(row: Row) -> str:
    return f"{row['processor_seconds']:.0f} s, {row['peak_mib']:.0f}"


def _matrix(rows: list[Row], show: Any, bold: Any = None) -> tuple[list[str], list[list[str]]]:
    """Precisions down, methods across."""
    methods = methods_of(rows)
    lines = []
    for precision in precisions_of(rows):
        here = {row["question"]["method"]: row for row in rows if precision_of(row) == precision}
        whole = [row["top1"] for row in here.values() if "error" not in row]
        line = [precision]
        for method in methods:
            row = here.get(method)
            text = "" if row is None else "failed" if "error" in row else show(row)
            best = bold and row is not None and whole and row.get("top1") == bold(whole)
            line.append(f"**{text}**" if best else text)
        lines.append(line)
    return ["weights", *methods], lines


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def precision_of(row: Row) -> str:
    asked = row["question"]
    return (
        asked["weights"]
        if asked["cluster"] == "all"
        else f"{asked['weights']} N={asked['cluster']}"
    )


def methods_of(rows: list[Row]) -> list[str]:
    found = dict.fromkeys(row["question"]["method"] for row in rows)
    return sorted(found, key=lambda method: method != NEAREST)


def precisions_of(rows: list[Row]) -> list[str]:
    """From the coarsest to the finest."""
    kinds = ("ternary", "int4", "int8")

    def fineness(row: Row) -> tuple[int, float]:
        asked = row["question"]
        return kinds.index(asked["weights"]), 0 if asked["cluster"] == "all" else -asked["cluster"]

    return list(dict.fromkeys(precision_of(row) for row in sorted(rows, key=fineness)))


def plot(rows: list[Row], network: str, path: Path) -> None:
    """Top-1 of every method over the precisions; the peers as horizontal lines."""
    own = [r for r in rows if r["question"]["cluster"] is not None and "error" not in r]
    precisions = precisions_of(own)
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for row in rows:
        if row["question"]["cluster"] is None and "error" not in row:
            style = PEERS[row["label"]]
            axes.axhline(row["top1"], color="black", lw=1, ls=style, label=row["label"])
    for index, method in enumerate(methods_of(own)):
        here = {precision_of(r): r["top1"] for r in own if r["question"]["method"] == method}
        places = [place for place, name in enumerate(precisions) if name in here]
        axes.plot(
            places,
            [here[precisions[place]] for place in places],
            color=COLOURS[index % len(COLOURS)],
            marker=MARKS[index % len(MARKS)],
            label="round to nearest" if method == NEAREST else method,
        )
    axes.set_xticks(range(len(precisions)), [name.replace(" ", "\n") for name in precisions])
    axes.set(ylabel="top-1, %", title=network)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
