"""Models in older opsets than they were written in, exactly: what older runtimes load."""

from collections.abc import Callable

import onnx_ir as ir

from sub8.errors import UnsupportedModelError, one_line
from sub8.graph import constants, patterns
from sub8.graph.check import check_model

NEWEST = 21  # that all supported runtimes know
# The IR version of the ONNX release that brought an opset.
_IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}
_REDUCTIONS = frozenset({
    "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceSumSquare",
})  # fmt: skip


def in_opset(model: ir.Model, oldest: int) -> ir.Model:
    """A new model in the oldest opset, from ``oldest`` to ``NEWEST``, that has all its operators.

    Operators whose form changed and whose meaning did not are rewritten. Raises
    UnsupportedModelError, with what ONNX's checker says, where even ``NEWEST`` lacks one.
    """
    failure: Exception | None = None
    for version in range(oldest, NEWEST + 1):
        lowered = model.clone()
        lowered.ir_version = _IR_VERSIONS[version]
        bodies: list[ir.Graph | ir.Function] = [lowered.graph, *lowered.functions.values()]
        for body in bodies:
            body.opset_imports[""] = version
            for node in body:
                adapt = _ADAPTERS.get(node.op_type) if node.domain == "" else None
                if adapt is not None:
                    adapt(node, version)
        try:
            check_model(lowered)
        except Exception as error:  # the checker and inference raise several kinds
            failure = error
            continue
        for node in lowered.graph:
            for value in node.outputs:
                if not value.is_graph_output():
                    value.shape = value.type = None  # what inference derives need not be stored
        return lowered
    assert failure is not None
    raise UnsupportedModelError(
        f"the model has no form in opset {NEWEST}: {one_line(failure, 200)}; "
        "export it to the target 'onnx'"
    )


def _axes_as_attribute(node: ir.Node, version: int) -> None:
    """Before opset 18 a reduction's axes are an attribute."""
    if version >= 18 or len(node.inputs) < 2 or node.inputs[1] is None:
        return
    axes = constants.integers(node.inputs[1])
    if axes is None or patterns.attribute(node, "noop_with_empty_axes", 0):
        return
    node.resize_inputs(1)
    node.attributes["axes"] = ir.AttrInt64s("axes", axes)
    node.attributes.pop("noop_with_empty_axes", None)


def _equal_parts(node: ir.Node, version: int) -> None:
    """Before opset 18 Split counts its outputs itself; both divide equally then."""
    count = patterns.attribute(node, "num_outputs", None)
    size = patterns.size(node.inputs[0], int(patterns.attribute(node, "axis", 0)))
    if version < 18 and count == len(node.outputs) and size is not None and size % count == 0:
        del node.attributes["num_outputs"]


def _without_defaults(**defaults: object) -> Callable[[ir.Node, int], None]:
    """Attributes that newer opsets added say nothing where they have their defaults."""

    def adapt(node: ir.Node, version: int) -> None:
        for name, default in defaults.items():
            if patterns.attribute(node, name, None) == default:
                del node.attributes[name]

    return adapt


_ADAPTERS: dict[str, Callable[[ir.Node, int], None]] = {
    **dict.fromkeys(_REDUCTIONS, _axes_as_attribute),
    "Split": _equal_parts,
    "Reshape": _without_defaults(allowzero=0),
    "Cast": _without_defaults(saturate=1),
    "AveragePool": _without_defaults(dilations=(1, 1)),
    "QuantizeLinear": _without_defaults(output_dtype=0, block_size=0, saturate=1, precision=0),
    "DequantizeLinear": _without_defaults(output_dtype=0, block_size=0),
}
