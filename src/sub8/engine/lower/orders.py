"""In what order the elements of 8-bit tensors of four axes lie: ``[B, H, W, C]`` for convolutions
and pooling, row-major where neither reads or makes them (products, linear layers, attention).
"""

from collections.abc import Sequence

from sub8.engine.plan import operators as p
from sub8.numerics.dfp import Format

# Whatever the order is, operands and result have the same.
_SAME_ORDER = (
    p.Add, p.Mul, p.Table, p.Reformat, p.Concat, p.Slice, p.Pad, p.Border, p.Repeat,
)  # fmt: skip
_CHANNELS_LAST = (p.Conv, p.Pool, p.Interpolate, p.Blocks)


def row_major_tensors(plan: p.Plan) -> frozenset[str]:
    """Names of the tensors that lie row-major, whatever their shapes.

    Tensors that an element-wise operator joins lie in one order, so that it is decided for sets of
    them. A set that has a tensor with an exponent per image, or one of a convolution or a pooling,
    lies with its channels last.
    """
    parent = {name: name for name in plan.formats}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    fixed: list[str] = [name for name, fmt in plan.formats.items() if _is_dynamic(fmt)]
    for operator in plan.operators:
        if isinstance(operator, _SAME_ORDER):
            for name in operator.inputs:
                parent[root(name)] = root(operator.out)
        elif isinstance(operator, _CHANNELS_LAST):
            fixed += [*operator.inputs, operator.out]
    channels_last = {root(name) for name in fixed}
    return frozenset(name for name in plan.formats if root(name) not in channels_last)


def views(plan: p.Plan, run: Sequence[p.Operator]) -> frozenset[str]:
    """Names of transposed tensors that need not be made: only products of the same ``run`` read
    them, and products read elements in any order.
    """
    within = {name for op in run if isinstance(op, p.MatMul) for name in op.inputs}
    elsewhere = set(plan.outputs)
    inside = set(map(id, run))
    for operator in plan.operators:
        if not isinstance(operator, p.MatMul) or id(operator) not in inside:
            elsewhere.update(operator.inputs)
    return frozenset(within - elsewhere)


def _is_dynamic(fmt: Format | None) -> bool:
    return fmt is not None and fmt.dynamic
