"""Functions of a layer's result that its step applies itself, while the result is near."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan import operators as p
from sub8.engine.plan.operators.values import Shape
from sub8.numerics.dfp import Format
from sub8.numerics.requantize import requantize

Function = p.Table | p.Reformat


def functions_of_layers(
    plan: p.Plan, run: Sequence[p.Operator], shapes: Mapping[str, Shape]
) -> dict[str, Function]:
    """By the name of a layer's result the operator of the same ``run`` that alone reads it, where
    it is a function of the value, or of value and channel.
    """
    readers = Counter(name for operator in plan.operators for name in operator.inputs)
    readers.update(plan.outputs)
    layers = {
        operator.out: operator
        for operator in run
        if isinstance(operator, p.Layer) and _is_static(operator, plan)
    }
    found: dict[str, Function] = {}
    for operator in run:
        if not isinstance(operator, Function) or not _is_static(operator, plan):
            continue
        layer = layers.get(operator.x)
        if layer is None or readers[layer.out] != 1:
            continue
        axis = operator.axis if isinstance(operator, p.Table) else None
        if axis is None or axis == layer.channel_axis(len(shapes[layer.out])):
            found[layer.out] = operator
    return found


def entries(function: Function, formats: Mapping[str, Format | None]) -> NDArray:
    """What the function gives for every value of its operand, from the lowest on: ``[256]``, or
    ``[channels, 256]``, of the result's dtype.
    """
    if isinstance(function, p.Table):
        return function.table
    x, out = formats[function.x], formats[function.out]
    assert x is not None and out is not None
    every_value = np.arange(x.low, x.high + 1, dtype=np.int64)
    return requantize(every_value, function.to_8_bit(formats), out.dtype)


def _is_static(operator: p.IntegerOperator, plan: p.Plan) -> bool:
    formats = [plan.formats[name] for name in (*operator.inputs, *operator.outputs)]
    return all(fmt is not None and not fmt.dynamic for fmt in formats)
