"""Cut a plan at its float islands: all-integer plans and islands in turn, with float32 tensors between them.

An 8-bit tensor that is needed behind an island crosses as float32: dequantised and quantised again it holds
the same integers, because both steps are exact inverses on values of the format.
"""

from dataclasses import dataclass, field

from sub8.engine.assemble import operator_inputs
from sub8.engine.plan import Constant, Dequantize, Island, Operator, Plan, Quantize
from sub8.errors import UnsupportedModelError
from sub8.numerics.dfp import Format

Segment = Plan | Island


@dataclass
class _Draft:
    operators: list[Operator] = field(default_factory=list)
    formats: dict[str, Format | None] = field(default_factory=dict)
    inputs: dict[str, None] = field(default_factory=dict)
    outputs: dict[str, None] = field(default_factory=dict)


def cut_at_islands(plan: Plan) -> tuple[Segment, ...]:
    """The pieces in execution order; a plan without islands is its own single piece.

    Raises UnsupportedModelError where a signed tensor with a dynamic exponent would have to cross.
    """
    if not plan.islands():
        return (plan,)
    level = _levels(plan)
    drafts = [_Draft() for _ in range(max(level.values(), default=0) + 1)]
    constants = {op.out: op for op in plan.operators if isinstance(op, Constant)}
    for operator in plan.operators:
        if isinstance(operator, (Island, Constant)):
            continue
        at = level[operator.out]
        draft = drafts[at]
        for name in dict.fromkeys(operator_inputs(operator)):
            if name in draft.formats:
                continue
            if name in constants:
                draft.operators.append(constants[name])
                draft.formats[name] = plan.formats[name]
            else:
                _bring(plan, drafts, level, name, at)
        draft.operators.append(operator)
        draft.formats[operator.out] = plan.formats[operator.out]
    for island in plan.islands():
        for name in island.inputs:
            _export(drafts, level, name)
    for name in plan.outputs:
        _export(drafts, level, name)
    pieces: list[Segment] = []
    for at, draft in enumerate(drafts):
        if draft.operators:
            inputs, outputs = tuple(draft.inputs), tuple(draft.outputs)
            pieces.append(
                Plan(inputs, outputs, tuple(draft.operators), draft.formats, plan.metadata)
            )
        pieces += [island for island in plan.islands() if level[island.outputs[0]] == at + 1]
    return tuple(pieces)


def _levels(plan: Plan) -> dict[str, int]:
    """By tensor: the number of islands on the longest way to it. An island's results are behind it."""
    level = dict.fromkeys(plan.inputs, 0)
    for operator in plan.operators:
        at = max((level[name] for name in operator_inputs(operator)), default=0)
        if isinstance(operator, Island):
            level.update(dict.fromkeys(operator.outputs, at + 1))
        else:
            level[operator.out] = at
    return level


def _export(drafts: list[_Draft], level: dict[str, int], name: str) -> None:
    """Make a float32 tensor an output of the piece that computes it."""
    draft = drafts[level[name]]
    if any(not isinstance(op, Island) and op.out == name for op in draft.operators):
        draft.outputs[name] = None


def _bring(plan: Plan, drafts: list[_Draft], level: dict[str, int], name: str, at: int) -> None:
    """Make a tensor from outside known in piece ``at``."""
    draft, fmt = drafts[at], plan.formats[name]
    if fmt is None:
        draft.inputs[name] = None
        draft.formats[name] = None
        _export(drafts, level, name)
        return
    if fmt.dynamic and fmt.signed:
        raise UnsupportedModelError(
            f"tensor {name!r}: a signed tensor with a dynamic exponent is used behind a float island; "
            "quantise it with a static exponent"
        )
    real = f"{name}.real"
    source = drafts[level[name]]
    if real not in source.formats:
        source.operators.append(Dequantize(name=name, x=name, out=real))
        source.formats[real] = None
        source.outputs[real] = None
    draft.inputs[real] = None
    draft.formats[real] = None
    draft.operators.append(Quantize(name=name, x=real, out=name))
    draft.formats[name] = fmt
