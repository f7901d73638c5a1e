"""How long a merge of many signed events takes, and whether every order gives one state.

    python benchmarks/record.py paper.json [--events 10000] [--shuffles 20]

Of the events 5 % are invalid (a bit changed, a foreign subject, two events run together by turns)
and 1 % contradict another of their signer. Prints JSON: seconds per merge, by the clock and of the
processor; how many different states came out; whether the counts are right.
"""

import argparse
import io
import json
import random
import statistics
import time
from pathlib import Path

from sub8.record.bundles import pack
from sub8.record.events import sign_event
from sub8.record.keys import PrivateKey
from sub8.record.merge import Merger
from sub8.record.replicate import PAPER
from sub8.record.state import parse_state

SIGNERS = 50
FOREIGN = "pith:2020:" + "A" * 26


def replication(number: int, top1: int, key: PrivateKey, subject: str = PAPER) -> bytes:
    """A replication record with made-up hashes, of the size of a real one."""
    claim = {
        "machine": {"platform": "Linux x86_64", "cpu": "synthetic", "cores": 2},
        "points": [
            {
                "model": f"model-{number}",
                "setting": {"weights": "ternary", "cluster": 4, "first": "int8", "last": "int8"},
                "sha256": dict.fromkeys(("artifact", "data", "source"), f"{number:064x}"),
            }
        ],
        "statement": "Each artifact, run on its data, gave the measured figures.",
        "tool": {"name": "sub8", "version": "0.1.0"},
    }
    measured = [{"images": 5000, "top1": f"{top1 / 100:.2f}"}]
    payload = {"claim": claim, "measured": measured}
    time_text = f"2026-01-{1 + number % 28:02d}T00:00:00Z"
    return sign_event("replication_record", subject, payload, time_text, key).data


def flipped(event: bytes, rng: random.Random) -> bytes:
    bit = rng.randrange(8 * len(event))
    damaged = bytearray(event)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def make_events(count: int, rng: random.Random) -> tuple[list[bytes], dict[str, int]]:
    """The events, and the counts a merge must find."""
    keys = [PrivateKey.generate() for _ in range(SIGNERS)]
    invalid, equivocating = count // 20, count // 100 // 2 * 2
    valid = count - invalid - equivocating
    events = []
    for number in range(valid):
        events.append(replication(number, rng.randrange(10000), keys[number % SIGNERS]))
    for number in range(valid, valid + equivocating // 2):
        key = keys[number % SIGNERS]
        events += [replication(number, 7000, key), replication(number, 7001, key)]
    for number in range(count, count + invalid):
        key = keys[number % SIGNERS]
        kind = number % 3
        if kind == 0:
            events.append(flipped(replication(number, 7000, key), rng))
        elif kind == 1:
            events.append(replication(number, 7000, key, FOREIGN))
        else:
            events.append(replication(number, 7000, key) + b"\n" + replication(number, 1, key))
    expected = {
        "applied": valid,
        "equivocations": equivocating // 2,
        "equivocating": equivocating,
        "invalid": invalid,
    }
    return events, expected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--shuffles", type=int, default=20)
    options = parser.parse_args()
    base = options.state.read_bytes()
    rng = random.Random(8)
    events, expected = make_events(options.events, rng)
    seconds, processor, states, counts = [], [], set(), set()
    for _ in range(options.shuffles):
        rng.shuffle(events)
        bundle = pack(events)
        start, start_processor = time.perf_counter(), time.process_time()
        merger = Merger()
        merger.add_state(parse_state(base, str(options.state)), str(options.state))
        merger.add_bundle(io.BytesIO(bundle))
        merged = merger.result()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
        states.add(merged.data)
        found = merged.combined
        counts.add(
            (found.applied, found.equivocations, found.equivocating, sum(found.invalid.values()))
        )
    result = {
        "events": len(events),
        "shuffles": options.shuffles,
        "bundle_bytes": len(bundle),
        "seconds_median": round(statistics.median(seconds), 2),
        "seconds_worst": round(max(seconds), 2),
        "processor_seconds_median": round(statistics.median(processor), 2),
        "processor_seconds_worst": round(max(processor), 2),
        "different_states": len(states),
        "counts_right": counts == {tuple(expected.values())},
        "expected": expected,
        "invalid_by_reason": found.invalid,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
