"""JSON on stdout: every verb's result with the name and version of its schema, and the units of its
figures (docs/reference/json.md).
"""

import json
from collections.abc import Iterator
from typing import Any

from sub8.cli.terminal import writing_stdout
from sub8.version import __version__

# Raised with every change of a verb's keys or of their meaning, but for added keys.
_VERSIONS: dict[str, int] = {}
_UNITS = {
    **dict.fromkeys(("top1", "top5", "validation_top1"), "per cent"),
    **dict.fromkeys(
        ("top1_margin", "top5_margin", "margin", "expected_drop", "drop_bound", "drop"),
        "per cent points",
    ),
    **dict.fromkeys(("replaced", "replaced_as_published", "probability", "part"), "part of 1"),
    **dict.fromkeys(("bytes", "source_bytes", "bytes_moved"), "bytes"),
    **dict.fromkeys(("milliseconds", "sub8_ms", "float32_ms", "latency"), "milliseconds"),
    "seconds": "seconds",
    "signal_to_noise": "decibels",
    "mean_bits": "bits a weight",
    "macs": "multiply-accumulates of one image",
    "cluster": "input channels that share a scale",
}


def schema_name(verb: str) -> str:
    """``sub8/VERB/VERSION``."""
    return f"sub8/{verb}/{_VERSIONS.get(verb, 1)}"


def print_json(verb: str, result: dict[str, Any]) -> None:
    """JSON on stdout, in ASCII."""
    units = {name: _UNITS[name] for name in sorted(set(_names(result)) & _UNITS.keys())}
    if verb == "benchmark":
        units |= dict.fromkeys(("sub8", "float32"), "milliseconds")
    document = {
        "schema": schema_name(verb),
        "version": __version__,
        **result,
        "units": units,
    }
    text = json.dumps(document, indent=2, allow_nan=False).replace("\x7f", "\\u007f")
    with writing_stdout():
        print(text)


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _names(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _names(inner)
