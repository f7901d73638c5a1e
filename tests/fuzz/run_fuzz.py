"""Random networks through engine, reference and ONNX Runtime: seeds FIRST to LAST, in a loop that
can go on later.

    python tests/fuzz/run_fuzz.py --first 0 --count 2000 [--threads 1,2]

Prints a line for every network that disagrees, one for every network that takes long, while it
still runs, and at the end how many agreed. Exits with 1 on a disagreement."""

import argparse
import sys
from collections import Counter
from pathlib import Path
from threading import Timer

sys.path.insert(0, str(Path(__file__).parent))

from agreement import INEXACT, ISAS, REFUSED, disagreement
from random_networks import sample

# Seconds after which a network is named as slow: most take less than one.
LONG = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=2000, help="how many networks")
    parser.add_argument("--threads", default="1,2", help="numbers of threads to try")
    options = parser.parse_args()
    threads = tuple(int(count) for count in options.threads.split(","))
    counts: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.count):
        network = sample(seed)
        slow = Timer(
            LONG, print, [f"{network.describe()}\n  still running after {LONG} s"], {"flush": True}
        )
        slow.daemon = True
        slow.start()
        found = disagreement(network, threads)
        slow.cancel()
        kind = next((k for k in (REFUSED, INEXACT) if found and found.startswith(k)), "wrong")
        counts["agree" if found is None else kind] += 1
        if found is not None:
            print(f"{network.describe()}\n  {found}", flush=True)
        if (seed + 1 - options.first) % 100 == 0:
            print(f"up to seed {seed}: {_text(counts)}", flush=True)
    last = options.first + options.count - 1
    print(
        f"seeds {options.first} to {last}, {', '.join(ISAS)}, threads {options.threads}: "
        f"{_text(counts)}"
    )
    return int(counts["wrong"] > 0)


def _text(counts: Counter[str]) -> str:
    kinds = ("agree", REFUSED, INEXACT, "wrong")
    return ", ".join(f"{counts[kind]} {kind}" for kind in kinds)


if __name__ == "__main__":
    sys.exit(main())
