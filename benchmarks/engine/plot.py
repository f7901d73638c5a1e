"""Bars of the measured medians, one picture per network and batch."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def plot(report: dict[str, Any], folder: Path) -> None:
    """Write ``NETWORK-bBATCH.png``: median milliseconds of every runtime, one bar per thread
    count.
    """
    results = report["results"]
    for network, batch in sorted({(result["network"], result["batch"]) for result in results}):
        chosen = [r for r in results if (r["network"], r["batch"]) == (network, batch)]
        names = list(chosen[0]["runtimes"])
        figure, axes = pyplot.subplots(figsize=(8, 0.45 * len(names) + 1.5), layout="constrained")
        height = 0.8 / len(chosen)
        for index, result in enumerate(chosen):
            medians = [result["runtimes"][name]["median_ms"] for name in names]
            places = [row + index * height for row in range(len(names))]
            bars = axes.barh(places, medians, height, label=f"{result['threads']} threads")
            axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
        axes.set_yticks([row + 0.4 - height / 2 for row in range(len(names))], names)
        axes.invert_yaxis()
        axes.set(
            xlabel="median latency, ms",
            title=f"{network}, batch {batch}: {report['machine']['cpu']}",
        )
        axes.legend()
        figure.savefig(folder / f"{network}-b{batch}.png", dpi=120)
        pyplot.close(figure)
