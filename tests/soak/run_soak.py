"""The long soak: ``python tests/soak/run_soak.py [sessions|endings] [--verb NAME] [--times N]``.

sessions: 16 threads with 2,000 runs each, 300 loads and unloads of each model, signals, forks, ends
of the interpreter. endings: every verb is interrupted at random moments, and meets a stdout that
takes nothing, a pipe without reader and a narrow terminal, and its --json is checked; those that
write files are killed, and meet full disks and folders that are not writable. Exit code 1 on any
fault.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests" / "builders"), str(HERE)]

import endings as e  # noqa: E402 - found by the paths above
from endings import folder  # noqa: E402
from small_quantized import write_all  # noqa: E402

LARGEST_GROWTH = 2e6  # bytes, of 300 loads of a model


def sessions(models: list[str]) -> int:
    faults = 0
    plan = [(name, models, 16, 2000) for name in ("shared", "own", "dropped")]
    plan += [("loads", [model], 2, 300) for model in models]
    plan += [("signals", models, 4, 2000), ("forks", models, 4, 100)]
    plan += [("exit_while_running", models, 4, 50 * number) for number in range(10)]
    for scenario, chosen, threads, runs in plan:
        command = [sys.executable, str(HERE / "sessions.py"), scenario, *chosen]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--threads", str(threads), "--runs", str(runs)],
            capture_output=True,
            text=True,
        )
        wrong = done.returncode != 0 or bool(done.stderr)
        if scenario == "loads" and not wrong:
            wrong = float(done.stdout) >= LARGEST_GROWTH
        faults += wrong
        seconds = time.monotonic() - began
        told = f" {done.stdout.strip()} {done.stderr.strip()}".rstrip()
        print(f"{'FAULT' if wrong else 'right'} {scenario} {threads} threads, {runs} runs,"
              f" {seconds:.0f} s{told}", flush=True)  # fmt: skip
    return faults


def endings(inputs: Path, chosen: list[str], checks: list[str], times: int, seed: int) -> int:
    all_of_them = e.Endings(inputs, seed, chosen)
    table: dict[str, Callable[[e.Verb], list[str]]] = {
        "kill": lambda verb: all_of_them.kill(verb, times),
        "SIGINT": lambda verb: all_of_them.interrupt(verb, times),
        "SIGTERM": lambda verb: all_of_them.interrupt(verb, times // 5, e.signal.SIGTERM),
        "start": lambda verb: all_of_them.interrupt_start(verb, times // 5, 1.0),
        "limit": lambda verb: all_of_them.full_disk(verb, (0, 100, 3000, 10_000, 50_000)),
        "read-only": all_of_them.read_only,
        "stdout": all_of_them.no_room_for_stdout,
        "pipe": all_of_them.no_reader,
        "json": all_of_them.as_json,
        "80 columns": all_of_them.narrow,
    }
    of_files = {"kill", "limit", "read-only", "disk"}
    if os.getuid() == 0:
        sizes = (0, 4096, 16384, 65536)
        table["disk"] = lambda verb: all_of_them.full_file_system(verb, sizes)
    faults = 0
    for verb in all_of_them.verbs:
        for name, check in table.items():
            if (checks and name not in checks) or (name in of_files and not verb.writes):
                continue
            began = time.monotonic()
            found = check(verb)
            faults += len(found)
            took = time.monotonic() - began
            print(f"{'FAULT' if found else 'right'} {verb.name}: {name}, {took:.0f} s", flush=True)
            for fault in found:
                print(f"    {fault}", flush=True)
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=("sessions", "endings"))
    parser.add_argument("--model", action="append", help="of sessions; default: small ones")
    parser.add_argument("--verb", action="append", default=[], help="of endings; default: all")
    parser.add_argument("--check", action="append", default=[], help="of endings; default: all")
    parser.add_argument("--times", type=int, default=50, help="kills of every verb")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    faults = 0
    if given.part != "sessions":  # first: this process must not have run anything
        with folder() as inputs:
            faults += endings(inputs, given.verb, given.check, given.times, given.seed)
    if given.part != "endings":
        with folder() as place:
            faults += sessions(given.model or [str(path) for path in write_all(place)])
    print(f"{faults} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
