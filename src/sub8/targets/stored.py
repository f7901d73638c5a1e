"""Stored integers in wider types, which older runtimes know."""

from collections.abc import Collection

import onnx_ir as ir

_WIDER = {
    ir.DataType.INT2: ir.DataType.INT4, ir.DataType.INT4: ir.DataType.INT8,
    ir.DataType.UINT2: ir.DataType.UINT4, ir.DataType.UINT4: ir.DataType.UINT8,
}  # fmt: skip


def widen(model: ir.Model, unknown: Collection[ir.DataType]) -> None:
    """Store every initializer, in place, in the narrowest type that is not ``unknown``."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.dtype not in unknown:
                continue
            dtype = tensor.dtype
            while dtype in unknown:
                dtype = _WIDER[dtype]
            elements = tensor.numpy().astype(dtype.numpy())
            value.const_value = ir.tensor(elements, dtype=dtype, name=value.name)
            value.type = ir.TensorType(dtype)  # clones share the old one
