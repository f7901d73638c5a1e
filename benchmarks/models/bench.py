"""Models that people deploy, quantised by sub8 and by its peers in one run.

    pip install . && pip install -r benchmarks/models/requirements.txt
    python benchmarks/models/bench.py -o results/

For each model: the float islands, the multiplications in integers, the signal-to-noise ratio of
every output and the task's agreement with float32 on inputs that calibration did not see, what
``verify`` counts, seconds and peak memory of quantising; with ``--latency``, sub8's time beside the
faster peer's, in turns. Every answer is kept as a file, so that a run goes on where it was;
``--again`` measures anew. ``models.md`` is the table."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from measure import LIMIT_CPU_S, QUANTISERS, WEIGHTS, quantised
from rich.console import Console
from sources import SOURCES, Source

from sub8.latency import PAUSE_SECONDS

HERE = Path(__file__).parent
PEERS = [name for name in QUANTISERS if name not in WEIGHTS]
# Random weights tell of time and islands; of quality they tell little.
UNTRAINED = ("sub8 int8", "ONNX Runtime")
TIMED = {"sub8 int8": "sub8", "sub8 ternary": "sub8", "ONNX Runtime": "onnxruntime",
         "NNCF": "openvino"}  # fmt: skip
ROUNDS, RUNS = 9, 5
console = Console(stderr=True)
Answers = dict[str, dict[str, Any]]


def main(
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of answers and table")],
    only: Annotated[str, typer.Option(help="comma-separated parts of models' names")] = "",
    quantisers: Annotated[str, typer.Option(help="comma-separated parts of their names")] = "",
    latency: Annotated[bool, typer.Option(help="time the files as well")] = False,
    threads: Annotated[int, typer.Option(help="of every runtime that is timed")] = 2,
    again: Annotated[bool, typer.Option(help="measure what is there anew")] = False,
) -> None:
    """Measure every model that is not there yet, then write the table."""
    output.mkdir(parents=True, exist_ok=True)
    sources = [one for one in SOURCES if any(part in one.name for part in only.split(","))]
    for source in sources:
        for quantiser in QUANTISERS:
            wanted = any(part in quantiser for part in quantisers.split(","))
            kept = _kept(output, source, quantiser)
            if not wanted or not (source.trained or quantiser in UNTRAINED):
                continue
            if again or not kept.exists():
                console.print(f"{source.name}: {quantiser}")
                kept.write_text(json.dumps(_measured(source, quantiser, output), indent=1))
        if latency and (again or not _kept(output, source, "latency").exists()):
            console.print(f"{source.name}: latency")
            found = _latencies(source, output, threads)
            _kept(output, source, "latency").write_text(json.dumps(found, indent=1))
        (output / "models.md").write_text("\n".join(_tables(output)) + "\n")


def _kept(output: Path, source: Source, kind: str) -> Path:
    return output / f"{source.stem}.{kind.replace(' ', '-')}.json"


def _measured(source: Source, quantiser: str, output: Path) -> dict[str, Any]:
    """The answer of a process of its own, or what ended it."""
    command = [sys.executable, str(HERE / "measure.py"), source.name, quantiser, str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == -signal.SIGXCPU:
        return {"error": f"not done in {LIMIT_CPU_S} CPU seconds"}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        return {"error": last[0][:300]}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _latencies(source: Source, output: Path, threads: int) -> dict[str, Any]:
    """Milliseconds of a run of one input, in rounds in which the files take turns: the median, and
    the least, which a busy machine changes less; and how busy it was.
    """
    shape = json.dumps(source.inputs(1).shape)
    workers = {}
    for name, runtime in TIMED.items():
        path = quantised(source, name, output)
        if path.exists():
            worker = _Worker(runtime, path, threads, shape)
            if worker.ready:
                workers[name] = worker
    times: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(ROUNDS):
        for name, worker in workers.items():
            times[name] += worker.times(RUNS)
            time.sleep(PAUSE_SECONDS)
    for worker in workers.values():
        worker.end()
    return {
        "median": {name: 1000 * statistics.median(seconds) for name, seconds in times.items()},
        "least": {name: 1000 * min(seconds) for name, seconds in times.items()},
        "load": os.getloadavg()[0],
    }


class _Worker:
    """A runtime with one model, in a process of its own (``benchmarks/engine/worker.py``)."""

    def __init__(self, runtime: str, path: Path, threads: int, shape: str):
        command = [sys.executable, str(HERE.parent / "engine" / "worker.py")]
        self._process = subprocess.Popen(
            [*command, runtime, str(path), str(threads), shape],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.ready = bool(self._answer())

    def times(self, runs: int) -> list[float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{runs}\n")
        self._process.stdin.flush()
        found: list[float] = json.loads(self._answer())
        return found

    def end(self) -> None:
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _tables(output: Path) -> Iterator[str]:
    read: dict[str, Answers] = {}
    for source in SOURCES:
        kinds = [*QUANTISERS, "latency"]
        paths = {kind: _kept(output, source, kind) for kind in kinds}
        found = {kind: json.loads(p.read_text()) for kind, p in paths.items() if p.exists()}
        if found:
            read[source.name] = found
    yield "| model | islands | nodes in them | MACs in integers | mismatches | s | CPU s | MiB |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, answers in read.items():
        yield _row([name, *_of_sub8(answers.get("sub8 int8", {}))])
    yield ""
    yield f"| least SNR, dB (agreement) | {' | '.join(QUANTISERS)} |"
    yield "|---" * (len(QUANTISERS) + 1) + "|"
    for name, answers in read.items():
        yield _row([name, *(_quality(answers.get(kind)) for kind in QUANTISERS)])
    yield ""
    for kind in ("median", "least"):
        yield f"| {kind} ms | {' | '.join(TIMED)} | faster peer / int8 | / ternary | load |"
        yield "|---" * (len(TIMED) + 4) + "|"
        for name, answers in read.items():
            if "latency" in answers:
                found = answers["latency"]
                yield _row([name, *_speeds(found[kind]), f"{found['load']:.1f}"])
        yield ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _of_sub8(answer: dict[str, Any]) -> list[str]:
    if "error" in answer or not answer:
        return [answer.get("error", "")[:80], "", "", "", "", "", ""]
    part = answer.get("in_integers")
    return [
        str(len(answer["islands"])),
        str(sum(answer["islands"])),
        "" if part is None else f"{100 * part:.1f} %",
        f"{answer['mismatches']} of {answer['elements']:,}",
        f"{answer['seconds']:.0f}",
        f"{answer['cpu_s']:.0f}" if "cpu_s" in answer else "",
        f"{answer['peak_mib']:,.0f}",
    ]


def _quality(answer: dict[str, Any] | None) -> str:
    if answer is None:
        return ""
    if "error" in answer:
        return "failed"
    least = min(answer["snr"].values(), default=np.nan)
    return f"{least:.1f} ({answer['agreement']:.3f})"


def _speeds(times: dict[str, float]) -> list[str]:
    peer = min((times[name] for name in PEERS if name in times), default=np.nan)
    ours = [times.get(name, np.nan) for name in ("sub8 int8", "sub8 ternary")]
    return [
        *(f"{times[name]:.2f}" if name in times else "" for name in TIMED),
        *(f"{peer / time:.2f}" for time in ours),
    ]


if __name__ == "__main__":
    typer.run(main)
