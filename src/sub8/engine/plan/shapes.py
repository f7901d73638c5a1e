"""Shapes of every tensor of a plan for given input shapes; the first place where a wrong input is
noticed.
"""

import math
from collections.abc import Mapping

from sub8.engine.plan import operators as p
from sub8.engine.plan.operators.values import Shape
from sub8.errors import InputError

_LONGEST_AXIS = 2**31 - 1  # that the native code counts to
_MOST_ELEMENTS = 2**36


def infer_shapes(plan: p.Plan, known: Mapping[str, Shape]) -> dict[str, Shape]:
    """The logical shape of every tensor that follows from those of the inputs and of islands'
    results.

    known: of the plan's inputs, and of the results of the islands that have run: what ONNX Runtime
    makes of float nodes may depend on the values. Tensors behind the first island that has not run
    are left out.

    Raises InputError, naming the node, where shapes do not fit an operator.
    """
    shapes: dict[str, Shape] = {}
    for name in plan.inputs:
        if name not in known:
            raise InputError(
                f"input {name!r} is missing; the model's inputs: {', '.join(plan.inputs)}"
            )
        shapes[name] = tuple(known[name])
    for operator in plan.operators:
        if not isinstance(operator, p.Island):
            shape = operator.output_shape(shapes)
            if max(shape, default=0) > _LONGEST_AXIS or math.prod(shape) > _MOST_ELEMENTS:
                raise InputError(
                    f"node {operator.name!r}: a result of shape {list(shape)} is too large; give a"
                    " smaller input"
                )
            shapes[operator.out] = shape
        elif all(name in known for name in operator.outputs):
            shapes.update((name, tuple(known[name])) for name in operator.outputs)
        else:
            break
    return shapes
