"""Accuracy after quantisation: sub8's methods at every precision beside NNCF, ONNX Runtime and
rounding to nearest.

    pip install ".[torch]" && pip install -r benchmarks/accuracy/requirements.txt
    python benchmarks/accuracy/bench.py --shared ../shared -o results/

Every point runs in a process of its own and is kept as a line of ``points.jsonl``, so that a killed
run goes on where it was; a point whose settings, model or images have changed is measured again,
and so is one that failed. ``results.md`` and one plot per network are drawn from the file after
every network."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import results
import typer
from points import NETWORKS, Candidate, Network, candidates, question
from report import write_report
from rich.console import Console

import sub8

WORKER = Path(__file__).with_name("worker.py")
console = Console(stderr=True)


def main(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="folder of points.jsonl, results.md and plots")
    ],
    shared: Annotated[Path, typer.Option(help="folder of models/ and data/")] = Path("../shared"),
    network: Annotated[str, typer.Option(help="comma-separated; all by default")] = "",
    only: Annotated[str, typer.Option(help="comma-separated parts of candidates' labels")] = "",
    threads: Annotated[int, typer.Option(min=1, help="of every point")] = 1,
    timeout: Annotated[float, typer.Option(help="minutes that a point may take")] = 60.0,
) -> None:
    """Measure every point that is not there yet, then write the table and the plots."""
    output.mkdir(parents=True, exist_ok=True)
    points = output / "points.jsonl"
    parts = only.split(",")
    answers: list[results.Row] = []
    for net in NETWORKS:
        if network and net.name not in network.split(","):
            continue
        for candidate in candidates():
            if any(part in candidate.label for part in parts):
                answers.append(answer(points, net, candidate, shared, threads, timeout))
        write_report(answers, output)


def answer(
    points: Path, network: Network, candidate: Candidate, shared: Path, threads: int, timeout: float
) -> results.Row:
    """The point as it is on file, else measured now and put there."""
    asked = question(network, candidate, shared, sub8.__version__)
    kept = results.find(results.load(points), asked)
    if kept is not None and "error" not in kept:
        return kept
    found = measure(network, candidate, shared, threads, timeout)
    row = {"question": asked, "label": candidate.label, **found}
    results.append(points, row)
    shown = found["error"] if "error" in found else f"{found['top1']:.2f} %"
    console.print(network.name, candidate.label, shown)
    return row


def measure(
    network: Network, candidate: Candidate, shared: Path, threads: int, timeout: float
) -> dict[str, Any]:
    """Figures of one point, or ``{"error": the last line that its process wrote}``."""
    task = {
        "method": candidate.method,
        "weights": candidate.weights,
        "cluster": candidate.cluster,
        "model": str((shared / network.model).resolve()),
        "data": str((shared / network.test).resolve()),
        "images": network.test_images,
        "calibration": str((shared / network.calibration).resolve()),
        "calibration_images": network.calibration_images,
        "threads": threads,
    }
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run(
            [sys.executable, str(WORKER), json.dumps(task)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60 * timeout,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not finished after {timeout:g} minutes"}
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {"error": lines[-1] if lines else f"ended with code {done.returncode}"}
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    typer.run(main)
