"""Run a plan in NumPy. This is what a plan means: the native core gives the same integers and the
same floats.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan import operators as p
from sub8.engine.plan.islands import run_island
from sub8.engine.plan.operators.values import Shape, Tensor, Values
from sub8.errors import InputError
from sub8.numerics import dynamic
from sub8.numerics.dfp import Format

Environment = dict[str, Tensor]


def run_reference(plan: p.Plan, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The outputs by name. Raises InputError for missing inputs and shapes that do not fit."""
    tensors = run_tensors(plan, inputs)
    return {name: tensors[name].values for name in plan.outputs}


def run_tensors(plan: p.Plan, inputs: Mapping[str, NDArray[Any]]) -> Environment:
    """Every tensor of the plan, by name."""
    tensors: Environment = {}
    values = Values(tensors, plan.formats)
    for name in plan.inputs:
        if name not in inputs:
            raise InputError(
                f"input {name!r} is missing; the model's inputs: {', '.join(plan.inputs)}"
            )
        tensors[name] = Tensor(np.asarray(inputs[name]))
    shapes = {name: tensor.values.shape for name, tensor in tensors.items()}
    for operator in plan.operators:
        if isinstance(operator, p.Island):
            results = run_island(operator, {name: tensors[name].values for name in operator.inputs})
            tensors.update({name: Tensor(value) for name, value in results.items()})
            shapes.update(
                (name, value.shape)
                for name, value in results.items()
                if isinstance(value, np.ndarray)
            )
            continue
        shape = shapes[operator.out] = operator.output_shape(shapes)
        if 0 in shape:
            tensors[operator.out] = _empty(shape, plan.formats[operator.out])
        else:
            tensors[operator.out] = operator.evaluate(values)
    return tensors


def _empty(shape: Shape, fmt: Format | None) -> Tensor:
    """A tensor without elements; its exponents say nothing."""
    if fmt is None or not fmt.dynamic:
        return Tensor(np.zeros(shape, np.float32 if fmt is None else fmt.dtype))
    exponents = np.full(shape[0], dynamic.LOWEST_EXPONENT, np.int64)
    return Tensor(np.zeros(shape, fmt.dtype), exponents)
