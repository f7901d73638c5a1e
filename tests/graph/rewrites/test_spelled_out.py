"""Operators spelled out in others compute what they did, and stand in integer groups."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sub8.graph.groups import find_groups
from sub8.graph.normalise import normalise
from sub8.graph.rewrites.in_place import stretches

LAYER = "a = Conv(x, w)"


def floats(random, *shape):
    return random.standard_normal(shape, np.float32)


@pytest.fixture
def kinds(net, run, random):
    """Normalise ``x -> layer -> body -> layer`` and demand equal outputs; the kinds of its groups
    between the layers. ``body`` makes b of a; in 4 axes, or 3 with ``rows``.
    """

    def check(body, shape=(2, 4, 6, 7), *, x="n,4,6,7", out=4, rows=False, opset=18, **constants):
        last = "y = MatMul(b, k)" if rows else "y = Conv(b, k)"
        k = floats(random, out, 3) if rows else floats(random, 3, out, 1, 1)
        w = floats(random, 4, 4, 1, 1)
        model = net(f"{LAYER} {body} {last}", x=x, opset=opset, w=w, k=k, **constants)
        result = normalise(model)
        onnx.checker.check_model(ir.to_proto(result), full_check=True)
        assert [n.op_type for n in normalise(result).graph] == [n.op_type for n in result.graph]
        given = floats(random, *shape)
        (expected,), (got,) = run(model, given), run(result, given)
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)
        return [group.kind for group in find_groups(result)][1:-1]

    return check


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", [(1, 4, 6, 7), (7,), (4, 6, 1)])
def test_constants_of_any_shape(kinds, random, op, shape):
    c = floats(random, *shape)
    assert kinds(f"b = {op}(a, c)", c=c)[0] in ("add", "sub", "mul")
    if op != "Div":
        assert kinds(f"b = {op}(c, a)", c=c)[0] in ("add", "sub", "mul")


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_larger_and_smaller_of_tensors(kinds, random, op):
    assert "island" not in kinds(f"r = Sigmoid(a) s = Conv(r, w) b = {op}(a, s)")
    assert "island" not in kinds(f"r = Sigmoid(a) b = {op}(c, a, r)", c=floats(random, 6, 7))


@pytest.mark.parametrize("shape", [(6, 7), (4, 1, 1)])
def test_choice_by_a_constant_mask(kinds, random, shape):
    m = random.random(shape) > 0.4
    assert "island" not in kinds("r = Sigmoid(a) b = Where(m, a, r)", m=m)
    assert "island" not in kinds("b = Where(m, a, c)", m=m, c=np.array(0, np.float32))
    assert "island" not in kinds("b = Where(m, c, a)", m=m, c=floats(random, 6, 7))


@pytest.mark.parametrize("op", ["Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"])
def test_choice_by_a_comparison(kinds, op):
    c = np.array(0.25, np.float32)
    assert kinds(f"m = {op}(a, c) b = Where(m, a, c)", c=c) == ["table"]
    assert "island" not in kinds(f"r = Conv(a, w) m = {op}(r, a) b = Where(m, a, r)")
    assert kinds(f"m = {op}(c, a) n = Not(m) f = Cast<to=1>(n) b = Mul(f, a)", c=c) == ["table"]


def test_choice_by_several_comparisons(kinds):
    numbers = {"c": np.array(0.25, np.float32), "d": np.array(-0.5, np.float32)}
    for both in ("And", "Or"):
        body = f"m = Greater(a, c) n = Less(a, d) o = {both}(m, n) b = Where(o, a, c)"
        assert kinds(body, **numbers) == ["table"]
    guarded = "r = Relu(a) q = Div(a, r) m = Equal(r, z) b = Where(m, z, q)"  # 0 / 0
    assert "island" in kinds(guarded, z=np.array(0, np.float32))
    far = {"c": numbers["c"], "d": np.array(-1e9, np.float32)}
    assert "island" in kinds("m = Greater(a, c) b = Where(m, a, d)", **far)


@pytest.mark.parametrize("excluded", [-np.inf, -1e30, -1e5])
def test_a_mask_before_a_softmax_is_a_sum(kinds, random, excluded):
    m = random.random((6, 7)) > 0.4
    m[:, 3] = True
    found = kinds(
        "s = Where(m, a, c) b = Softmax<axis=-1>(s)", m=m, c=np.array(excluded, np.float32)
    )
    assert found == ["softmax"]


def test_a_row_without_elements_stays_as_it_is(kinds, random):
    m = random.random((6, 7)) > 0.4
    m[2] = False
    found = kinds("s = Where(m, a, c) b = Softmax<axis=-1>(s)", m=m, c=np.array(-1e30, np.float32))
    assert "softmax" in found  # behind a product with the mask and a sum


def test_means_of_several_and_slopes_of_every_element(kinds, random):
    assert "island" not in kinds("r = Sigmoid(a) t = Tanh(a) b = Mean(a, r, t)")
    assert "island" not in kinds("b = PRelu(a, s)", s=floats(random, 4, 6, 7))


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("axes", [(1,), (-1, 2), (1, 3), (1, 2, 3)])
def test_reductions_along_any_axes_are_pooling(kinds, random, op, axes):
    found = kinds(f"r = {op}(a, axes) b = Mul(a, r)", axes=np.array(axes))
    assert "island" not in found
    assert "pool" in found


@pytest.mark.parametrize("keepdims", [0, 1])
def test_weighted_sums_of_branches(kinds, random, keepdims):
    body = (
        "r = Reshape(a, s) u = Reshape(a, v) m = GlobalAveragePool(u) n = Reshape(m, q) "
        f"d = Softmax<axis=1>(n) p = Mul(r, d) t = ReduceSum<keepdims={keepdims}>(p, axes) "
        "b = Reshape(t, z)"
    )
    shapes = {
        "s": np.array([0, 2, 2, 6, 7]), "v": np.array([0, 4, 6, 7]), "q": np.array([0, 2, 2, 1, 1]),
        "axes": np.array([1]), "z": np.array([0, 2, 6, 7]),
    }  # fmt: skip
    found = kinds(body, out=2, **shapes)
    assert "island" not in found
    assert found.count("add") == 1


def test_reductions_that_drop_their_axes(kinds):
    body = "t = Reshape(a, s) u = Transpose<perm=[0,2,1]>(t) b = ReduceMax<keepdims=0>(u, axes)"
    shapes = {"s": np.array([0, 4, 42]), "axes": np.array([1])}
    assert "island" not in kinds(body, rows=True, out=4, **shapes)


@pytest.mark.parametrize(
    "root",
    [
        "q = Mul(a, a) m = ReduceMean(q, {0}) e = Add(m, c) r = Sqrt(e) b = Div(a, r)",
        "q = Pow(a, two) m = ReduceMean(q, {0}) e = Add(m, c) r = Sqrt(e) i = Reciprocal(r) "
        "b = Mul(i, a)",
        "m = ReduceSumSquare(a, {0}) e = Add(m, c) i = Pow(e, half) b = Mul(a, i)",
        "m = ReduceL2(a, {0}) e = Clip(m, tiny) b = Div(a, e)",
        "b = LpNormalization<axis={1}, p=2>(a)",
    ],
)
@pytest.mark.parametrize("axis", [1, -1])
def test_rows_over_their_root_mean_square_are_norms(kinds, root, axis):
    constants = {
        "channels": np.array([1]), "columns": np.array([-1]), "c": np.array(0.1, np.float32),
        "two": np.array(2, np.float32), "half": np.array(-0.5, np.float32),
        "tiny": np.array(1e-12, np.float32),
    }  # fmt: skip
    found = kinds(root.format("channels" if axis == 1 else "columns", axis), **constants)
    assert "norm" in found
    assert "island" not in found


def test_factors_behind_a_root_mean_square_belong_to_it(kinds, random):
    body = (
        "q = Mul(a, a) m = ReduceMean(q, axes) e = Add(m, c) r = Sqrt(e) d = Div(a, r) "
        "b = Mul(d, g)"
    )
    constants = {"axes": np.array([-1]), "c": np.array(0.1, np.float32), "g": floats(random, 7)}
    assert kinds(body, **constants) == ["table", "move", "norm", "move"]
    assert kinds("b = RMSNormalization(a, g)", opset=23, g=floats(random, 7)) == [
        "table", "move", "norm", "move",
    ]  # fmt: skip


def test_a_length_that_another_number_is_added_to_is_left_whole(kinds):
    body = "m = ReduceL2(a, axes) e = Add(m, c) b = Div(a, e)"
    constants = {"axes": np.array([1]), "c": np.array(0.5, np.float32)}
    assert "island" in kinds(body, **constants)


def test_norms_over_planes_and_groups_are_norms_of_rows(kinds, random):
    parameters = {"g": floats(random, 4), "h": floats(random, 4)}
    found = kinds("b = InstanceNormalization<epsilon=0.01>(a, g, h)", **parameters)
    assert found == ["move", "norm", "move", "table"]
    groups = {"g": floats(random, 2), "h": floats(random, 2)}
    found = kinds(
        "r = Reshape(a, s) i = InstanceNormalization(r, g, h) b = Reshape(i, t)",
        s=np.array([0, 2, -1]), t=np.array([0, 4, 6, 7]), **groups,
    )  # fmt: skip
    assert "norm" in found
    assert "island" not in found
    found = kinds("b = GroupNormalization<num_groups=2>(a, g, h)", **groups)
    assert "norm" in found
    assert "island" not in found


def test_softmax_over_channels_is_one_of_rows(kinds):
    assert kinds("b = Softmax<axis=1>(a)") == ["move", "softmax", "move"]


def test_softmax_over_channels_at_the_end_too(net, run, random):
    model = net(f"{LAYER} y = Softmax<axis=1>(a)", x="n,4,6,7", w=floats(random, 4, 4, 1, 1))
    result = normalise(model)
    assert [node.op_type for node in result.graph][1:] == ["Transpose", "Softmax", "Transpose"]
    given = floats(random, 2, 4, 6, 7)
    np.testing.assert_allclose(*run(model, given), *run(result, given), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("indices", [[3, 1, 0, 0], [0, 2], [-1, -2], [[0, 3], [2, 1]]])
def test_gather_of_constant_indices(kinds, indices):
    indices = np.array(indices)
    body = "b = Gather<axis=1>(a, i)"
    if indices.ndim > 1:
        body = "g = Gather<axis=1>(a, i) b = Reshape(g, s)"
        found = kinds(body, i=indices, s=np.array([0, 4, 6, 7]))
    else:
        found = kinds(body, i=indices, out=len(indices))
    assert set(found) <= {"move"}


def test_slices_backwards(kinds):
    operands = {"s": np.array([-1, 5]), "e": np.array([-100, 0]), "x3": np.array([3, 2])}
    assert set(kinds("b = Slice(a, s, e, x3, t)", t=np.array([-1, -2]), **operands)) == {"move"}


@pytest.mark.parametrize("repeats", [(1, 1, 2, 3), (1, 3, 1, 1)])
def test_tiles(kinds, repeats):
    assert set(kinds("b = Tile(a, r)", r=np.array(repeats), out=4 * repeats[1])) == {"move"}


def test_expand_is_left_out_where_its_reader_broadcasts(kinds):
    body = "g = GlobalAveragePool(a) s = Shape(a) e = Expand(g, s) b = Mul(a, e)"
    assert kinds(body) == ["pool", "mul"]


def test_expand_to_a_constant_shape_moves(kinds):
    body = "g = GlobalAveragePool(a) b = Expand(g, s)"
    assert kinds(body, s=np.array([1, 4, 5, 3])) == ["pool", "move"]


def test_a_class_token_is_part_of_the_sum_behind(kinds, random):
    body = (
        "t = Reshape(a, s) u = Transpose<perm=[0,2,1]>(t) b0 = Concat<axis=1>(c, u) b = Add(b0, p)"
    )
    constants = {"s": np.array([0, 4, 42]), "c": floats(random, 1, 1, 4)}
    found = kinds(
        body, (1, 4, 6, 7), x="1,4,6,7", rows=True, p=floats(random, 1, 43, 4), **constants
    )
    assert found == ["move", "move", "move", "add"]


def test_a_token_that_is_expanded_to_the_batch(kinds, random):
    body = (
        "n = Shape<start=0, end=1>(x) e = Concat<axis=0>(n, one, four) "
        "token = Expand(c, e) t = Reshape(a, s) u = Transpose<perm=[0,2,1]>(t) "
        "b = Concat<axis=1>(u, token, token)"
    )
    found = kinds(
        body, (3, 4, 6, 7), rows=True, s=np.array([0, 4, 42]), c=floats(random, 1, 1, 4),
        one=np.array([1]), four=np.array([4]),
    )  # fmt: skip
    assert "island" not in found


def test_constants_between_tensors_that_are_joined(kinds, random):
    body = "r = Sigmoid(a) b = Concat<axis=1>(c, a, d, r, c)"
    c, d = floats(random, 1, 2, 6, 7), floats(random, 1, 1, 6, 7)
    found = kinds(body, (1, 4, 6, 7), x="1,4,6,7", out=13, c=c, d=d)
    assert "island" not in found


def test_padding_with_a_number(kinds):
    constants = {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1]), "v": np.array(0.3, np.float32)}
    assert kinds("b = Pad(a, p, v)", **constants) == ["move", "add"]


@pytest.mark.parametrize("how", ["half_pixel", "asymmetric", "align_corners"])
@pytest.mark.parametrize("rounded", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_resize_to_the_nearest_of_any_sizes(kinds, how, rounded):
    attributes = f"mode='nearest', coordinate_transformation_mode='{how}', nearest_mode='{rounded}'"
    resize = f"b = Resize<{attributes}>(a, , , s)".replace("'", '"')
    for sizes in ((1, 4, 3, 4), (1, 4, 9, 2)):
        found = kinds(resize, (1, 4, 6, 7), x="1,4,6,7", s=np.array(sizes))
        assert set(found) <= {"move"}


@pytest.mark.parametrize("factor", [2, 3, 4, 6])
def test_linear_resize_to_the_middles(kinds, factor):
    resize = 'b = Resize<mode="linear">(a, , c)'
    scales = np.array([1, 1, 1 / factor, 0.5 if factor % 2 else 1], np.float32)
    assert "island" not in kinds(resize, (2, 4, 12, 8), x="n,4,12,8", c=scales)


def test_what_leads_to_outputs_alone_stays(net):
    body = "a = Conv(x, w) r = ReduceMax(a, axes) y = Max(a, r)"
    model = net(
        body, x="n,3,6,7", opset=18, w=np.ones((4, 3, 1, 1), np.float32), axes=np.array([1])
    )
    assert [n.op_type for n in normalise(model).graph] == ["Conv", "ReduceMax", "Max"]


def test_stretches_are_whole():
    places = np.array([4, 3, 3, 5, 7, 9, 0, 1, 2])
    found = stretches(places)
    assert [first + step * i for first, n, step in found for i in range(n)] == places.tolist()
    assert (3, 4, 2) in found
