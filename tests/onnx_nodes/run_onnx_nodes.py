"""Every node test of the installed ONNX package through sub8: a table of outcomes, and all of them
as JSON.

    python tests/onnx_nodes/run_onnx_nodes.py [--json FILE] [--only PART_OF_NAME]

Exits with 1 where anything is wrong or raises anything but a clear one-line error.
"""

import argparse
import json
import logging
import sys
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from node_models import WAYS, Case, cases_of, node_tests
from node_outcomes import EXACT, FAULTS, ISLAND, REFUSED, TRACEBACK, UNKNOWN, WRONG, outcome_of

COLUMNS = (EXACT, ISLAND, REFUSED, UNKNOWN, TRACEBACK, WRONG)


def row_of(case: Case) -> str:
    """The row of the table that a case counts in."""
    if case.way in WAYS[2:]:
        return f"{case.way}, to int8"
    kinds = {str(getattr(x, "dtype", None)) for x in case.inputs.values()}
    if case.way == WAYS[0] and not kinds <= {"float32"}:
        return (
            "behind Q/DQ, with inputs of other types" if "float32" in kinds else "no float32 input"
        )
    return case.way


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write every outcome")
    parser.add_argument("--only", default="", help="tests whose name contains this")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    found = []
    table: dict[str, Counter[str]] = {}
    for test in node_tests():
        if options.only not in test.name:
            continue
        for case in cases_of(test):
            row = row_of(case)
            outcome, reason = outcome_of(case)
            table.setdefault(row, Counter())[outcome] += 1
            found.append({"test": case.name, "row": row, "outcome": outcome, "reason": reason})
            if outcome in FAULTS:
                print(f"{outcome}: {case.name}, {row}: {reason}", flush=True)
    width = max(map(len, table), default=0)
    print(" " * width, *(f"{column:>20}" for column in COLUMNS))
    for row, counts in table.items():
        print(f"{row:{width}}", *(f"{counts[column]:>20}" for column in COLUMNS))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(entry["outcome"] in FAULTS for entry in found))


if __name__ == "__main__":
    sys.exit(main())
