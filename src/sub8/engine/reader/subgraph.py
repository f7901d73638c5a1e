"""Cut float nodes out of a model as a model of their own."""

import re
from collections.abc import Iterable, Sequence

import onnx_ir as ir
import onnx_ir.passes.common as passes

from sub8.oracle import OnnxRuntime

_ELEMENT_TYPES = {"float": ir.DataType.FLOAT}  # spelt otherwise than ONNX does


def extract(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The nodes between tensors ``inputs`` and tensors ``outputs``, serialised; sizes are left open.

    The types of ``inputs`` must be known.
    """
    graph = ir.convenience.extract(model.graph, inputs=list(inputs), outputs=list(outputs))
    for value in graph.inputs:
        value.shape = None
    for node in graph:
        for value in node.outputs:
            value.shape = None
    part = ir.Model(
        graph, ir_version=model.ir_version, functions=[f.clone() for f in model.functions.values()]
    )
    passes.RemoveUnusedFunctionsPass()(part)
    return ir.to_proto(part).SerializeToString()


def learn_types(part: bytes, values: Iterable[ir.Value]) -> None:
    """Set the types of results that ONNX's inference does not know, as ONNX Runtime finds them.

    part: a model (see ``extract``) that has the values among its outputs.
    """
    unknown = [value for value in values if value.type is None]
    if not unknown:
        return
    found = OnnxRuntime(part, threads=1, optimise=False).output_types
    for value in unknown:
        value.type = _type(found[str(value.name)])


def _type(text: str) -> ir.TypeProtocol:
    outer, inner = re.fullmatch(r"(\w+)\((.*)\)", text).groups()  # type: ignore[union-attr]
    if outer == "tensor":
        return ir.TensorType(_ELEMENT_TYPES.get(inner) or ir.DataType[inner.upper()])
    return (ir.SequenceType if outer == "seq" else ir.OptionalType)(_type(inner))
