"""Numbers that scale an operand of a product of two activations, put behind the product.

There they scale float32 sums, where before it they would need 8-bit tensors of their own.
"""

import numpy as np
import onnx_ir as ir

from sub8.graph import constants, patterns, rewire

_MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze"})


def factors_behind_products(graph: ir.Graph) -> None:
    """Let ``MatMul(a * p, b / q)`` be ``MatMul(a, b) * (p / q)``, in place; p and q are single
    numbers, and movements may stand between.
    """
    for node in patterns.standard_nodes(graph):
        if not patterns.is_product(node):
            continue
        factor = 1.0
        for index in (0, 1):
            while (found := _scaling(node, index)) is not None:
                scaling, number = found
                x = patterns.activations(scaling)[0]
                rewire.bypass(scaling, x)
                factor *= number
        if factor == 1.0:
            continue
        result = node.outputs[0]
        stored = constants.add_initializer(
            graph, f"{result.name}.factor", np.array(factor, np.float32)
        )
        scaled = ir.node("Mul", [result, stored])
        name = str(result.name)
        scaled.outputs[0].type, scaled.outputs[0].shape = result.type, result.shape
        ir.convenience.replace_all_uses_with(result, scaled.outputs[0], replace_graph_outputs=True)
        scaled.replace_input_with(0, result)
        result.name, scaled.outputs[0].name = f"{name}.product", name
        graph.insert_after(node, scaled)


def _scaling(node: ir.Node, index: int) -> tuple[ir.Node, float] | None:
    """The Mul or Div by a number that makes an operand, movements aside, and its factor."""
    value = node.inputs[index]
    while value is not None and len(list(value.uses())) == 1 and not value.is_graph_output():
        producer = value.producer()
        if producer is None or producer.domain != "":
            return None
        if producer.op_type in _MOVES:
            value = producer.inputs[0]
            continue
        if producer.op_type not in ("Mul", "Div"):
            return None
        for place in (0, 1) if producer.op_type == "Mul" else (1,):
            number = constants.scalar(producer.inputs[place])
            other = producer.inputs[1 - place]
            if number is None or not np.isfinite(number) or number == 0 or other is None:
                continue
            if constants.is_constant(other) or not patterns.same_shape(other, value):
                continue
            return producer, float(number if producer.op_type == "Mul" else 1.0 / number)
        return None
    return None
