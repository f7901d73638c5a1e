"""The float network inside a Q/DQ file: the same layers without any quantisation of activations."""

import onnx_ir as ir
from onnx_ir.passes.common import (
    RemoveInitializersFromInputsPass,
    RemoveUnusedFunctionsPass,
    RemoveUnusedNodesPass,
)

from sub8.computed_constants import constant_values
from sub8.graph import rewire
from sub8.graph.constants import follows_from_constants


def dequantized_model(model: ir.Model) -> ir.Model:
    """A copy of a Q/DQ model that runs in float32: weights dequantised once, no rounding between
    layers.

    It has the layers and the shapes of the network that was quantised, so it is what to time it
    against."""
    twin = model.clone()
    RemoveInitializersFromInputsPass()(twin)
    for node in list(twin.graph):
        if node.op_type != "DequantizeLinear" or node.inputs[0] is None:
            continue
        quantise = node.inputs[0].producer()
        if quantise is None or quantise.op_type != "QuantizeLinear":
            continue
        source = quantise.inputs[0]
        assert source is not None
        real = node.outputs[0]
        for user, index in tuple(real.uses()):
            user.replace_input_with(index, source)
        if real.is_graph_output():
            rewire.replace(node, ir.node("Identity", [source]))
    _fold_constants(twin)
    RemoveUnusedNodesPass()(twin)
    RemoveUnusedFunctionsPass()(twin)
    return twin


def _fold_constants(model: ir.Model) -> None:
    """Replace computed constants that layers read by initialisers."""
    computed: dict[str, ir.Value] = {}
    for node in model.graph:
        if follows_from_constants(node.outputs[0]):
            continue
        for value in node.inputs:
            if value is not None and value.producer() is not None and follows_from_constants(value):
                computed[str(value.name)] = value
    for name, array in constant_values(model, computed).items():
        folded = ir.val(f"{name}_folded", const_value=ir.tensor(array, name=f"{name}_folded"))
        model.graph.register_initializer(folded)
        ir.convenience.replace_all_uses_with(computed[name], folded)
