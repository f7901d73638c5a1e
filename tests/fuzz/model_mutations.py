"""Random changes of an ONNX model's structure: the hostile, the damaged and the merely odd."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
from mutations import NOTHING, VALUES, changed_bytes, changed_value, dumped
from onnx import AttributeProto, TensorProto, helper, numpy_helper

INTEGERS = (
    0, 1, -1, 2, 3, -2, 7, 100, 2**15, 2**31 - 1, 2**31, -(2**31), 2**40, 2**62, 2**63 - 1,
    -(2**63),
)  # fmt: skip
NUMBERS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 0.3, 2.0**-30, 2.0**30, 1e38, -1e38, 1e-45, float("inf"),
    float("-inf"), float("nan"),
)  # fmt: skip
NAMES = (
    "", " ", "\x1b[2J\x1b[31m", "[bold]x[/bold]", "[/]", "a\nsub8: error: forged", "\r", "\0",
    "\x9b2J", "\u202egnp", "\ud7ff\uffff", "A" * 65536, "é" * 3000, ":smile:", "%s%n", "/", "..",
    "x", "y", "conv1", "sub8.2^-9", "{0}",
)  # fmt: skip
OPERATORS = (
    "Relu", "Neg", "Abs", "Sqrt", "Log", "Exp", "Erf", "Sigmoid", "Softmax", "Identity", "Clip",
    "Cast", "Conv", "Gemm", "MatMul", "Add", "Mul", "Div", "Sub", "Max", "Pow", "Concat", "Split",
    "Slice", "Pad", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile",
    "Gather", "Resize", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean",
    "BatchNormalization", "ConstantOfShape", "Range", "Shape", "QuantizeLinear",
    "DequantizeLinear", "DynamicQuantizeLinear", "ConvTranspose", "LSTM", "NonZero", "TopK",
    "Where", "Loop", "If", "Nonsense",
)  # fmt: skip
PLAUSIBLE = (
    ("Relu", {}), ("LeakyRelu", {"alpha": 0.25}), ("Neg", {}), ("Sigmoid", {}), ("Identity", {}),
    ("Tanh", {}), ("Softmax", {"axis": 1}), ("Clip", {}), ("Transpose", {}), ("HardSwish", {}),
    ("Flatten", {}), ("Dropout", {}), ("Floor", {}), ("Cast", {"to": TensorProto.FLOAT16}),
    ("Cast", {"to": TensorProto.FLOAT}), ("Cast", {"to": 7}), ("Shape", {}), ("Squeeze", {}),
    ("GlobalMaxPool", {}), ("Reciprocal", {}), ("Sqrt", {}), ("IsNaN", {}), ("MaxPool",
    {"kernel_shape": [3, 3], "pads": [1] * 4}), ("AveragePool", {"kernel_shape": [2, 2],
    "ceil_mode": 1}), ("LpPool", {"kernel_shape": [2, 2]}), ("Softplus", {}), ("ReduceSum", {}),
    ("ReduceMax", {"keepdims": 0}), ("DepthToSpace", {"blocksize": 2}), ("SpaceToDepth",
    {"blocksize": 2}), ("Mish", {}), ("NonZero", {}),
)  # fmt: skip
TYPES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 16, 17, 21, 22, 23, 99, -1)
LOCATIONS = (
    "", ".", "..", "../secret", "/etc/passwd", "/dev/zero", "weights.bin", "missing.bin", "m.onnx",
    "a/../weights.bin", "\0", "\x1b[2J", "W" * 65536, "sub", "weights.bin/x", "~", "//etc//passwd",
)  # fmt: skip
Model = onnx.ModelProto


def changed_model(
    data: bytes, random: Random, without: frozenset[int] = NOTHING
) -> tuple[str, bytes]:
    """``data`` with one to three changes of its structure, but for those of the numbers
    ``without``; what they were.
    """
    model = Model.FromString(data)
    done: list[str] = []
    for number in range(random.choice((1, 1, 1, 2, 3))):
        change = random.choice(CHANGES)
        own = Random(random.getrandbits(64))
        if number in without:
            continue
        try:
            change(model, own)
        except (*_NOTHING_TO_CHANGE, OSError, onnx.checker.ValidationError):
            continue
        done.append(change.__name__.lstrip("_"))
    return "+".join(done) or "nothing", model.SerializeToString()


# RuntimeError: of ONNX, of elements that lie in a file of an impossible name.
_NOTHING_TO_CHANGE = (IndexError, StopIteration, ValueError, TypeError, RuntimeError)


def _node(model: Model, random: Random) -> onnx.NodeProto:
    return random.choice(model.graph.node)


def _tensor_names(model: Model) -> list[str]:
    names = [name for node in model.graph.node for name in node.output]
    return [*names, *(v.name for v in [*model.graph.input, *model.graph.initializer])]


def _drop_node(model: Model, random: Random) -> None:
    del model.graph.node[random.randrange(len(model.graph.node))]


def _bypass_node(model: Model, random: Random) -> None:
    place = random.randrange(len(model.graph.node))
    node = model.graph.node[place]
    source, results = node.input[0], set(node.output)
    del model.graph.node[place]
    for other in model.graph.node:
        for index, name in enumerate(other.input):
            if name in results:
                other.input[index] = source


def _repeat_node(model: Model, random: Random) -> None:
    node = onnx.NodeProto()
    node.CopyFrom(_node(model, random))
    if random.random() < 0.7:
        renamed = {name: f"{name}.again" for name in node.output}
        del node.output[:]
        node.output.extend(renamed.values())
        reader = _node(model, random)
        for index, name in enumerate(reader.input):
            reader.input[index] = renamed.get(name, name)
    model.graph.node.insert(random.randrange(len(model.graph.node) + 1), node)


def _rewire(model: Model, random: Random) -> None:
    node = _node(model, random)
    name = random.choice([*_tensor_names(model), "", "nobody", *node.output])
    node.input[random.randrange(len(node.input))] = name


def _exchange_inputs(model: Model, random: Random) -> None:
    one, other = _node(model, random), _node(model, random)
    i, j = random.randrange(len(one.input)), random.randrange(len(other.input))
    one.input[i], other.input[j] = other.input[j], one.input[i]


def _number_of_inputs(model: Model, random: Random) -> None:
    node = _node(model, random)
    match random.randrange(4):
        case 0:
            del node.input[random.randrange(len(node.input))]
        case 1:
            node.input.append(random.choice(_tensor_names(model)))
        case 2:
            del node.input[:]
        case _:
            node.input.extend([node.input[0]] * random.choice((3, 300)))


def _outputs_of_node(model: Model, random: Random) -> None:
    node = _node(model, random)
    match random.randrange(3):
        case 0:
            del node.output[:]
        case 1:
            node.output.append(random.choice(("more", "", node.output[0])))
        case _:
            node.output[0] = random.choice(_tensor_names(model))


def _operator(model: Model, random: Random) -> None:
    node = _node(model, random)
    if random.random() < 0.8:
        node.op_type = random.choice((*OPERATORS, *NAMES))
    else:
        node.domain = random.choice(
            ("ai.onnx", "com.microsoft", "sub8", "local", "ai.onnx.ml", *NAMES)
        )


def _insert(model: Model, random: Random) -> None:
    operator, attributes = random.choice(PLAUSIBLE)
    _insert_node(model, random, lambda x: helper.make_node(operator, [x], ["put"], **attributes))


def _insert_with_constant(model: Model, random: Random) -> None:
    operator = random.choice((
        "Add", "Mul", "Div", "Sub", "Max", "Min", "Pow", "PRelu", "Clip", "Reshape", "Expand",
        "Tile", "Slice", "Gather", "Pad", "Concat", "Unsqueeze", "MatMul", "Resize", "Mod",
        "Greater", "TopK", "Squeeze",
    ))  # fmt: skip
    if operator in ("Reshape", "Expand", "Tile", "Gather", "Pad", "Unsqueeze", "TopK", "Squeeze"):
        length = random.choice((0, 1, 1, 2, 4, 8))
        value: Any = np.array(
            [random.choice((0, 1, -1, 2, *INTEGERS)) for _ in range(length)], np.int64
        )
    else:
        shape = random.choice(
            ((), (1,), (8, 1, 1), (1, 8, 1, 1), (8,), (6, 6), (0,), (1, 1, 1, 1, 1))
        )
        value = np.full(shape, random.choice(NUMBERS), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(value, "put.c"))
    count = random.choice((1, 1, 2))
    attributes = {"axis": random.choice((0, 1, -1, 5))} if operator == "Concat" else {}
    _insert_node(
        model,
        random,
        lambda x: helper.make_node(operator, [x, *["put.c"] * count], ["put"], **attributes),
    )


def _insert_node(model: Model, random: Random, made: Callable[[str], onnx.NodeProto]) -> None:
    place = random.randrange(len(model.graph.node))
    reader = model.graph.node[place]
    index = random.randrange(len(reader.input))
    name = f"put{len(model.graph.node)}"
    node = made(reader.input[index])
    node.name = node.output[0] = name
    for i, read in enumerate(node.input):
        if read == "put.c":
            node.input[i] = model.graph.initializer[-1].name = f"{name}.c"
    reader.input[index] = name
    model.graph.node.insert(place, node)


def _insert_branch(model: Model, random: Random) -> None:
    """An If or Loop, its body nested."""

    def body(depth: int, x: str) -> onnx.GraphProto:
        inner = f"inner{depth}"
        node = helper.make_node("Relu", [x], [inner], name=inner)
        if depth:
            deeper = body(depth - 1, x)
            node = helper.make_node(
                "If", ["which"], [inner], then_branch=deeper, else_branch=deeper
            )
        result = helper.make_tensor_value_info(inner, TensorProto.FLOAT, None)
        return helper.make_graph([node], f"body{depth}", [], [result])

    depth = random.choice((0, 0, 1, 6))
    kind = np.asarray(random.choice((True, True, False, 3, [True, False])))
    model.graph.initializer.append(numpy_helper.from_array(kind, "which"))
    _insert_node(
        model,
        random,
        lambda x: helper.make_node(
            "If", ["which"], ["put"], then_branch=body(depth, x), else_branch=body(0, x)
        ),
    )


def _attribute(model: Model, random: Random) -> None:
    """A value changed to a large, small or odd one."""
    node = random.choice([node for node in model.graph.node if node.attribute])
    attribute = random.choice(node.attribute)
    match attribute.type:
        case AttributeProto.INT:
            attribute.i = random.choice(INTEGERS)
        case AttributeProto.FLOAT:
            attribute.f = random.choice(NUMBERS)
        case AttributeProto.INTS:
            attribute.ints[random.randrange(len(attribute.ints))] = random.choice(INTEGERS)
        case AttributeProto.STRING:
            attribute.s = random.choice(NAMES).encode()
        case AttributeProto.TENSOR:
            _changed_tensor(attribute.t, random)


def _attribute_form(model: Model, random: Random) -> None:
    """An attribute's type, length, name, or one too many."""
    node = random.choice([node for node in model.graph.node if node.attribute])
    attribute = random.choice(node.attribute)
    match random.randrange(6):
        case 0:
            attribute.type = random.randrange(15)
        case 1:
            value = random.choice((1, 0.5, "text", [1, 2], [0.5], ["a"], [1] * 1000))
            attribute.CopyFrom(helper.make_attribute(attribute.name, value))
        case 2:
            attribute.ints[:] = random.choice(([], [1], [1, 1, 1], [1] * 9, list(INTEGERS)))
        case 3:
            attribute.name = random.choice((*NAMES, "axis", "group", "kernel_shape", "to"))
        case 4:
            node.attribute.append(attribute)
        case _:
            attribute.ref_attr_name = "outer"


def _likely_attribute(model: Model, random: Random) -> None:
    """An attribute that the operator knows, given a value that may be right."""
    node = _node(model, random)
    name, value = random.choice((
        ("auto_pad", random.choice(("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"))),
        ("pads", [random.randrange(4) for _ in range(4)]), ("strides", [random.choice((1, 2, 3, 0,
        100))] * 2), ("dilations", [random.choice((1, 2, 3, 0, 100))] * 2), ("group",
        random.choice((1, 2, 3, 4, 8))), ("kernel_shape", [random.choice((1, 2, 3, 5))] * 2),
        ("axis", random.choice((0, 1, 2, -1, 4, -5))), ("transA", 1), ("transB",
        random.randrange(2)), ("alpha", random.choice(NUMBERS)), ("beta", random.choice(NUMBERS)),
        ("block_size", random.choice((0, 1, 2, 3, 4, 2**31))), ("ceil_mode", 1),
        ("count_include_pad", 1), ("mode", random.choice(("nearest", "linear", "cubic", "reflect",
        "wrap"))), ("saturate", 0), ("coordinate_transformation_mode", random.choice(("asymmetric",
        "half_pixel", "tf_crop_and_resize"))), ("output_dtype", random.choice(TYPES[:-2])),
        ("noop_with_empty_axes", 1), ("allowzero", 1), ("storage_order", 1),
    ))  # fmt: skip
    for place, attribute in enumerate(node.attribute):
        if attribute.name == name:
            del node.attribute[place]
            break
    node.attribute.append(helper.make_attribute(name, value))


def _tensor(model: Model, random: Random) -> None:
    _changed_tensor(random.choice(model.graph.initializer), random)


def _changed_tensor(tensor: onnx.TensorProto, random: Random) -> None:
    match random.randrange(7):
        case 0:
            tensor.dims[random.randrange(len(tensor.dims))] = random.choice(INTEGERS)
        case 1:
            tensor.data_type = random.choice(TYPES)
        case 2:
            size = len(tensor.raw_data)
            tensor.raw_data = tensor.raw_data[: random.randrange(size)] or b"\1" * random.randrange(
                9
            )
        case 3:
            tensor.dims[:] = random.choice(([], [0], [1], [-1], [2**31, 2**31], [1] * 70))
        case 4:
            tensor.raw_data = changed_bytes(tensor.raw_data, random)
        case 5:
            tensor.name = random.choice((*NAMES, "x", "y"))
        case _:
            tensor.float_data.append(1.0)


def _elements(model: Model, random: Random) -> None:
    """Elements changed, of their own type and number."""
    tensor = random.choice(model.graph.initializer)
    values = numpy_helper.to_array(tensor).copy()
    if values.dtype == np.float32:
        if random.random() < 0.5:
            values.flat[random.randrange(values.size)] = random.choice(NUMBERS)
        else:
            with np.errstate(all="ignore"):
                values *= np.float32(random.choice((0, -1, 0.5, 2, 3, 2.0**40, 2.0**-40, 1.1)))
    elif values.dtype.kind in "iu" and values.dtype.itemsize <= 8:
        values.flat[random.randrange(values.size)] = random.choice(
            (0, 1, 127, np.iinfo(values.dtype).max)
        )
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _shape_of_tensor(model: Model, random: Random) -> None:
    """Elements as they are, or repeated, in a shape of their number."""
    tensor = random.choice(model.graph.initializer)
    values = numpy_helper.to_array(tensor)
    match random.randrange(5):
        case 0:
            values = values.reshape(-1)
        case 1:
            values = values[None]
        case 2:
            values = values.reshape(values.shape[::-1])
        case 3:
            values = values[: len(values) // 2]
        case _:
            values = np.concatenate([values, values], axis=random.randrange(values.ndim))
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))


def _scale(model: Model, random: Random) -> None:
    """A scale of a QuantizeLinear or DequantizeLinear, its number changed, or one of its own in its
    place.
    """
    node = random.choice([node for node in model.graph.node if node.op_type.endswith("zeLinear")])
    tensor = next(t for t in model.graph.initializer if t.name == node.input[1])
    values = numpy_helper.to_array(tensor)
    factor = random.choice(
        (2, 0.5, 2.0**10, 2.0**-10, 2.0**60, 2.0**-60, 3, 0.1, -1, 0, float("inf"))
    )
    with np.errstate(all="ignore"):
        changed = (values * np.float32(factor)).astype(values.dtype)
    name = f"scale{len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(changed, name))
    node.input[1] = name


def _zero_point(model: Model, random: Random) -> None:
    node = random.choice([node for node in model.graph.node if node.op_type.endswith("zeLinear")])
    kind = random.choice((np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32))
    name = f"zero{len(model.graph.initializer)}"
    value = np.asarray(random.choice((0, 1, 127, 3)), kind)
    model.graph.initializer.append(numpy_helper.from_array(value, name))
    del node.input[2:]
    node.input.append(random.choice((name, name, "")))


def _declared(model: Model, random: Random) -> None:
    """A size, number of sizes, type or name of an input or output."""
    value = random.choice([*model.graph.input, *model.graph.output])
    tensor = value.type.tensor_type
    match random.randrange(6):
        case 0:
            random.choice(tensor.shape.dim).dim_value = random.choice(INTEGERS)
        case 1:
            random.choice(tensor.shape.dim).dim_param = random.choice((*NAMES, "N", "batch"))
        case 2:
            tensor.elem_type = random.choice(TYPES)
        case 3:
            value.name = random.choice((*NAMES, *_tensor_names(model)))
        case 4:
            del tensor.shape.dim[random.randrange(len(tensor.shape.dim))]
        case _:
            match random.randrange(3):
                case 0:
                    tensor.ClearField("shape")
                case 1:
                    value.ClearField("type")
                case _:
                    value.type.sequence_type.elem_type.tensor_type.elem_type = 1


def _inputs_and_outputs(model: Model, random: Random) -> None:
    values = random.choice((model.graph.input, model.graph.output))
    match random.randrange(4):
        case 0:
            del values[random.randrange(len(values))]
        case 1:
            values.append(values[0])
        case 2:
            kind = random.choice((1, 1, 6, 7, 3))
            shape = random.choice((None, [], ["N", 8], [1, 2, 3, 4]))
            name = random.choice(_tensor_names(model))
            values.append(helper.make_tensor_value_info(name, kind, shape))
        case _:
            values.append(helper.make_tensor_value_info("stranger", 1, ["N"]))


def _claimed(model: Model, random: Random) -> None:
    """What the file says of a tensor inside, which may be wrong."""
    shape = [random.choice((*INTEGERS, "N", "A" * 70000)) for _ in range(random.choice((0, 1, 4)))]
    name = random.choice(_tensor_names(model))
    model.graph.value_info.append(
        helper.make_tensor_value_info(name, random.choice((1, 3, 7)), shape)
    )


def _versions(model: Model, random: Random) -> None:
    match random.randrange(4):
        case 0:
            random.choice(model.opset_import).version = random.choice(
                (*INTEGERS, *range(1, 27), 13, 17, 18, 19, 20, 21, 22, 23)
            )
        case 1:
            model.ir_version = random.choice((*INTEGERS, 3, 4, 8, 10, 11, 12, 13, 14))
        case 2:
            domain = random.choice(("", "ai.onnx", "sub8", "com.microsoft", "local", *NAMES))
            model.opset_import.append(helper.make_opsetid(domain, random.choice((1, 2, 18, 21))))
        case _:
            del model.opset_import[random.randrange(len(model.opset_import))]


def _names(model: Model, random: Random) -> None:
    """A node's or a tensor's name, changed wherever it stands."""
    new = random.choice(NAMES)
    match random.randrange(4):
        case 0:
            _node(model, random).name = new
        case 1:
            model.graph.name = new
        case 2:
            for node in model.graph.node:
                node.name = new
        case _:
            old = random.choice(_tensor_names(model))
            for node in model.graph.node:
                for names in (node.input, node.output):
                    for index, name in enumerate(names):
                        if name == old:
                            names[index] = new
            for value in [*model.graph.initializer, *model.graph.input, *model.graph.output]:
                if value.name == old:
                    value.name = new


def _function(model: Model, random: Random) -> None:
    """A function for what a node calls: of the wrong arity, opset or body, or one that calls
    itself.
    """
    node = _node(model, random)
    domain = random.choice((node.domain or "local", "local", "sub8", ""))
    node.domain = domain
    inputs = [f"a{i}" for i in range(len(node.input) + random.choice((0, 0, 0, -1, 1)))]
    body = random.choice((
        helper.make_node("Relu", ["a0"], ["b"]),
        helper.make_node(node.op_type, ["a0"], ["b"], domain=domain),
        helper.make_node("Identity", ["nobody"], ["b"]),
        helper.make_node("Add", ["a0", "a0"], ["b"]),
    ))  # fmt: skip
    version = random.choice((18, 21, model.opset_import[0].version, 13, 1))
    imports = [helper.make_opsetid("", version)]
    if domain:
        imports.append(helper.make_opsetid(domain, random.choice((1, 1, 2))))
        model.opset_import.append(helper.make_opsetid(domain, 1))
    model.functions.append(
        helper.make_function(domain, node.op_type, inputs, ["b"], [body], imports)
    )


def _body_of_function(model: Model, random: Random) -> None:
    function = random.choice(model.functions)
    match random.randrange(5):
        case 0:
            function.name = random.choice(NAMES)
        case 1:
            del function.node[random.randrange(len(function.node))]
        case 2:
            random.choice(function.node).op_type = random.choice(OPERATORS)
        case 3:
            model.functions.append(function)
        case _:
            function.input.append("more")


def _metadata(model: Model, random: Random) -> None:
    entries = {entry.key: entry for entry in model.metadata_props}
    keys = (
        "preprocess",
        "labels",
        "sub8.calibration",
        "sub8.choice",
        "sub8.recipe",
        "sub8.version",
    )
    key = random.choice([*entries, *entries, *keys])
    entry = entries.get(key)
    if entry is None:
        entry = model.metadata_props.add(key=key, value="{}")
    match random.randrange(6):
        case 0 | 1 | 2:
            try:
                found = json.loads(entry.value)
                value = dumped(changed_value(found, random)).decode("utf-8", "replace")
            except (ValueError, IndexError):
                value = changed_bytes(entry.value.encode(), random).decode("utf-8", "replace")
            entry.value = value
        case 3:
            entry.value = dumped(random.choice(VALUES)).decode("utf-8", "replace")
        case 4:
            entry.value = random.choice((*NAMES, "[" * 3000, "9" * 5000, "\n" * 9))
        case _:
            entry.key = random.choice((*NAMES, *keys))


def _external(model: Model, random: Random) -> None:
    tensor = random.choice(model.graph.initializer)
    if random.random() < 0.8:
        tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=random.choice(LOCATIONS))
    for key in ("offset", "length"):
        if random.random() < 0.5:
            value = random.choice((*map(str, INTEGERS), "", "x", "1e3", "4096", "9" * 5000))
            tensor.external_data.add(key=key, value=value)


def _sparse(model: Model, random: Random) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(random.choice(model.graph.initializer))
    sparse.dims.extend(random.choice(([2, 2], [2**40], [], [-1])))


CHANGES: tuple[Callable[[Model, Random], None], ...] = (
    _drop_node, _bypass_node, _repeat_node, _rewire, _rewire, _exchange_inputs, _number_of_inputs,
    _outputs_of_node, _operator, _insert, _insert, _insert_with_constant, _insert_with_constant,
    _insert_branch, _attribute, _attribute, _attribute_form, _likely_attribute, _likely_attribute,
    _tensor, _tensor, _elements, _elements, _shape_of_tensor, _scale, _scale, _zero_point,
    _declared, _declared, _inputs_and_outputs, _claimed, _versions, _names, _function,
    _body_of_function, _metadata, _metadata, _external, _sparse,
)  # fmt: skip
