"""How much each layer computes and holds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import onnx_ir as ir

from sub8.errors import InputError
from sub8.graph import constants, patterns
from sub8.graph.data_sizes import data_sized
from sub8.graph.inference import infer_shapes

WEIGHTED = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True, kw_only=True)
class LayerSize:
    """A layer whose weight does not depend on the input.

    name, operator: of its node. shape: of the weight, ``[O, I, *kernel]`` (I: input channels of one
    convolution group). input, output: shapes of the activations, batch included. macs:
    multiply-accumulates of one image (padding counted like the rest)."""

    name: str
    operator: str
    shape: tuple[int, ...]
    input: tuple[int, ...]
    output: tuple[int, ...]
    macs: int


@dataclass(frozen=True, kw_only=True)
class LayerCount(LayerSize):
    """A Conv, Gemm or MatMul. parameters: weights and biases."""

    parameters: int

    def size(self) -> dict[str, Any]:
        """The fields of ``LayerSize``."""
        return {field.name: getattr(self, field.name) for field in fields(LayerSize)}

    def replaced(self, cluster: int) -> float:
        """The part of the layer's multiplications that clusters of N = ``cluster`` input channels
        replace.

        A cluster needs one multiplication for its N*K*K accumulations: 1 - 1/(N*K*K), with N at
        most I; a shorter last cluster counts as the one multiplication that it needs.
        """
        inputs, kernel = self.shape[1], math.prod(self.shape[2:])
        return 1.0 - -(-inputs // min(cluster, inputs)) / (inputs * kernel)


def count_layers(
    model: ir.Model, input_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]]
) -> list[LayerCount]:
    """Count every weighted layer of a float or Q/DQ model for inputs of ``input_shape`` (batch
    first).

    A lone shape is the first input's; inputs without one keep what they declare. In graph order.
    Layers whose size depends on the data, or cannot be inferred, are left out.
    Raises InputError where the shape does not fit the model.
    """
    if not isinstance(input_shape, Mapping):
        names = [str(value.name) for value in patterns.graph_inputs(model.graph)]
        input_shape = dict.fromkeys(names[:1], input_shape)
    model = _with_shapes(model, input_shape)
    images = next((shape[0] for shape in input_shape.values() if shape), 1)
    fixed: set[ir.Value] = set()
    for node in model.graph:
        read = [value for value in node.inputs if value is not None]
        if all(constants.is_constant(value) or value in fixed for value in read) and read:
            fixed.update(node.outputs)
    counts = []
    open_sizes = data_sized(model.graph)
    for node in model.graph:
        if node.outputs[0] in fixed or node.outputs[0] in open_sizes:
            continue
        if node.domain != "" or node.op_type not in WEIGHTED:
            continue
        weight = node.inputs[1]
        if weight is not None and (constants.is_constant(weight) or weight in fixed):
            count = _count(node, weight, _has_bias(node, fixed), images)
            if count is not None:
                counts.append(count)
    return counts


def replaced_multiplications(counts: list[LayerCount], cluster: int, full: frozenset[str]) -> float:
    """The part of a network's multiplications that ternary clusters replace, 0..1.

    The denominator is the multiply-accumulates of all layers; layers named in ``full`` (8-bit ones)
    replace none (arXiv 1701.08978, section 3). The paper's "~85 %" and "~98 %" are ResNet-101 at
    224 x 224 with only the first layer in ``full`` (N = 4: 84.7 %, N = 64: 97.6 %; ResNet-50: 82.9
    % and 96.2 %), the classifier counted with the rest; an 8-bit classifier lowers them by less
    than 0.05 points."""
    total = sum(count.macs for count in counts)
    saved = sum(count.macs * count.replaced(cluster) for count in counts if count.name not in full)
    return saved / total if total else 0.0


def _with_shapes(model: ir.Model, shapes: Mapping[str, tuple[int, ...]]) -> ir.Model:
    model = model.clone()
    inputs = {str(value.name): value for value in patterns.graph_inputs(model.graph)}
    if not inputs:
        raise InputError("the model has no input")
    for name, shape in shapes.items():
        declared = inputs[name].shape
        if declared is not None and (
            len(declared) != len(shape)
            or any(isinstance(d, int) and d != s for d, s in zip(declared, shape, strict=True))
        ):
            raise InputError(f"input {name!r} is declared {declared}, not {list(shape)}")
        inputs[name].shape = ir.Shape(shape)
    for value in model.graph.outputs:
        value.shape = None
    infer_shapes(model)
    return model


def _is_static(value: ir.Value) -> bool:
    return value.shape is not None and all(isinstance(size, int) for size in value.shape)


def _static(value: ir.Value) -> tuple[int, ...] | None:
    if value.shape is None or not _is_static(value):
        return None
    return tuple(size for size in value.shape if isinstance(size, int))


def _has_bias(node: ir.Node, fixed: set[ir.Value]) -> bool:
    """A third input, or for MatMul a following Add of something constant."""
    if node.op_type != "MatMul":
        return len(node.inputs) > 2 and node.inputs[2] is not None
    user = patterns.only_user(node.outputs[0])
    if user is None or user.op_type != "Add" or user.domain != "":
        return False
    others = [value for value in user.inputs if value is not None and value is not node.outputs[0]]
    return any(constants.is_constant(value) or value in fixed for value in others)


def _count(node: ir.Node, weight: ir.Value, biased: bool, batch: int) -> LayerCount | None:
    shape = stored = _static(weight)
    if stored is None or shape is None:
        return None
    if node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not patterns.attribute(node, "transB", 0)
    ):
        shape = (stored[-1], stored[-2]) if len(stored) > 1 else (1, *stored)
    read: tuple[int, ...] | None
    output: tuple[int, ...] | None
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    if node.op_type == "Gemm" and not (_is_static(x) and _is_static(y)):
        # Behind nodes whose shape depends on data; the rows are still the images.
        read = (batch, shape[1])
        output = (batch, shape[0])
    else:
        read, output = _static(x), _static(y)
    if read is None or output is None:
        return None
    return LayerCount(
        name=str(node.name),
        operator=node.op_type,
        shape=shape,
        input=read,
        output=output,
        macs=math.prod(output[1:]) * math.prod(shape[1:]),
        parameters=math.prod(stored) + (shape[0] if biased else 0),
    )
