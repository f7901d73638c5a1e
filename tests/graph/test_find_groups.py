"""How a float graph is cut into integer groups and float islands."""

import re

import numpy as np
import pytest

from sub8 import zoo
from sub8.graph.groups import find_groups, quantised_inputs, why_no_layer
from sub8.graph.normalise import normalise
from sub8.graph.wide_ranges import wide_ranges


@pytest.fixture
def cut(net, random):
    """Groups of a model of ONNX text; ``w0``, ``w1``, … are 1x1 (or given) weights of four
    channels.
    """

    def find(body: str, keep_float=(), **constants):
        for index in range(8):
            if f"w{index}" in body and f"w{index}" not in constants:
                inputs = 3 if index == 0 else 4
                constants[f"w{index}"] = random.standard_normal((4, inputs, 1, 1)).astype(
                    np.float32
                )
        return find_groups(normalise(net(body, **constants)), keep_float)

    return find


def shape_of(groups) -> list[tuple[str, list[str]]]:
    return [(group.kind, [node.op_type for node in group.nodes]) for group in groups]


def test_relu_and_clip_belong_to_the_layer(cut):
    groups = cut(
        "a = Conv(x, w0) b = Relu(a) c = Conv(b, w1) d = Clip(c, lo, hi) y = Conv(d, w2)",
        lo=np.float32(0),
        hi=np.float32(6),
    )
    assert shape_of(groups) == [
        ("layer", ["Conv", "Relu"]),
        ("layer", ["Conv", "Clip"]),
        ("layer", ["Conv"]),
    ]
    assert [(g.first, g.last) for g in groups] == [(True, False), (False, False), (False, True)]
    assert [g.outputs for g in groups] == [("b",), ("d",), ()]
    assert groups[-1].results == ("y",)


def test_the_first_operand_of_a_sum_takes_it(cut):
    groups = cut(
        "a = Conv(x, w0) b = Conv(a, w1) c = Conv(a, w2) d = Add(b, c) e = Relu(d) y = Conv(e, w3)"
    )
    assert shape_of(groups) == [
        ("layer", ["Conv"]),
        ("layer", ["Conv"]),
        ("layer", ["Conv", "Add", "Relu"]),
        ("layer", ["Conv"]),
    ]
    assert groups[2].layer.outputs[0].name == "b"
    assert groups[2].inputs == ("a", "c")
    assert groups[2].residual == "c"


def test_a_residual_may_be_the_layers_own_input(cut):
    (first, second, _) = cut("a = Conv(x, w0) b = Conv(a, w1) c = Add(a, b) y = Conv(c, w2)")
    assert second.inputs == ("a", "a")
    assert second.nodes[-1].op_type == "Add"
    assert first.residual is None


def test_a_sum_that_broadcasts_is_its_own_group(cut):
    groups = cut(
        "a = Conv(x, w0) p = GlobalAveragePool(a) q = Conv(p, w1) c = Add(a, q) y = Conv(c, w2)"
    )
    assert shape_of(groups)[-2] == ("add", ["Add"])


def test_a_layer_that_others_read_keeps_its_plain_result(cut):
    groups = cut("a = Conv(x, w0) b = Relu(a) c = Add(a, b) y = Conv(c, w1)")
    assert shape_of(groups) == [
        ("layer", ["Conv"]),
        ("table", ["Relu", "Add"]),
        ("layer", ["Conv"]),
    ]


def test_functions_of_one_tensor_are_tables(cut):
    groups = cut(
        "a = Conv(x, w0) s = Sigmoid(a) b = Mul(a, s) c = Conv(b, w1) "
        "p = Add(c, three) q = Clip(p, zero, six) r = Mul(c, q) d = Div(r, six) y = Conv(d, w2)",
        zero=np.float32(0),
        three=np.float32(3),
        six=np.float32(6),
    )
    # The constant 3 is folded into a layer only where nobody else reads the layer's result.
    assert shape_of(groups) == [
        ("layer", ["Conv"]),
        ("table", ["Sigmoid", "Mul"]),
        ("layer", ["Conv"]),
        ("table", ["Add", "Clip", "Mul", "Div"]),
        ("layer", ["Conv"]),
    ]
    assert groups[1].inputs == ("a",)


def test_a_value_read_twice_ends_one_table_and_starts_another(cut):
    groups = cut(
        "a = Conv(x, w0) s = Sigmoid(a) t = Tanh(s) u = Exp(t) c = Conv(s, w1) d = Mul(c, u) y = "
        "Conv(d, w2)"
    )
    kinds = shape_of(groups)
    assert ("table", ["Sigmoid"]) in kinds
    assert ("table", ["Tanh", "Exp"]) in kinds
    assert ("mul", ["Mul"]) in kinds


def test_shared_inner_value_of_two_tables(cut):
    groups = cut(
        "a = Conv(x, w0) e = Exp(a) s = Sigmoid(e) t = Tanh(e) c = Conv(s, w1) d = Conv(t, w2) "
        "f = Mul(c, d) y = Conv(f, w3)"
    )
    kinds = shape_of(groups)
    assert ("table", ["Exp"]) in kinds
    assert ("table", ["Sigmoid"]) in kinds
    assert ("table", ["Tanh"]) in kinds


def test_numbers_of_every_channel_are_part_of_a_function(cut):
    slope = np.linspace(0.1, 0.9, 4, dtype=np.float32)
    groups = cut(
        "a = Conv(x, w0) p = PRelu(a, s) m = Mul(p, s) t = Sub(one, m) y = Conv(t, w1)",
        s=slope.reshape(4, 1, 1),
        one=slope.reshape(1, 4, 1, 1),
    )
    assert shape_of(groups)[1] == ("table", ["PRelu", "Mul", "Sub"])


@pytest.mark.parametrize(
    ("shape", "kind"), [((4,), "mul"), ((1, 1, 4), "mul"), ((1, 4, 5, 5), "mul"),
                        ((4, 4, 1, 1), "island")],
)  # fmt: skip
def test_numbers_of_other_places_are_operands_of_their_own(cut, shape, kind):
    groups = cut(
        "a = Conv(x, w0) r = Sigmoid(a) p = Mul(r, s) y = Conv(p, w1)",
        s=np.linspace(0.1, 0.9, np.prod(shape), dtype=np.float32).reshape(shape),
    )
    if kind == "mul":
        assert shape_of(groups)[1:3] == [("table", ["Sigmoid"]), ("mul", ["Mul"])]
        assert groups[2].constants == ("s",)
    else:  # of other images each
        assert shape_of(groups)[1] == ("island", ["Sigmoid", "Mul"])


def test_squeeze_and_excitation_is_all_integer(cut):
    groups = cut(
        "a = Conv(x, w0) p = GlobalAveragePool(a) b = Conv(p, w1) r = Relu(b) c = Conv(r, w2) "
        "s = HardSigmoid(c) m = Mul(a, s) y = Conv(m, w3)"
    )
    assert [group.kind for group in groups] == [
        "layer",
        "pool",
        "layer",
        "layer",
        "table",
        "mul",
        "layer",
    ]


def test_sums_of_two_tensors_take_their_clamp(cut):
    groups = cut(
        "a = Conv(x, w0) p = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(a) q = Sigmoid(a) s = "
        "Add(p, q) "
        "r = Relu(s) y = Conv(r, w1)"
    )
    assert ("add", ["Add", "Relu"]) in shape_of(groups)


def test_movements_keep_the_format_and_averages_do_not(cut):
    groups = cut(
        "a = Conv(x, w0) m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a) "
        "v = AveragePool<kernel_shape=[2,2], strides=[2,2]>(m) t = Transpose<perm=[0,1,3,2]>(v) "
        "l, r = Split<axis=1, num_outputs=2>(t) k = Concat<axis=1>(r, l) y = Conv(k, w1)"
    )
    assert [(g.kind, g.keeps_format) for g in groups[1:-1]] == [
        ("pool", True),
        ("pool", False),
        ("move", True),
        ("move", True),
        ("move", False),
    ]
    assert groups[4].outputs == ("l", "r")


def test_unknown_operators_are_one_island_with_quantised_boundary(cut):
    groups = cut(
        "a = Conv(x, w0) r = Relu(a) s = Softmax<axis=1>(r) n = LpNormalization<axis=1, p=1>(s) "
        "b = Conv(n, w1) "
        "y = Add(b, r)"
    )
    assert [group.kind for group in groups] == ["layer", "island", "layer"]
    assert groups[1].outputs == ("n",)
    assert {node.op_type for node in groups[1].nodes} >= {"Softmax", "LpNormalization"}
    assert groups[2].residual == "r"


def test_islands_do_not_join_across_integer_groups(cut):
    groups = cut(
        "a = Conv(x, w0) s = LpNormalization<axis=1, p=1>(a) b = Conv(s, w1)"
        "t = LpNormalization<axis=1, p=1>(b) u = Div(s, t) y = Conv(u, w2)"
    )
    assert [group.kind for group in groups] == ["layer", "island", "layer", "island", "layer"]


def test_logits_and_what_follows_them_stay_float(cut):
    groups = cut(
        "a = Conv(x, w0) r = Relu(a) b = Conv(r, w1) t = Transpose<perm=[0,2,3,1]>(b) y = "
        "Sigmoid(t)"
    )
    assert [group.kind for group in groups] == ["layer", "layer", "island"]
    assert groups[1].outputs == ()
    assert groups[1].results == ("b",)
    assert groups[2].results == ("y",)


@pytest.mark.parametrize(
    "softmax",
    [
        "s = Softmax<axis=1>(b)",
        "e = Transpose<perm=[0,2,3,1]>(b) f = Softmax<axis=-1>(e) s = Transpose<perm=[0,3,1,2]>(f)",
    ],
)
def test_coordinates_behind_the_last_layers_stay_float(cut, softmax):
    """Distances (a distribution's expectation) plus anchors, times a stride, as detectors do."""
    groups = cut(
        f"a = Conv(x, w0) r = Relu(a) b = Conv(r, w1) {softmax} d = Conv(s, w9) "
        "c = Conv(r, w2) q = Relu(c) k = Mul(q, four) l = Add(d, k) m = Sub(anchors, l) "
        "t = Mul(m, four) y = Concat<axis=1>(t, l)",
        w0=np.ones((4000, 3, 1, 1), np.float32),
        w1=np.ones((4, 4000, 1, 1), np.float32),
        w2=np.ones((4, 4000, 1, 1), np.float32),
        w9=np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1),
        four=np.float32(4),
        anchors=np.ones((1, 4, 1, 5), np.float32),
    )
    assert shape_of(groups)[:-1] == [("layer", ["Conv", "Relu"]), *[("layer", ["Conv"])] * 2]
    assert groups[-1].kind == "island"
    assert [group.outputs for group in groups] == [("r",), (), (), ()]
    assert [group.last for group in groups[1:3]] == [True, True]


def test_a_layer_of_some_size_behind_an_island_is_a_layer(cut):
    groups = cut("a = Conv(x, w0) s = LpNormalization<axis=1, p=1>(a) y = Conv(s, w1)")
    assert [group.kind for group in groups] == ["layer", "island", "layer"]


def test_sums_with_a_layer_behind_them_are_integers(cut):
    groups = cut(
        "a = Conv(x, w0) p = MaxPool<kernel_shape=[1,1]>(a) s = Add(p, a) m = Mul(s, a) "
        "b = Conv(m, w1) y = Mul(b, b)"
    )
    assert [group.kind for group in groups] == ["layer", "pool", "add", "mul", "layer", "island"]


def test_named_nodes_stay_float(cut):
    body = """
        a = Conv(x, w0) p = MaxPool<kernel_shape=[1,1]>(a) [decode_1] t = Add(p, a)
        y = Conv(t, w1)
    """
    assert [group.kind for group in cut(body)] == ["layer", "pool", "add", "layer"]
    for pattern in ("decode_*", "t"):
        kinds = [group.kind for group in cut(body, keep_float=[pattern])]
        assert kinds == ["layer", "pool", "island" if pattern != "t" else "add", "layer"]


def test_parallel_heads_are_all_last(cut):
    groups = cut("a = Conv(x, w0) b = Conv(a, w1) c = Conv(a, w2) y = Concat<axis=1>(b, c)")
    layers = [group for group in groups if group.layer is not None]
    assert [(g.first, g.last) for g in layers] == [(True, False), (False, True), (False, True)]


def test_three_dimensional_convolution_is_an_island(net, random):
    weight = random.standard_normal((4, 3, 3, 3, 3)).astype(np.float32)
    groups = find_groups(normalise(net("y = Conv(x, w)", x="batch,3,L,L,L", w=weight)))
    assert [group.kind for group in groups] == ["island"]


def test_weights_computed_from_the_input_are_an_island(cut):
    body = "a = Conv(x, w0) p = Transpose<perm=[1, 0, 2, 3]>(a) y = Conv(a, p)"
    groups = cut(body, x="4,3,6,6")
    assert groups[-1].kind == "island"


@pytest.mark.parametrize("size", [None, 64])
def test_resnet_is_all_integer_at_any_size(size):
    model = normalise(zoo.build("resnet18", size=size, classes=10))
    groups = find_groups(model)
    assert {group.kind for group in groups} == {"layer", "pool", "move"}
    assert quantised_inputs(model, groups) == ("image",)
    layers = [group for group in groups if group.layer is not None]
    assert [g.name for g in layers if g.first] == ["conv1"]
    assert [g.name for g in layers if g.last] == ["fc"]
    assert sum(group.residual is not None for group in layers) == 8


def test_layers_in_branches_are_told(net):
    """As voice detectors hold a network for each rate of sampling."""
    body = (
        "a = Relu(x) t = ReduceSum<keepdims=0>(a) p = Greater(t, zero) y = If(p) "
        "<then_branch = then () => (float[n,2] u) { u = MatMul(a, k) }, "
        "else_branch = other () => (float[n,2] v) { v = MatMul(a, k) }>"
    )
    model = net(body, x="n,3", zero=np.float32(0), k=np.ones((3, 2), np.float32))
    model.graph[-1].name = "either"
    assert re.search("branch of node 'either' .*If", why_no_layer(normalise(model)))


def test_depthwise_layers(cut):
    names = [
        g.name for g in find_groups(normalise(zoo.build("mobilenet_v2", size=32))) if g.depthwise
    ]
    assert len(names) == 17


@pytest.mark.parametrize(
    ("body", "shape", "lack"),
    [
        ("y = Conv(x, w)", (4, 3, 1, 2, 2), r"'w_conv'.*3-D"),
        ("y = ConvTranspose<output_shape=[4,4]>(x, w)", (3, 4, 2, 2), r"'w_conv'.*transposed"),
        ("y = MatMul(x, x)", None, r"'w_conv'.*computed"),
        ("y = Relu(x)", None, "holds no Conv"),
    ],
)
def test_what_a_model_without_layers_lacks(net, random, body, shape, lack):
    axes = 4 if shape is None else len(shape)
    constants = {} if shape is None else {"w": random.standard_normal(shape, np.float32)}
    model = net(body, x=",".join(["batch", "3", *"HWD"[: axes - 2]]), **constants)
    model.graph[0].name = "w_conv"
    graph = normalise(model)
    assert not any(group.layer for group in find_groups(graph))
    assert re.search(lack, why_no_layer(graph))


def test_generalised_means_are_islands(cut):
    """Cubes span three times the octaves of what they are made of; 8 bits hold neither them nor
    their mean.
    """
    body = (
        "a = Conv(x, w0) b = Relu(a) c = {before} d = GlobalAveragePool(c) e = Reshape(d, flat) "
        "f = Pow(e, third) y = Gemm<transB=1>(f, head)"
    )
    constants = {
        "three": np.float32(3), "third": np.float32(1 / 3), "flat": np.array([0, -1]),
        "head": np.ones((2, 4), np.float32),
    }  # fmt: skip
    power = cut(body.format(before="Pow(b, three)"), **constants)
    assert shape_of(power)[1] == ("island", ["Pow", "GlobalAveragePool", "Reshape", "Pow"])
    assert [g.kind for g in power] == ["layer", "island", "layer"]
    bounded = cut(body.format(before="Sigmoid(b)"), **constants)
    assert [g.kind for g in bounded] == ["layer", "table", "pool", "move", "table", "layer"]


def test_spectra_are_islands_from_the_filters_to_the_logarithm(cut):
    """What a logarithm makes of the softest of a sound lies far below one step of 8 bits."""
    body = (
        "r = Conv(x, w0) i = Conv(x, w1) rr = Mul(r, r) ii = Mul(i, i) p = Add(rr, ii) "
        "m = Conv(p, bank) c = Clip(m, least) l = {root}(c) y = Conv(l, w2)"
    )
    constants = {
        "w1": np.ones((4, 3, 1, 1), np.float32), "bank": np.ones((4, 4, 1, 1), np.float32),
        "least": np.float32(1e-5),
    }  # fmt: skip
    groups = cut(body.format(root="Log"), **constants)
    assert [g.kind for g in groups] == ["island", "layer"] and len(groups[0].nodes) == 8
    assert groups[0].inputs == ("x",) and groups[0].outputs == ("l",)
    root = cut(body.format(root="Sqrt"), **constants)
    assert [g.kind for g in root] == ["layer", "layer", "island", "layer"]
    assert cut("a = Conv(x, w0) b = Exp(a) c = Add(b, one) d = Log(c) y = Conv(d, w1)",
               one=np.float32(1))[1].kind == "table"  # fmt: skip


def test_long_chains_before_a_root_are_followed(net):
    """However long, and however often one product reads another twice."""
    chain = " ".join(f"v{n + 1} = Add(v{n}, x)" for n in range(1200))
    body = f"z = Softmax(x) v0 = Mul(z, z) {chain} y = Sqrt(v1200)"
    assert len(wide_ranges(net(body).graph)) == 1202
    products = " ".join(f"p{n + 1} = Mul(p{n}, q{n}) q{n + 1} = Mul(q{n}, p{n})" for n in range(40))
    body = f"p0 = Softmax(x) q0 = Softmax(p0) {products} y = Sqrt(p40)"
    assert not wide_ranges(net(body).graph)


def test_what_stands_between_islands_is_float(cut):
    """No rounding on the way, and none before a function of what an island gives."""
    groups = cut(
        "a = Conv(x, w0) b = Det(a) e = Reshape(b, wide) c = Neg(e) d = ReduceMax(c, axes) "
        "f = CumSum(d, two) g = Tanh(f) h = Add(a, g) y = Conv(h, w1)",
        wide=np.array([1, 3, 1, 1]), axes=np.array([1]), two=np.array(2),
        w1=np.ones((4, 4, 1, 1), np.float32), x="1,3,6,6",
    )  # fmt: skip
    assert [g.kind for g in groups] == ["layer", "island", "add", "layer"]
    assert groups[1].outputs == ("g",)


def test_products_of_two_activations(cut):
    body = (
        "a = Conv(x, w0) b = Conv(a, w1) t = Transpose<perm=[0, 1, 3, 2]>(b) "
        "s = MatMul(a, t) p = Softmax(s) m = MatMul(p, a) y = Conv(m, w2)"
    )
    groups = cut(body, x="1,3,6,6")
    assert [g.kind for g in groups] == [
        "layer", "layer", "move", "product", "softmax", "product", "layer",
    ]  # fmt: skip
    scores, mixed = [group for group in groups if group.kind == "product"]
    assert scores.inputs == ("a", "t") and mixed.inputs == ("p", "a")
    assert scores.outputs == () and scores.results == ("s",)  # Softmax takes the plain sums
    assert mixed.outputs == ("m",)


def test_softmax_takes_its_factor_and_a_constant_addend(cut):
    body = (
        "a = Conv(x, w0) t = Transpose<perm=[0, 1, 3, 2]>(a) s = MatMul(a, t) m = Mul(s, factor) "
        "b = Add(bias, m) p = Softmax(b) v = MatMul(p, a) y = Conv(v, w2)"
    )
    bias = np.ones((1, 4, 6, 6), np.float32)
    for factor, taken in ((0.3, ["Mul", "Add", "Softmax"]), (-0.3, ["Add", "Softmax"])):
        groups = cut(body, x="1,3,6,6", factor=np.float32(factor), bias=bias)
        (softmax,) = [group for group in groups if group.kind == "softmax"]
        assert [node.op_type for node in softmax.nodes] == taken
        assert softmax.outputs == ("p",)


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ("p = Softmax(s)", "softmax"),
        ("p = Softmax<axis=2>(s)", "softmax"),  # along columns
        ("p = Softmax<axis=0>(s)", "island"),  # over images
        (
            "c = Cos(s) l = LpNormalization<p=1>(c) p = Softmax(l)",
            "island",
        ),  # of what an island makes
        ("q = Softmax(s) p = LpNormalization<p=1>(q)", "island"),  # for an island alone
    ],
)
def test_softmax_that_stays_float(cut, rows, kind):
    body = f"a = Conv(x, w0) s = Conv(a, w1) {rows} y = Conv(p, w2)"
    groups = cut(body, x="1,3,6,6")
    (group,) = [g for g in groups if any(n.op_type == "Softmax" for n in g.nodes)]
    assert group.kind == kind


@pytest.mark.parametrize(
    ("attributes", "sizes", "kind"),
    [
        ("axis=-1", 6, "norm"),
        ("axis=2", 36, "island"),  # over two axes
        ("axis=-1, epsilon=0.0", 6, "island"),  # rows of equal numbers would divide by zero
    ],
)
def test_layer_normalisation_along_rows(cut, attributes, sizes, kind):
    shape = (6,) if sizes == 6 else (6, 6)
    body = f"a = Conv(x, w0) n = LayerNormalization<{attributes}>(a, g, b) y = Conv(n, w1)"
    constants = {"g": np.ones(shape, np.float32), "b": np.zeros(shape, np.float32)}
    groups = cut(body, x="1,3,6,6", **constants)
    assert [group.kind for group in groups] == ["layer", kind, "layer"]
    kept = cut(body, keep_float=[str(groups[1].nodes[0].name)], x="1,3,6,6", **constants)
    assert [group.kind for group in kept] == ["layer", "island", "layer"]


def test_differences_are_integers_except_within_norms(cut):
    """A layer norm in parts is a norm; a difference between layers is an operator."""
    parts = (
        "a = Conv(x, w0) m = ReduceMean<keepdims=1>(a, last) d = Sub(a, m) q = Pow(d, two) "
        "v = ReduceMean<keepdims=1>(q, last) s = Sqrt(v) n = Div(d, s) y = Conv(n, w1)"
    )
    constants = {"last": np.array([1]), "two": np.float32(2)}
    groups = cut(parts, **constants)
    assert [group.kind for group in groups] == ["layer", "move", "norm", "move", "layer"]
    body = "a = Conv(x, w0) p = GlobalAveragePool(a) d = Sub(a, p) r = Relu(d) y = Conv(r, w1)"
    assert shape_of(cut(body))[2] == ("sub", ["Sub", "Relu"])
