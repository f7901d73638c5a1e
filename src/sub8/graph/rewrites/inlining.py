"""Local functions put in the place of their calls."""

from collections.abc import Callable

import onnx_ir as ir
import onnx_ir.passes.common as passes

from sub8.errors import UnsupportedModelError, innermost, one_line


def inline_functions(model: ir.Model, which: Callable[[ir.Function], bool] | None = None) -> None:
    """Inline the calls of the functions that ``which`` chooses (default: all), in place.

    Raises UnsupportedModelError where a call does not fit its function, or their opsets differ.
    """
    try:
        passes.InlinePass(which)(model)
    except Exception as error:  # onnx-ir's, of several kinds
        raise UnsupportedModelError(
            f"the model's functions cannot be inlined: {one_line(innermost(error), 200)}; "
            "export it without functions"
        ) from error
