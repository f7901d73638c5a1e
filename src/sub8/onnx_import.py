"""``onnx_ir`` imported without the modules that it and ``onnx`` load at once but seldom need.

``onnx_ir`` imports SymPy for arithmetic on symbolic sizes. No model that is only run needs it, and
it takes more memory (33 MiB) and time (0.3 s) than everything else of a session's Python part
together. ``onnx`` and protobuf bring tools for writing, printing and converting models (2 MiB).
They load when they are first used."""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

DEFERRED = frozenset({
    "sympy", "onnx_ir._symbolic_shapes", "google.protobuf.internal.python_message",
    "google.protobuf.json_format", "google.protobuf.text_format", "onnx.compose", "onnx.gen_proto",
    "onnx.helper",
    "onnx.numpy_helper", "onnx.parser", "onnx.printer", "onnx.utils", "onnx.version_converter",
})  # fmt: skip


class _DeferringFinder:
    """Finds the deferred modules as usual; their code runs at the first access to one of their
    attributes.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in DEFERRED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def import_onnx_ir() -> None:
    """Import ``onnx_ir`` without what it seldom needs; nothing where it is imported already.

    The finder is there for this one import, so that a host process finds its modules as ever
    afterwards."""
    if "onnx_ir" in sys.modules:
        return
    finder = _DeferringFinder()
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("onnx_ir")
    finally:
        sys.meta_path.remove(finder)
