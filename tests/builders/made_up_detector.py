"""A detector made by hand, in YOLOv8's form: it finds bright squares of 4 x 4 pixels."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

# The mean of blocks of 4 x 4 pixels is the score of a box there.
_TEXT = """g (float[n,3,16,24] x) => (float[n,5,24] y)
{ p = AveragePool<kernel_shape=[4,4], strides=[4,4]>(x) m = Conv(p, w) s = Reshape(m, rows)
  shape = Shape<start=0, end=1>(x) target = Concat<axis=0>(shape, size) e = Expand(grid, target)
  y = Concat<axis=1>(e, s) }"""


def saved(text: str, path: Path, metadata: Iterable[tuple[str, str]] = (), **weights) -> Path:
    """A model of ONNX text with these initializers, written."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]> {text}')
    for name, value in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    for key, value in metadata:
        proto.metadata_props.add(key=key, value=value)
    onnx.save(proto, path)
    return path


def made_up_detector(path: Path, metadata: Iterable[tuple[str, str]] = ()) -> Path:
    """Its file, for inputs ``[n, 3, 16, 24]`` of 0 to 1."""
    rows, columns = np.mgrid[:4, :6]
    grid = np.stack([columns * 4 + 2, rows * 4 + 2, rows * 0 + 4, rows * 0 + 4]).reshape(1, 4, 24)
    return saved(
        _TEXT, path, [("names", "{0: 'square'}"), *metadata],
        w=np.full((1, 3, 1, 1), 1 / 3, np.float32), rows=np.array([0, 1, -1]),
        size=np.array([4, 24]), grid=grid.astype(np.float32),
    )  # fmt: skip
