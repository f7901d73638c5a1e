"""Whether a float program gives a plan's results exactly, operator by operator."""

from sub8.engine.plan import operators as p
from sub8.engine.plan.operators.values import Values
from sub8.engine.plan.reference import Environment


def float32_is_exact(plan: p.Plan, tensors: Environment) -> bool:
    """Whether float32 gives every operator's result to the bit.

    tensors: of one run (``reference.run_tensors``). False where a scale is no power of two, too.
    """
    values = Values(tensors, plan.formats)
    return all(
        isinstance(operator, p.Island) or operator.exact_in_float32(values)
        for operator in plan.operators
    )
