"""Latency, load time and memory of sub8 beside ONNX Runtime and OpenVINO, all in one run.

    pip install . && pip install -r benchmarks/engine/requirements.txt
    python benchmarks/engine/bench.py --verify -o results/

Everything is built on the way: the networks, every runtime's file of them, the plots. What
``results.json`` holds already is not measured again (delete it to start anew), so an interrupted
run goes on where it was. ``--network``, ``--threads``, ``--batch`` and ``--only`` choose a part.

On a CPU with VNNI, ``--hide-vnni`` shows what one that ends at AVX2 would do (see hide_vnni.py).

Each candidate runs in a process of its own; its memory is that process's peak (``peak_mib``), and
that less what Python with NumPy alone takes (``added_mib``). Rounds go over all candidates in turn,
so that a slow spell of the machine meets them all; a ratio is the median over rounds of (peer's
time / ours) within one round."""

import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import hide_vnni as hide
import numpy as np
import typer
from models import (
    FLOAT_PEERS,
    INT8_PEERS,
    LOW_BIT_PEERS,
    NETWORKS,
    OURS,
    Network,
    candidates,
    given_file,
    prepare,
)
from plot import plot
from rich.console import Console
from rich.progress import track
from rich.table import Table

import sub8
from sub8.latency import PAUSE_SECONDS

WORKER = Path(__file__).with_name("worker.py")
console = Console(stderr=True)


@dataclass
class Measured:
    """One candidate's process and what it has told."""

    name: str
    process: subprocess.Popen[str]
    ready: dict[str, float]
    rounds: list[float]

    @classmethod
    def start(
        cls,
        name: str,
        runtime: str,
        path: Path,
        threads: int,
        shape: list[int],
        environment: dict[str, str],
    ) -> "Measured":
        command = [sys.executable, str(WORKER), runtime, str(path), str(threads), json.dumps(shape)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)} | environment,
        )
        measured = cls(name, process, {}, [])
        measured.ready = measured._answer()
        return measured

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the worker ended; run its command by hand to see why")
        return json.loads(line)

    def time(self, inferences: int) -> None:
        """One round: the median of a few inferences in a row."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{inferences}\n")
        self.process.stdin.flush()
        self.rounds.append(statistics.median(self._answer()))

    def end(self) -> dict[str, float]:
        """Close the process; its peak memory."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        peak: dict[str, float] = self._answer()
        self.process.wait()
        return peak

    def finish(self) -> dict[str, float]:
        """Close the process; all its figures."""
        peak = self.end()
        return {
            "median_ms": 1e3 * statistics.median(self.rounds),
            "best_ms": 1e3 * min(self.rounds),
            "load_s": self.ready["load_s"] + self.ready["first_s"],
            "import_mib": self.ready["import_mib"],
            **peak,
        }


def measure(
    network: Network,
    threads: int,
    batch: int,
    rounds: int,
    files: dict[str, tuple[str, Path]],
    environment: dict[str, str],
) -> dict[str, Any]:
    """All candidates on one network, interleaved. ``load_s`` includes the first inference (lazy
    preparation).

    files: each candidate's runtime and file.
    """
    shape = [batch, *network.image]
    bare = Measured.start("none", "none", Path(), threads, shape, environment).end()["peak_mib"]
    running = [
        Measured.start(name, runtime, path, threads, shape, environment)
        for name, (runtime, path) in files.items()
    ]
    label = f"{network.name}, batch {batch}, {threads} thread{'s' * (threads > 1)}"
    for _ in track(range(rounds), label, console=console):
        for measured in running:
            time.sleep(PAUSE_SECONDS)
            measured.time(3)
    times = {measured.name: measured.rounds for measured in running}
    figures = {measured.name: measured.finish() for measured in running}
    for figure in figures.values():
        figure["added_mib"] = figure["peak_mib"] - bare
    return {
        "network": network.name,
        "threads": threads,
        "batch": batch,
        "runtimes": figures,
        "ratios": ratios(times),
    }


def ratios(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """For each of ours: how many times faster than each peer, and than the faster int8 (or lower)
    peer.
    """
    peers = [
        peer.name for peer in (*FLOAT_PEERS, *INT8_PEERS, *LOW_BIT_PEERS) if peer.name in times
    ]
    integer = [peer.name for peer in (*INT8_PEERS, *LOW_BIT_PEERS) if peer.name in times]
    table: dict[str, dict[str, float]] = {}
    for ours in (own.name for own in OURS if own.name in times):
        mine = np.array(times[ours])
        table[ours] = {peer: float(np.median(np.array(times[peer]) / mine)) for peer in peers}
        if integer:
            table[ours]["fastest integer peer"] = min(table[ours][peer] for peer in integer)
    return table


def show(result: dict[str, Any]) -> None:
    title = f"{result['network']}, batch {result['batch']}, {result['threads']} threads"
    columns = ("median_ms", "best_ms", "load_s", "peak_mib", "added_mib")
    table = Table("runtime", *(column.replace("_", " ") for column in columns), title=title)
    for name, row in result["runtimes"].items():
        numbers = (row[column] for column in columns)
        table.add_row(name, *(f"{number:.2f}" for number in numbers))
    console.print(table)
    for ours, row in result["ratios"].items():
        console.print(ours, {peer: f"{ratio:.2f}x" for peer, ratio in row.items()})


def machine() -> dict[str, Any]:
    names = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": names[0].split(":")[1].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "sub8": sub8.__version__,
    }


def main(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="folder of results.json and plots")
    ],
    network: Annotated[str, typer.Option(help="comma-separated; all by default")] = "",
    threads: Annotated[str, typer.Option(help="comma-separated")] = "1,2",
    batch: Annotated[str, typer.Option(help="comma-separated")] = "1,8",
    rounds: Annotated[int, typer.Option(min=3)] = 15,
    only: Annotated[str, typer.Option(help="comma-separated parts of runtimes' names")] = "",
    hide_vnni: Annotated[
        bool,
        typer.Option(help="hide AVX-512, VNNI and AMX from every runtime: a CPU that ends at AVX2"),
    ] = False,
    verify: Annotated[
        bool, typer.Option(help="also compare every sub8 file with its oracle")
    ] = False,
    float_models: Annotated[
        Path | None,
        typer.Option(help="folder of NAME.onnx to use instead of networks with random weights"),
    ] = None,
) -> None:
    """Time sub8 and its peers, interleaved, and write medians, ratios, memory and load time."""
    cache = output / "models"
    cache.mkdir(parents=True, exist_ok=True)
    chosen = [known for known in NETWORKS if not network or known.name in network.split(",")]
    if not chosen:
        raise typer.BadParameter(
            f"{network}: known are {', '.join(known.name for known in NETWORKS)}"
        )
    environment = hide.environment(cache) if hide_vnni else {}
    report = open_report(
        output / "results.json",
        {
            "machine": machine(),
            "instruction sets": "all beyond AVX2 hidden" if hide_vnni else "all",
        },
    )
    wanted = only.split(",") if only else [""]
    for net, count, size in itertools.product(chosen, threads.split(","), batch.split(",")):
        files = {
            candidate.name: (candidate.runtime, prepare(candidate, net, cache, float_models))
            for candidate in candidates(net)
            if any(part in candidate.name for part in wanted)
        }
        source = given_file(net, float_models)
        report["weights"][net.name] = "random, seeded" if source is None else source.name
        place = {"network": net.name, "threads": int(count), "batch": int(size)}
        found = next((r for r in report["results"] if place.items() <= r.items()), None)
        if found is None or found["runtimes"].keys() != files.keys():
            if found is not None:
                report["results"].remove(found)
            found = measure(net, int(count), int(size), rounds, files, environment)
            report["results"].append(found)
            save(report, output)
        show(found)
    if verify:
        report["verification"] |= verify_all(chosen, cache, float_models)
        save(report, output)
    plot(report, output)
    if any(outcome["mismatches"] for outcome in report["verification"].values()):
        raise typer.Exit(1)


def open_report(path: Path, conditions: dict[str, Any]) -> dict[str, Any]:
    """The report so far, or an empty one. Raises BadParameter where it was taken under other
    conditions.
    """
    if path.exists():
        report: dict[str, Any] = json.loads(path.read_text())
        if conditions.items() <= report.items():
            return report
        raise typer.BadParameter(
            f"{path} was measured on another machine, version or set of instructions; choose "
            "another folder"
        )
    return {**conditions, "weights": {}, "results": [], "verification": {}}


def save(report: dict[str, Any], output: Path) -> None:
    (output / "results.json").write_text(json.dumps(report, indent=1))


def verify_all(networks: list[Network], cache: Path, given: Path | None) -> dict[str, Any]:
    """``sub8 verify`` of every file of ours on two random images."""
    outcome = {}
    for net, own in itertools.product(networks, OURS):
        data = cache / f"{net.name}.npy"
        np.save(data, np.random.default_rng(2).standard_normal((2, *net.image)).astype(np.float32))
        outcome[f"{net.name}, {own.name}"] = sub8.verify(
            prepare(own, net, cache, given), data
        ).to_dict()
        console.print(net.name, own.name, outcome[f"{net.name}, {own.name}"])
    return outcome


if __name__ == "__main__":
    typer.run(main)
