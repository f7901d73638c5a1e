"""Into how many equal parts a batch is cut, each computed by one thread apart from the others.

Threads that share every layer wait for each other after every layer, and pass a whole batch's
tensors through their caches. Where no image depends on another, threads can take images instead.
``images_apart`` proves it, operator by operator; what it does not know counts as dependent.
"""

import math
from collections.abc import Mapping

from sub8.engine.plan import operators as p
from sub8.engine.plan.operators.values import Shape
from sub8.engine.plan.shapes import infer_shapes
from sub8.errors import InputError

_MOST_IDLE = 0.1  # of the threads' time, while they wait for the last part
# Larger parts spend less time on weights, smaller ones keep their tensors in the second-level
# cache.
_LARGEST_TENSOR = 256 * 1024  # elements of a part, unless one image has more


def batch_parts(plan: p.Plan, shapes: Mapping[str, Shape], threads: int) -> int:
    """How many parts of a batch to compute side by side; 1: all images together, threads share
    every layer.

    Of a plan without convolutions weights are most of what is read, and threads had better share
    those.

    shapes: of all tensors of the plan.
    """
    images = _images(plan, shapes)
    if threads == 1 or images < threads:
        return 1
    if not any(isinstance(op, p.Conv) for op in plan.operators) or not images_apart(plan, shapes):
        return 1
    largest = max(math.prod(shape) for shape in shapes.values())
    fewest = min(images, max(threads, math.ceil(largest / _LARGEST_TENSOR)))
    cuts = (parts for parts in range(fewest, images + 1) if images % parts == 0)
    return next((parts for parts in cuts if _idle(parts, threads) <= _MOST_IDLE), 1)


def any_batch(plan: p.Plan, known: Mapping[str, Shape]) -> bool:
    """Whether a multiple of a batch is that many batches, computed apart.

    It is proven on twice the batch: of one image a reshape to ``(1, -1)`` looks harmless. known: of
    the inputs.
    """
    if not all(known.values()):
        return False
    twice = {name: (2 * shape[0], *shape[1:]) for name, shape in known.items()}
    once = infer_shapes(plan, known)
    try:
        shapes = infer_shapes(plan, twice)
    except InputError:
        return False
    doubled = all(shapes[n] == (2 * once[n][0], *once[n][1:]) for n in plan.outputs if once[n])
    return doubled and _images(plan, shapes) > 1 and images_apart(plan, shapes)


def _idle(parts: int, threads: int) -> float:
    """The share of the threads' time that goes by waiting for the last of equally long parts."""
    return 1 - parts / (threads * math.ceil(parts / threads))


def _images(plan: p.Plan, shapes: Mapping[str, Shape]) -> int:
    """The size of the first axis that all inputs and outputs have in common, else 1."""
    ends = [shapes[name] for name in (*plan.inputs, *plan.outputs)]
    first = {shape[0] if shape else 1 for shape in ends}
    return first.pop() if len(first) == 1 else 1


def images_apart(plan: p.Plan, shapes: Mapping[str, Shape]) -> bool:
    """Whether every tensor's first axis is the batch and no image depends on another.

    So the plan computes, for a part of the batch, that part of the outputs. Dynamic exponents count
    as dependent, as do float islands.
    """
    if any(fmt is not None and fmt.dynamic for fmt in plan.formats.values()):
        return False
    constants = {op.out for op in plan.operators if isinstance(op, p.Constant)}
    return all(
        not isinstance(operator, p.Island) and operator.images_apart(shapes, constants)
        for operator in plan.operators
    )
