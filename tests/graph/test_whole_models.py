"""Float models of many forms, quantised to int8 and written: near the float model, and engine =
ONNX Runtime.
"""

import warnings

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import sub8

RANDOM = np.random.default_rng(5)
X = RANDOM.standard_normal((16, 3, 8, 8), np.float32)


def reals(*shape, spread=1.0):
    return (RANDOM.standard_normal(shape) * spread).astype(np.float32)


def weight(*shape):
    return reals(*shape, spread=(2.0 / np.prod(shape[1:])) ** 0.5)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(","), outputs.split(","), **attributes)


def model(
    nodes, constants, outputs=("y",), *, x=("n", 3, 8, 8), opset=20, ir_version=10, domains=()
):
    """Outputs declare a type and no shape."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x))],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            if isinstance(name, str)
            else helper.make_tensor_value_info(*name)
            for name in outputs
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def in_onnx_runtime(source, x, level=ort.GraphOptimizationLevel.ORT_DISABLE_ALL):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return dict(
        zip([v.name for v in session.get_outputs()], session.run(None, {"x": x}), strict=True)
    )


@pytest.fixture
def whole(tmp_path):
    """Write, quantise, save and run; the float model's and the artifact's outputs, and the
    artifact's session.
    """

    def run(proto, x=X, *, least=20.0):
        onnx.save(proto, tmp_path / "float.onnx")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            recipe = sub8.Recipe(weights=sub8.Int8(), method="optimal")
            sub8.quantize(tmp_path / "float.onnx", x, recipe, threads=1).save(tmp_path / "q.onnx")
            session = sub8.Session(tmp_path / "q.onnx", threads=1)
            got = session.run_all(x[:4])
        expected = in_onnx_runtime(str(tmp_path / "q.onnx"), x[:4])
        real = in_onnx_runtime(str(tmp_path / "float.onnx"), x[:4])
        assert list(got) == list(expected) == list(real)
        # Older optimisers make integer operators of Q/DQ patterns that they then cannot run.
        level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        if tuple(map(int, ort.__version__.split(".")[:2])) < (1, 28):
            level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        optimised = in_onnx_runtime(str(tmp_path / "q.onnx"), x[:4], level)
        for name, values in expected.items():
            np.testing.assert_array_equal(got[name], values)
            np.testing.assert_array_equal(optimised[name], values)
            signal = np.square(real[name], dtype=np.float64).sum()
            noise = np.square(real[name] - values, dtype=np.float64).sum()
            assert 10 * np.log10(signal / max(noise, 1e-30)) >= least, name
        return session

    return run


STEM = [node("Conv", "x,w,b", "c", pads=[1] * 4, name="stem"), node("Relu", "c", "r", name="act")]
TAIL = [node("Conv", "r,v", "y", name="last")]
CONSTANTS = {"w": weight(8, 3, 3, 3), "b": reals(8), "v": weight(4, 8, 1, 1)}


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([node("Identity", "y", "z")], ("y", "z")),
        ([node("Identity", "y", "z"), node("Identity", "y", "u")], ("u", "z")),
        ([node("Dropout", "r", "d"), node("Identity", "d", "e")], ("y", "d", "r", "e")),
        ([node("Identity", "x", "z")], ("y", "z")),
        ([], ("y", ("x", TensorProto.FLOAT, ["n", 3, 8, 8]))),
        ([node("Identity", "b", "z")], ("z", "y")),
        ([], ("v", "y", "b")),
        (
            [node("Identity", "b", "z"), node("Identity", "b", "u"), node("Neg", "b", "n")],
            tuple("znuy"),
        ),
    ],
)
def test_every_output_keeps_its_name(whole, nodes, outputs):
    whole(model(STEM + TAIL + nodes, CONSTANTS, outputs))


@pytest.mark.parametrize(
    "names",
    [
        {"act": "c.integers", "last": "x.scale", "fc": "stem.weight"},
        {"sum": "fc.bias", "last": "fc.bias.values", "inner2": "fc.sum"},
        {"c": "stem.weight.values", "r": "sub8.2^-7", "y": "r.real", "act": "sub8.zero.int8"},
        {"inner": "last.weight", "w": "last.weight.flat", "b": "stem.bias", "v": "x.integers"},
    ],
)
def test_names_that_the_writer_would_make(whole, names):
    branch = helper.make_graph(
        [node("Identity", "f", "inner", name="inner")], "then",
        [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )  # fmt: skip
    other = helper.make_graph(
        [node("Neg", "f", "inner2")], "else",
        [], [helper.make_tensor_value_info("inner2", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        *STEM,
        *TAIL,
        node("ReduceMean", "y,axes", "m", keepdims=0),
        node("ReduceSum", "m", "t", keepdims=0),
        node("Greater", "t,zero", "positive"),
        node("MatMul", "y,k", "p", name="fc"),
        node("Add", "p,o", "f", name="sum"),
        helper.make_node("If", ["positive"], ["i"], then_branch=branch, else_branch=other),
    ]
    proto = model(
        nodes,
        {**CONSTANTS, "k": weight(8, 8), "o": reals(8), "axes": [1, 2, 3], "zero": np.float32(0)},
        ("i",),
    )
    for item in [*proto.graph.node, *branch.node]:
        item.name = names.get(item.name, item.name)
    text = proto.SerializeToString()
    proto = onnx.ModelProto.FromString(text)
    pending = [proto.graph]
    while pending:
        graph = pending.pop()
        for item in graph.node:
            item.input[:] = [names.get(name, name) for name in item.input]
            item.output[:] = [names.get(name, name) for name in item.output]
            pending += [a.g for a in item.attribute if a.HasField("g")]
        for entry in [*graph.initializer, *graph.output]:
            entry.name = names.get(entry.name, entry.name)
    whole(proto)


def test_layers_of_the_same_integers_store_them_once(whole, tmp_path):
    shared = weight(8, 8, 3, 3)
    nodes = [*STEM, *(node("Conv", f"{a},s", b, pads=[1] * 4) for a, b in ("ra", "ae", "ey"))]
    whole(model(nodes, {"w": CONSTANTS["w"], "b": CONSTANTS["b"], "s": shared}))
    stored = [
        t
        for t in onnx.load(tmp_path / "q.onnx").graph.initializer
        if t.name.endswith(".weight.values")
    ]
    assert [numpy_helper.to_array(t).size for t in stored] == [8 * 27, 8 * 72]


@pytest.mark.parametrize("opset", range(7, 13))
def test_old_opsets_mean_what_they_meant(whole, opset):
    nodes = [
        node("Conv", "x,w,b", "c", pads=[1] * 4),
        node("BatchNormalization", "c,g,b,b,g", "n"),
        node("Clip", "n", "r", min=0.0, max=6.0) if opset < 11 else node("Clip", "n,zero,six", "r"),
        node("Pad", "r", "p", pads=[0, 0, 1, 1, 0, 0, 1, 1]) if opset < 11 else node("Pad",
        "r,pads", "p"),
        node("Conv", "p,v", "d"),
        node("Upsample", "d" if opset < 9 else "d,scales", "u", mode="nearest",
        **({"scales": [1.0, 1.0, 2.0, 2.0]} if opset < 9 else {}))
        if opset < 10
        else node("Resize", "d,scales", "u", mode="nearest")
        if opset < 11
        else node("Resize", "d,empty,scales", "u", mode="nearest",
        coordinate_transformation_mode="asymmetric"),
        node("Slice", "u", "s", starts=[1], ends=[9], axes=[2]) if opset < 10 else node("Slice",
        "u,one,nine,two", "s"),
        node("Dropout", "s", "o"),
        node("ReduceMean", "o", "m", axes=[2, 3]),
        node("Squeeze", "m", "q", axes=[2, 3]),
        node("Gemm", "q,k,h", "l"),
        node("Softmax", "l", "y"),
    ]  # fmt: skip
    used = {name for item in nodes for name in item.input}
    constants = {
        **CONSTANTS, "g": np.abs(reals(8)) + 1, "zero": np.float32(0), "six": np.float32(6),
        "pads": [0, 0, 1, 1, 0, 0, 1, 1], "scales": np.float32([1, 1, 2, 2]),
        "empty": np.float32([]),
        "one": [1], "nine": [9], "two": [2], "k": weight(4, 5), "h": reals(5),
    }  # fmt: skip
    constants = {name: value for name, value in constants.items() if name in used}
    whole(model(nodes, constants, opset=opset, ir_version=7))


def test_nodes_in_any_order_and_stale_shapes(whole):
    proto = model([*TAIL, *STEM[::-1]], CONSTANTS, (("y", TensorProto.FLOAT, ["n", 5]),))
    proto.graph.value_info.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 9]))
    whole(proto)


@pytest.mark.parametrize("opset", [11, 12, 15, 17, 18, 20])
def test_subgraphs_are_converted_too(whole, opset):
    """Squeeze takes axes as an input from opset 13, Softmax has another default axis, ReduceMean's
    axes from 18.
    """

    def branch(name, nodes, **constants):
        return helper.make_graph(
            nodes, name, [],
            [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.array(value), key) for key, value in constants.items()],
        )  # fmt: skip

    mean = (
        (node("ReduceMean", "y", "m", axes=[3]), {})
        if opset < 18
        else (node("ReduceMean", "y,a3", "m"), {"a3": [3]})
    )
    squeeze = (
        (node("Squeeze", "m", "s", axes=[3]), {})
        if opset < 13
        else (node("Squeeze", "m,b3", "s"), {"b3": [3]})
    )
    then = branch("then", [mean[0], squeeze[0], node("Softmax", "s", "t")], **mean[1], **squeeze[1])
    other = branch(
        "else", [mean[0], squeeze[0], node("Softmax", "s", "e", axis=1)], **mean[1], **squeeze[1]
    )
    nodes = [
        *STEM,
        *TAIL,
        node("ReduceMax", "x", "top", keepdims=0),
        node("Greater", "top,zero", "positive"),
        helper.make_node("If", ["positive"], ["i"], then_branch=then, else_branch=other),
    ]
    whole(model(nodes, {**CONSTANTS, "zero": np.float32(0)}, ("i",), opset=opset, ir_version=7))


MASK = np.triu(np.full((5, 5), -np.inf, np.float32), 1)


@pytest.mark.parametrize(
    "softmax",
    [
        [node("Add", "s,mask", "z"), node("Softmax", "z", "p")],
        [node("Where", "allowed,s,low", "z"), node("Softmax", "z", "p")],
        [node("Add", "s,mask", "z"), node("Exp", "z", "e"), node("ReduceSum", "e,last", "t"),
        node("Div", "e,t", "p")],
    ],
)  # fmt: skip
def test_constants_that_are_meant_to_be_infinite(whole, softmax):
    nodes = [
        node("MatMul", "x,q", "a"), node("MatMul", "x,k", "b"), node("MatMul", "x,v", "c"),
        node("Transpose", "b", "bt", perm=[0, 2, 1]), node("MatMul", "a,bt", "s"),
        *softmax, node("MatMul", "p,c", "o"), node("MatMul", "o,w", "y"),
    ]  # fmt: skip
    used = {name for item in nodes for name in item.input}
    constants = {
        **{name: weight(8, 8) for name in "qkvw"}, "mask": MASK, "allowed": MASK == 0,
        "low": np.float32([[-np.inf]]), "last": [-1],
    }  # fmt: skip
    constants = {name: value for name, value in constants.items() if name in used}
    whole(model(nodes, constants, x=("n", 5, 8)), reals(16, 5, 8))


def test_padding_with_minus_infinity_of_computed_size(whole):
    """As the exporters write the padding "same" before a maximum: its size follows from the
    image's.
    """
    nodes = [
        *STEM,
        node("Shape", "r", "size"), node("Mod", "size,three", "pad"),
        node("Mul", "pad,space", "ends"),
        node("Concat", "none,ends", "pads", axis=0), node("Pad", "r,pads,low", "p"),
        node("MaxPool", "p", "m", kernel_shape=[3, 3], strides=[2, 2]), node("Conv", "m,v", "y"),
    ]  # fmt: skip
    constants = {
        **CONSTANTS, "three": [3], "space": [0, 0, 1, 1], "none": [0, 0, 0, 0],
        "low": np.float32(-np.inf),
    }  # fmt: skip
    whole(model(nodes, constants, x=("n", 3, "h", "w_")))


def test_padding_beyond_the_range_of_what_it_pads(whole):
    nodes = [*STEM, node("Pad", "r,pads,fill", "p"), node("Conv", "p,v", "y")]
    constants = {**CONSTANTS, "pads": [0, 0, 1, 1, 0, 0, 1, 1], "fill": np.float32(40)}
    whole(model(nodes, constants))


def test_types_that_only_the_runtime_infers(whole):
    nodes = [
        *STEM,
        node("GroupNormalization", "r,g,h", "n", num_groups=2),
        node("Relu", "n", "q"),
        node("Conv", "q,k", "d"),
        helper.make_node("QuickGelu", ["d"], ["e"], domain="com.microsoft", alpha=1.0),
        node("Conv", "e,v", "y"),
    ]
    constants = {**CONSTANTS, "g": np.abs(reals(8)) + 1, "h": reals(8), "k": weight(8, 8, 1, 1)}
    session = whole(model(nodes, constants, opset=21, domains=["com.microsoft"]))
    kinds = [type(operator).__name__ for operator in session.plan.operators]
    assert kinds.count("Conv") == 3 and kinds.count("Island") == 1


FORMS = {
    "uneven Split": [node("Split", "r", "p,q,s", axis=-2, num_outputs=3),
    node("Concat", "s,p,q", "z", axis=2)],
    "empty part": [node("Split", "r,i05", "p,q,s", axis=3), node("Concat", "s,p", "z", axis=3)],
    "Slice backwards": [node("Slice", "r,m1,m100,i2,m1", "z")],
    "Slice beyond the ends": [node("Slice", "r,m100,far,m1", "z")],
    "Reshape keeps and infers": [node("Reshape", "r,t0", "a"), node("Reshape", "a,t1", "z")],
    "Transpose without perm": [node("Transpose", "r", "a"), node("Transpose", "a", "z")],
    "ReduceMean without axes": [node("ReduceMean", "r", "z")],
    "ReduceMean of no axes": [node("ReduceMean", "r,none", "z", noop_with_empty_axes=1)],
    "ReduceMean of negative axes": [node("ReduceMean", "r,space", "z")],
    "AveragePool rounds up": [
        node("AveragePool", "r", "z", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 1],
        ceil_mode=1)
    ],
    "AveragePool counts padding": [
        node("AveragePool", "r", "z", kernel_shape=[3, 3], strides=[2, 3], auto_pad="SAME_LOWER",
        count_include_pad=1)
    ],
    "AveragePool dilated": [node("AveragePool", "r", "z", kernel_shape=[2, 3], dilations=[2, 2])],
    "MaxPool rounds up": [
        node("MaxPool", "r", "z", kernel_shape=[2, 3], strides=[2, 3], dilations=[2, 1],
        pads=[1, 1, 0, 0], ceil_mode=1)
    ],
    "MaxPool dilated, same": [
        node("MaxPool", "r", "z", kernel_shape=[3, 2], strides=[2, 1], dilations=[1, 2],
        auto_pad="SAME_UPPER")
    ],
    "Pad by axes": [node("Pad", "r,t2,,m1", "z")],
    "Pad crops": [node("Pad", "r,crop", "z")],
    "Clip above only": [node("Clip", "r,,half", "z")],
    "Clip crossed": [node("Clip", "r,two,half", "z")],
    "Sum of three": [node("Relu", "r", "a"), node("Sum", "r,a,r", "z")],
    "Max of three": [node("Neg", "r", "a"), node("Max", "r,a,half", "z")],
    "slopes by channel": [node("PRelu", "r,slopes", "z")],
    "Gemm behind Flatten": [
        node("Flatten", "r", "f", axis=-3), node("Gemm", "f,k,rows", "g", transB=1),
        node("Reshape", "g,t3", "z"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_operators(whole, form):
    constants = {
        "i05": [3, 0, 5], "m1": [-1], "m100": [-100], "i2": [2], "far": [2**62],
        "t0": [0, 4, -1, 4],
        "t1": [0, 8, 8, -1], "none": np.zeros(0, np.int64), "space": [-1, -2], "t2": [2, 1],
        "crop": [0, 0, -1, 2, 0, 0, 1, -3], "half": np.float32(0.5), "two": np.float32(2),
        "t3": [-1, 8, 2, 1],
        "slopes": np.abs(reals(8, 1, 1)), "k": weight(16, 512), "rows": reals(1, 16),
        **{name: CONSTANTS[name] for name in "wb"},
    }  # fmt: skip
    nodes = [node("Conv", "x,w,b", "r", pads=[1] * 4), *FORMS[form], node("Conv", "z,v", "y")]
    used = {name for item in nodes for name in item.input}
    channels = in_onnx_runtime(
        model(
            nodes[:-1], {k: v for k, v in constants.items() if k in used}, ("z",)
        ).SerializeToString(),
        X,
    )["z"].shape[1]
    constants["v"] = weight(4, channels, 1, 1)
    whole(model(nodes, {k: v for k, v in constants.items() if k in used}))


def test_signed_tensors_that_float_nodes_read_moved(whole):
    """ONNX Runtime's optimiser would make them unsigned, and lose the type of what it adds."""
    nodes = [
        node("Conv", "x,w,b", "c", pads=[1] * 4),
        node("Slice", "c,zero,four,one", "p"),
        node("Slice", "c,four,eight,one", "q"),
        node("Sub", "p,q", "y"),
        node("Conv", "c,v", "z"),
    ]
    constants = {"zero": [0], "one": [1], "four": [4], "eight": [8], "v": weight(4, 8, 1, 1)}
    whole(model(nodes, constants | {name: CONSTANTS[name] for name in "wb"}, ("y", "z")))
