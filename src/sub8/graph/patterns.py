"""Which nodes of a normalised graph have an integer form. One predicate per kind; no graph is
changed here.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants
from sub8.numerics.accumulators import LONGEST_PRODUCT

# Of a network's weights, what a layer behind a float island has if it is no layer to speak of.
SMALL_PART = 1e-3

ELEMENTWISE = frozenset({
    "Abs", "Ceil", "Celu", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid",
    "HardSwish", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu",
    "Sigmoid", "Sign", "Sin", "Cos", "Atan", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh",
    "ThresholdedRelu", "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu",
})  # fmt: skip
MOVES = frozenset({
    "Reshape", "Transpose", "Concat", "Slice", "Split", "Pad", "DepthToSpace", "SpaceToDepth",
    "Resize", "Expand",
})  # fmt: skip

MEANS = frozenset({"AveragePool", "GlobalAveragePool"})


def standard_nodes(graph: ir.Graph) -> Iterator[ir.Node]:
    """The nodes of ONNX's own domain, without those that are taken out on the way."""
    for node in list(graph):
        if node.domain == "" and node.graph is not None:
            yield node


def graph_inputs(graph: ir.Graph) -> list[ir.Value]:
    """What a caller must give: the inputs that are no initializers with a default."""
    return [value for value in graph.inputs if value.name not in graph.initializers]


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """The attribute's value, or ``default`` where the node has none of that name."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def activations(node: ir.Node) -> list[ir.Value]:
    """The node's inputs that are neither absent nor constant, each once, in order."""
    return list(
        dict.fromkeys(v for v in node.inputs if v is not None and not constants.is_constant(v))
    )


def is_float(value: ir.Value | None) -> bool:
    """Whether the tensor is there and known to be float32."""
    return value is not None and value.dtype == ir.DataType.FLOAT


def sizes(value: ir.Value | None) -> tuple[int | str | None, ...] | None:
    """The dimensions as inferred: numbers, names, or None for one that is unknown; None: unknown
    rank.
    """
    if value is None or value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)


def rank(value: ir.Value | None) -> int | None:
    """Number of axes, None where unknown."""
    return None if value is None or value.shape is None else len(value.shape)


def size(value: ir.Value | None, axis: int) -> int | None:
    """Number of elements along ``axis``, None where unknown or open."""
    if value is None or value.shape is None:
        return None
    found = value.shape[axis]
    return found if isinstance(found, int) else None


def is_layer(node: ir.Node) -> bool:
    """Conv (2-D), Gemm or MatMul in normal form, with a constant float32 weight and bias."""
    if node.domain != "" or node.op_type not in ("Conv", "Gemm", "MatMul"):
        return False
    weight = constants.array(node.inputs[1])
    if weight is None or weight.dtype != np.float32 or weight.size == 0:
        return False
    if constants.is_constant(node.inputs[0]):
        return False
    if node.op_type == "MatMul":
        return weight.ndim == 2 and rank(node.inputs[0]) is not None and rank(node.inputs[0]) != 1
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    outputs = weight.shape[0]
    if bias is not None:
        elements = constants.array(bias)
        if elements is None or elements.shape != (outputs,):
            return False
    if node.op_type == "Conv":
        return weight.ndim == 4 and attribute(node, "auto_pad", "NOTSET") == "NOTSET"
    return (
        attribute(node, "transB", 0) == 1
        and attribute(node, "transA", 0) == 0
        and attribute(node, "alpha", 1.0) == 1.0
        and attribute(node, "beta", 1.0) == 1.0
    )


def layer_weight(node: ir.Node) -> NDArray[np.float32]:
    """The weight of a layer node as float32 ``[O, I, *kernel]``."""
    weight = constants.array(node.inputs[1])
    assert weight is not None
    return np.ascontiguousarray(weight.T) if node.op_type == "MatMul" else weight


def layer_outputs(node: ir.Node) -> int:
    """The number O of a layer's output channels or features."""
    assert node.inputs[1] is not None and node.inputs[1].shape is not None
    found = size(node.inputs[1], 1 if node.op_type == "MatMul" else 0)
    assert found is not None
    return found


def bias_add(node: ir.Node) -> ir.Node | None:
    """The Add of a constant ``[O]`` that follows a MatMul layer, if it has one."""
    if node.op_type != "MatMul":
        return None
    user = only_user(node.outputs[0])
    if user is None or user.op_type != "Add" or user.domain != "":
        return None
    bias = constants.array(other_operand(user, node.outputs[0]))
    outputs = size(node.inputs[1], 1)
    return user if bias is not None and bias.shape == (outputs,) else None


def layer_bias(node: ir.Node) -> NDArray[np.float32]:
    """The bias of a layer node as float32 ``[O]``, zeros where it has none."""
    if node.op_type == "MatMul":
        add = bias_add(node)
        found = constants.array(other_operand(add, node.outputs[0])) if add is not None else None
    else:
        found = constants.array(node.inputs[2]) if len(node.inputs) > 2 else None
    return np.zeros(layer_weight(node).shape[0], np.float32) if found is None else found


def ends_layer(value: ir.Value | None) -> bool:
    """Whether ``value`` is a layer's result (bias included) that a single node reads."""
    node = None if value is None else value.producer()
    if value is None or node is None or only_user(value) is None:
        return False
    if is_layer(node):
        return bias_add(node) is None
    before = [v.producer() for v in activations(node)] if node.op_type == "Add" else []
    return any(p is not None and is_layer(p) and bias_add(p) is node for p in before)


def is_depthwise(node: ir.Node) -> bool:
    """A Conv with one input channel per group and more than one group."""
    return (
        node.op_type == "Conv"
        and attribute(node, "group", 1) > 1
        and layer_weight(node).shape[1] == 1
    )


def other_operand(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """The operand of a two-operand node that is not ``value``."""
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def only_user(value: ir.Value) -> ir.Node | None:
    """The one node that reads ``value``, None where the graph returns it or there is no or another
    reader.
    """
    uses = list(value.uses())
    if value.is_graph_output() or len(uses) != 1:
        return None
    user = uses[0].node
    return user if user.graph is value.graph else None


def is_read(value: ir.Value) -> bool:
    """Whether a node reads ``value`` or the graph returns it."""
    return bool(value.uses()) or value.is_graph_output()


def is_clamp(node: ir.Node) -> bool:
    """Relu, or Clip with constant (or absent) bounds."""
    if node.domain != "" or node.op_type not in ("Relu", "Clip"):
        return False
    bounds = [value for value in node.inputs[1:] if value is not None]
    return all(constants.scalar(bound) is not None for bound in bounds)


def is_elementwise(node: ir.Node) -> bool:
    """A float function applied element by element, whose constants are single numbers, or one a
    channel; of no computed number without axes, which has no images to have a scale for.
    """
    if node.domain != "" or node.op_type not in ELEMENTWISE or len(node.outputs) != 1:
        return False
    values = [value for value in node.inputs if value is not None]
    if not all(is_float(value) for value in (*values, node.outputs[0])):
        return False
    return all(
        constants.scalar(v) is not None or by_channel(node, v)
        if constants.is_constant(v)
        else rank(v) != 0
        for v in values
    )


def constant_operand(node: ir.Node) -> ir.Value | None:
    """The constant that an Add, Sub or Mul has beside one activation, where it is neither a number
    nor one a channel: it becomes an 8-bit tensor.
    """
    if node.domain != "" or node.op_type not in ("Add", "Sub", "Mul"):
        return None
    values = activations(node)
    found = [v for v in node.inputs if v is not None and constants.is_constant(v)]
    if len(values) != 1 or len(found) != 1 or (rank(values[0]) or 0) == 0:
        return None
    elements = constants.array(found[0])
    if elements is None or elements.dtype != np.float32 or elements.size == 0:
        return None
    if not is_float(values[0]) or not np.isfinite(elements).all():
        return None
    leading = elements.shape[0] if elements.ndim >= (rank(values[0]) or 0) else 1
    if leading not in (1, size(values[0], 0)):
        return None
    plain = constants.scalar(found[0]) is not None or by_channel(node, found[0])
    return None if plain else found[0]


def by_channel(node: ir.Node, constant: ir.Value) -> bool:
    """Whether a constant operand has one number for every channel of all others: axis 1 of four,
    else the last.
    """
    elements = constants.array(constant)
    shapes = {sizes(value) for value in activations(node)}
    axes = {None if shape is None else len(shape) for shape in shapes}
    if elements is None or elements.dtype != np.float32 or len(axes) != 1 or None in axes:
        return False
    count = next(iter(axes))
    assert count is not None
    channel = 1 if count == 4 else count - 1
    if count < 2 or varying_axis(elements.shape, count) != channel:
        return False
    return bool(np.isfinite(elements).all()) and all(
        shape is not None and shape[channel] == elements.size for shape in shapes
    )


def varying_axis(shape: tuple[int, ...], axes: int) -> int | None:
    """The one axis, of ``axes``, along which a constant that is broadcast has more than one
    element.
    """
    wide = [axis + axes - len(shape) for axis, size in enumerate(shape) if size != 1]
    return wide[0] if len(wide) == 1 and len(shape) <= axes else None


def is_product(node: ir.Node) -> bool:
    """MatMul of two float32 activations of at least two axes, whose sums fit 32 bits."""
    if node.domain != "" or node.op_type != "MatMul":
        return False
    a, b = node.inputs
    if any(not is_float(value) or constants.is_constant(value) for value in (a, b)):
        return False
    if (rank(a) or 0) < 2 or (rank(b) or 0) < 2:
        return False
    return max(size(a, -1) or 0, size(b, -2) or 0) <= LONGEST_PRODUCT


def is_pool(node: ir.Node) -> bool:
    """MaxPool, AveragePool (2-D, explicit padding), those over whole planes (the largest of known
    size) or linear Resize of rank-4 activations.
    """
    if node.domain != "" or not node.inputs or rank(node.inputs[0]) != 4:
        return False
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type == "GlobalMaxPool":
        return size(node.inputs[0], 2) is not None and size(node.inputs[0], 3) is not None
    if node.op_type == "Resize":
        return interpolation(node) is not None
    if node.op_type == "MaxPool":
        if any(is_read(indices) for indices in node.outputs[1:]):
            return False
        return attribute(node, "auto_pad", "NOTSET") == "NOTSET"
    return (
        node.op_type == "AveragePool"
        and attribute(node, "auto_pad", "NOTSET") == "NOTSET"
        and set(attribute(node, "dilations", (1,))) == {1}
    )


def grows(node: ir.Node) -> bool:
    """Whether an element-wise function's results may span many times the octaves of what it
    reads.
    """
    if node.op_type == "Mul":
        return not any(constants.is_constant(value) for value in node.inputs)
    exponent = constants.scalar(node.inputs[1]) if node.op_type == "Pow" else None
    return node.op_type == "Exp" or (exponent is not None and abs(exponent) > 1)


def is_move(node: ir.Node) -> bool:
    """Data movement whose shape arguments are constants."""
    if node.domain != "" or node.op_type not in MOVES:
        return False
    values = list(node.inputs)
    if not is_float(values[0]) or constants.is_constant(values[0]) or rank(values[0]) == 0:
        return False
    if node.op_type == "Concat":
        return all(is_float(v) and not constants.is_constant(v) for v in values)
    if node.op_type == "Resize":
        return resize_factors(node) is not None
    arguments = [constants.array(value) for value in values[1:] if value is not None]
    if any(argument is None for argument in arguments):
        return False
    if node.op_type == "Expand":
        return expand_factors(node) is not None
    if node.op_type == "Reshape":
        return attribute(node, "allowzero", 0) == 0
    if node.op_type == "Slice":
        steps = constants.integers(values[4]) if len(values) > 4 and values[4] is not None else (1,)
        return steps is not None and min(steps, default=1) > 0
    if node.op_type == "Pad":
        if attribute(node, "mode", "constant") != "constant":
            pads = constants.integers(node.inputs[1])
            return pads is not None and min(pads) >= 0
        return _fill_has_integer_form(node)
    return True


def expand_factors(node: ir.Node) -> tuple[int, ...] | None:
    """How often an Expand to a constant shape repeats every element along each axis; None where
    that is not known.
    """
    before, target = sizes(node.inputs[0]), constants.integers(node.inputs[1])
    if before is None or target is None or len(target) != len(before) or min(target) < 1:
        return None
    factors = [1 if size in (1, old) else size for old, size in zip(before, target, strict=True)]
    known = all(f == 1 or old == 1 for f, old in zip(factors, before, strict=True))
    return tuple(factors) if known else None


def resize_factors(node: ir.Node) -> tuple[int, ...] | None:
    """How often a Resize repeats every element along each axis; None where it does more than that.

    The nearest element by whole factors, whichever way the coordinates are counted.
    """
    x = node.inputs[0]
    axes = rank(x)
    if attribute(node, "mode", "nearest") != "nearest" or axes is None:
        return None
    if attribute(node, "antialias", 0) or "axes" in node.attributes:
        return None
    factors = _factors(node, axes)
    if factors is None or any(factor < 1 for factor in factors):
        return None
    coordinates = attribute(node, "coordinate_transformation_mode", "half_pixel")
    rounding = attribute(node, "nearest_mode", "round_prefer_floor")
    centred = coordinates in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
    repeats = (
        (centred and rounding.startswith("round"))
        or (coordinates == "asymmetric" and rounding == "floor")
        or (coordinates == "asymmetric" and rounding == "round_prefer_floor" and max(factors) <= 2)
    )
    return factors if repeats else None


def interpolation(node: ir.Node) -> tuple[tuple[int, int], bool] | None:
    """The whole factors by which a linear Resize enlarges ``[B, C, H, W]``, and whether positions
    count from the centres of elements; None where it does more than that.
    """
    if attribute(node, "mode", "nearest") != "linear" or rank(node.inputs[0]) != 4:
        return None
    if attribute(node, "antialias", 0) or "axes" in node.attributes:
        return None
    coordinates = attribute(node, "coordinate_transformation_mode", "half_pixel")
    factors = _factors(node, 4)
    if factors is None or factors[:2] != (1, 1) or not 1 <= min(factors) <= max(factors) <= 64:
        return None
    if coordinates in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"):
        return (factors[2], factors[3]), True
    return ((factors[2], factors[3]), False) if coordinates == "asymmetric" else None


def _factors(node: ir.Node, axes: int) -> tuple[int, ...] | None:
    """The whole factors by which a Resize enlarges each axis."""
    given = [*node.inputs[1:], None, None, None][:3]
    scales, wanted = constants.array(given[1]), constants.integers(given[2])
    if scales is not None and scales.size:
        whole = scales.size == axes and np.all(scales == np.rint(scales))
        return tuple(int(scale) for scale in scales) if whole else None
    if attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    before, after = sizes(node.inputs[0]), sizes(node.outputs[0])
    if wanted is not None:
        after = wanted
    if before is None or after is None or len(before) != len(after):
        return None
    found = []
    for old, new in zip(before, after, strict=True):
        if old == new and old is not None:
            found.append(1)
        elif isinstance(old, int) and isinstance(new, int) and old > 0 and new % old == 0:
            found.append(new // old)
        else:
            return None
    return tuple(found)


def _fill_has_integer_form(node: ir.Node) -> bool:
    """Whether the padding may have the input's format: zero, or any number that only maxima see and
    pass over.

    Another fill might lie beyond the format's range.
    """
    fill = constants.array(node.inputs[2]) if len(node.inputs) > 2 else None
    if fill is None or np.all(fill == 0):
        return True
    readers = node.outputs[0].consumers()
    return bool(np.all(fill < 0)) and all(reader.op_type == "MaxPool" for reader in readers)


def same_shape(a: ir.Value | None, b: ir.Value | None) -> bool:
    """Whether nothing that is known about the two shapes speaks against their being equal."""
    first, second = sizes(a), sizes(b)
    if first is None or second is None or len(first) != len(second):
        return False
    return all(
        p == q or (not (isinstance(p, int) and isinstance(q, int)) and 1 not in (p, q))
        for p, q in zip(first, second, strict=True)
    )


def reshape_target(before: ir.Value | None, after: ir.Value | None) -> tuple[int, ...] | None:
    """What Reshape's second input may be, by the inferred shapes: sizes of one name at one place
    are copied (0), one may stay open (-1); None where more would, or the rank is unknown.
    """
    old, new = sizes(before), sizes(after)
    if new is None:
        return None
    target = []
    for place, size in enumerate(new):
        if isinstance(size, int):
            target.append(size)
        elif size is not None and old is not None and place < len(old) and old[place] == size:
            target.append(0)
        else:
            target.append(-1)
    return tuple(target) if target.count(-1) <= 1 else None
