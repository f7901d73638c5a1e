"""A plan against ONNX Runtime operator by operator: both start every operator from the same 8-bit
tensors.

Where float32 cannot give a network's sums exactly, a rounding that falls the other way changes the
inputs of all that follows, and whole networks drift apart although each operator is right. So the
graph is cut: every tensor that a plan rounds becomes an input of the model, given as the plan's
integers, and an output, as ONNX Runtime computes it from the given ones. The two may then differ by
one step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.engine.plan import operators as p
from sub8.engine.plan.reference import Environment
from sub8.engine.reader.prepare import Everything, prepare
from sub8.graph.operator_form import use_unsigned_weights
from sub8.graph.quantization import OPERATOR_FORM
from sub8.numerics.accumulators import aligned_integers, finest_exponent
from sub8.numerics.comparison import differences
from sub8.numerics.dfp import Format
from sub8.oracle import OnnxRuntime

ROUNDING = 2.0**-24  # of one float32 operation, relative
FLOAT_TOLERANCE = 1e-5  # of float nodes behind given tensors, relative
_ROUNDING = OPERATOR_FORM | {"QuantizeLinear"}


@dataclass(frozen=True)
class Difference:
    """What an operator gives and what ONNX Runtime gives on the same inputs.

    steps: the largest difference in steps of the result's scale. wrong: elements that lie further
    apart than one step and the rounding of float32 sums allow.
    """

    operator: str
    steps: int
    wrong: int


class OperatorCheck:
    """ONNX Runtime on a Q/DQ model that is cut at every tensor its plan rounds.

    plan: of ``model``, with the weights as read. Raises UnsupportedModelError where ONNX Runtime
    cannot run the model.
    """

    def __init__(self, model: ir.Model, plan: p.Plan, threads: int | None = None):
        self._plan = plan
        prepared = prepare(model, leave=Everything()).model
        use_unsigned_weights(prepared)
        self._cut = _cut_names(prepared, plan)
        self._scales = _scale_names(prepared, self._cut, plan)
        self._runtime = OnnxRuntime(
            _cut_model(prepared, self._cut, self._scales, plan), threads=threads, optimise=False
        )

    def differences(
        self, inputs: Mapping[str, NDArray[np.float32]], tensors: Environment
    ) -> list[Difference]:
        """Every operator and output whose results are not equal.

        tensors: the plan's own, of a run on ``inputs``.
        """
        given: dict[str, NDArray[Any]] = dict(inputs)
        for name, place in self._cut.items():
            given[place] = tensors[name].values
        for name, (_, place) in self._scales.items():
            given[place] = _scale_of(tensors, name)
        results = self._runtime.run_all({name: given[name] for name in self._runtime.inputs})
        found = []
        for operator in self._plan.operators:
            for name in operator.outputs:
                if name in self._cut or name in self._plan.outputs:
                    found.append(self._difference(operator, name, results, tensors))
        return [difference for difference in found if difference.steps or difference.wrong]

    def _difference(
        self,
        operator: p.Operator,
        name: str,
        results: Mapping[str, NDArray[Any]],
        tensors: Environment,
    ) -> Difference:
        ours, theirs = tensors[name].values, results[name]
        if ours.shape != theirs.shape:
            return Difference(operator.name, 0, max(ours.size, theirs.size))
        rounding = _sum_rounding(operator, tensors, self._plan.formats)
        fmt = self._plan.formats[name]
        if fmt is None:
            if isinstance(operator, p.Layer):
                allowed = rounding + _bias_rounding(operator, tensors, self._plan.formats)
            elif isinstance(operator, p.MatMul):
                allowed = rounding
            else:
                allowed = FLOAT_TOLERANCE * _largest(theirs)
            return Difference(operator.name, 0, _apart(ours, theirs, allowed))
        if name in self._scales:
            step = _scale_of(tensors, name)
            other = results[self._scales[name][0]].reshape(-1)
            apart = np.abs(_scaled(ours, step) - _scaled(theirs, other))
            apart = _scaled(apart, 1 / np.maximum(step, other))
            allowed = rounding / float(step.min())
        else:
            apart = np.abs(ours.astype(np.int64) - theirs.astype(np.int64)).astype(np.float64)
            assert fmt.scale is not None
            allowed = rounding / fmt.scale
        wrong = int((~(apart <= 1 + allowed)).sum())
        steps = math.ceil(float(np.nan_to_num(apart).max(initial=0.0)))
        return Difference(operator.name, steps, wrong)


def _cut_names(model: ir.Model, plan: p.Plan) -> dict[str, str]:
    """Tensors to cut at, and the names of the inputs that take their places."""
    values = {str(value.name): value for node in model.graph for value in node.outputs}
    taken = {*values, *(str(v.name) for v in model.graph.inputs), *model.graph.initializers}
    result = {}
    for operator in plan.operators:
        if isinstance(operator, (p.Island, p.Constant)) or operator.out not in values:
            continue
        producer = values[operator.out].producer()
        rounds = producer is not None and producer.op_type in _ROUNDING
        sums = isinstance(operator, (p.Layer, p.MatMul))
        if rounds or (sums and plan.formats[operator.out] is None):
            place = f"{operator.out}.given"
            while place in taken:
                place += "_"
            taken.add(place)
            result[operator.out] = place
    return result


def _scale_names(
    model: ir.Model, cut: Mapping[str, str], plan: p.Plan
) -> dict[str, tuple[str, str]]:
    """Of the dynamic tensors among them: the scale, and the name of the input that takes its
    place.
    """
    result = {}
    for node in model.graph:
        for value in node.outputs:
            fmt = plan.formats.get(str(value.name))
            if str(value.name) in cut and fmt is not None and fmt.dynamic:
                scale = node.inputs[1]
                assert scale is not None
                result[str(value.name)] = (str(scale.name), f"{cut[str(value.name)]}.scale")
    return result


def _cut_model(
    model: ir.Model,
    cut: Mapping[str, str],
    scales: Mapping[str, tuple[str, str]],
    plan: p.Plan,
) -> bytes:
    graph = model.graph
    values = {str(value.name): value for node in graph for value in node.outputs}
    for value in values.values():
        value.shape = None
    extra: dict[str, ir.Value] = {}

    def replace(name: str, place: str, dtype: ir.DataType, keep: ir.Node | None) -> None:
        value = values[name]
        given = ir.val(place, dtype=dtype)
        for user, index in tuple(value.uses()):
            if user is not keep:
                user.replace_input_with(index, given)
        graph.inputs.append(given)
        value.dtype = dtype
        if not value.is_graph_output():
            extra[name] = value

    for name, place in cut.items():
        fmt = plan.formats[name]
        replace(name, place, _dtype(fmt), None)
        if name in scales:
            replace(*scales[name], ir.DataType.FLOAT, values[name].producer())
    graph.outputs.extend(extra.values())
    return ir.to_proto(model).SerializeToString()


def _dtype(fmt: Format | None) -> ir.DataType:
    if fmt is None:
        return ir.DataType.FLOAT
    return ir.DataType.INT8 if fmt.signed else ir.DataType.UINT8


def _scale_of(tensors: Environment, name: str) -> NDArray[np.float32]:
    exponents = tensors[name].exponents
    assert exponents is not None
    return np.ldexp(np.float32(1), exponents).astype(np.float32)


def _scaled(values: NDArray[Any], scale: NDArray[np.float32]) -> NDArray[np.float64]:
    """``values [B, ...]`` times the scale ``[B]`` of their image."""
    return values * scale.astype(np.float64).reshape(-1, *(1,) * (values.ndim - 1))


def _sum_rounding(
    operator: p.Operator, tensors: Environment, formats: Mapping[str, Format | None]
) -> float:
    """How far rounding in float32 may move sums of products, in real units; 0 for other operators.

    Roundings of K products add up like a random walk; four times that is allowed.
    """
    if isinstance(operator, p.MatMul):
        inner, largest = tensors[operator.a].values.shape[-1], 1.0
        for name in operator.inputs:
            fmt = formats[name]
            assert fmt is not None and fmt.scale is not None
            centred = np.abs(tensors[name].values.astype(np.int64) - fmt.zero_point)
            largest *= float(centred.max(initial=0)) * fmt.scale
        return inner * largest * ROUNDING * 4.0 * math.sqrt(inner + 2)
    if not isinstance(operator, p.Layer):
        return 0.0
    weight = np.abs(np.sum(aligned_integers(operator.terms), axis=0)).reshape(
        len(operator.bias), -1
    )
    unit, scale = _weight_units(operator), _scale_of_input(operator, tensors, formats)
    fmt, x = formats[operator.x], tensors[operator.x]
    assert fmt is not None
    largest = float(np.abs(x.values.astype(np.int64) - fmt.zero_point).max(initial=0)) * scale
    bias_unit = unit * scale
    if operator.bias_exponent is not None:
        bias_unit = np.full(len(weight), math.ldexp(1.0, operator.bias_exponent))
    magnitude = weight.sum(axis=1) * unit * largest + np.abs(operator.bias) * bias_unit
    walk = 4.0 * math.sqrt(weight.shape[1] + 2)
    return float(magnitude.max(initial=0.0)) * ROUNDING * walk


def _bias_rounding(
    operator: p.Layer, tensors: Environment, formats: Mapping[str, Format | None]
) -> float:
    """How far a bias lies from the integer that the plan holds: half a unit of the sums, unless
    powers of two without zero points let it keep an exponent of its own.
    """
    fmt = formats[operator.x]
    assert fmt is not None
    if fmt.is_power and operator.terms[0].channel_scale is None:
        return 0.0
    units = _weight_units(operator) * _scale_of_input(operator, tensors, formats)
    return 0.5 * float(units.max(initial=0.0))


def _weight_units(layer: p.Layer) -> NDArray[np.float64]:
    """The step of the weights of each output channel, in real units; that of a negative scale is
    positive too.
    """
    unit = np.full(len(layer.bias), math.ldexp(1.0, finest_exponent(layer.terms)))
    scale = layer.terms[0].channel_scale
    return unit if scale is None else unit * np.abs(scale.astype(np.float64))


def _scale_of_input(
    layer: p.Layer, tensors: Environment, formats: Mapping[str, Format | None]
) -> float:
    fmt = formats[layer.x]
    assert fmt is not None
    return float(_scale_of(tensors, layer.x).max()) if fmt.scale is None else float(fmt.scale)


def _largest(values: NDArray[Any]) -> float:
    if values.dtype.kind != "f" or not values.size:
        return 0.0
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0))


def _apart(ours: NDArray[Any], theirs: NDArray[Any], allowed: float) -> int:
    """Elements further apart than allowed; NaN beside NaN and equal infinities are not."""
    different = differences(ours, theirs)
    if ours.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            different &= ~(np.abs(ours.astype(np.float64) - theirs) <= allowed)
    return int(different.sum())
