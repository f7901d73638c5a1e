"""What the graph alone decides about formats."""

import numpy as np
import pytest

from sub8.errors import InputError
from sub8.graph.groups import find_groups
from sub8.ptq.calibrate import calibrate
from sub8.ptq.formats import SharedFormats, dynamic_tensors, never_negative
from sub8.recipe import Dfp8

W = np.ones((4, 4, 1, 1), np.float32)


def formats_of(model, images, **options):
    groups = find_groups(model)
    return calibrate(model, groups, [images], len(images), Dfp8(**options), threads=1)


def test_unsigned_exactly_where_the_operators_prove_it(network):
    positive = never_negative(network)
    assert {"r1", "r2", "r3", "rd", "p", "u"} <= positive
    assert not {"x", "c1", "s2", "v", "cat"} & positive


@pytest.mark.parametrize(
    ("body", "proven"),
    [
        ("a = Relu(x) y = Add(a, a)", True),
        ("a = Relu(x) y = Add(a, x)", False),
        ("a = Relu(x) y = Mul(a, half)", True),
        ("a = Relu(x) y = Sub(a, half)", False),
        ("y = Clip(x, half)", True),
        ("y = Clip(x, minus)", False),
        ("a = Relu(x) y = Clip(a, half, minus)", False),
        ("a = Sigmoid(x) y = Concat <axis = 1> (a, a)", True),
        ("a = Sigmoid(x) y = Concat <axis = 1> (a, x)", False),
        ("y = Max(x, half)", True),
    ],
)
def test_sign_rules(net, body, proven):
    model = net(body, x="b,4,2,2", half=np.float32(0.5), minus=np.float32(-0.5))
    assert (model.graph.outputs[0].name in never_negative(model)) is proven


def test_data_movement_and_concatenation_share_one_format(network, images):
    groups = find_groups(network)
    shared = SharedFormats(network, groups)
    assert len({shared.of(name) for name in ("r2", "p", "v", "cat")}) == 1
    formats = formats_of(network, images)
    assert formats["r2"] == formats["p"] == formats["v"] == formats["cat"]
    assert formats["cat"].signed and not formats["r1"].signed and formats["x"].signed


def test_formats_cover_what_calibration_saw(network, images):
    formats = formats_of(network, images, calibration="max")
    assert np.abs(images).max() <= formats["x"].high * formats["x"].scale


def test_dynamic_only_between_convolutions_sums_and_pools(network, images):
    groups = find_groups(network)
    dynamic = dynamic_tensors(network, groups)
    # r2 reaches a Concat through the pool; the table reads t; v and cat are no layer's result.
    assert dynamic == {"r1", "r3", "rd"}
    formats = formats_of(network, images, exponent="dynamic")
    assert {name for name, fmt in formats.items() if fmt.dynamic} == dynamic


def test_moved_tensors_keep_dynamic_scales(net):
    model = net(
        "a = Conv(x, w) r = Relu(a) m = MaxPool <kernel_shape = [2,2]> (r) "
        "t = Transpose <perm = [0,1,3,2]> (m) b = Conv(t, w) r2 = Relu(b) y = Conv(r2, w)",
        x="b,4,8,8",
        w=W,
    )
    assert dynamic_tensors(model, find_groups(model)) == {"r", "m", "t", "r2"}


def test_tensors_whose_batch_moves_stay_static(net):
    model = net(
        "a = Conv(x, w) r = Relu(a) t = Transpose <perm = [1,0,2,3]> (r) b = Conv(t, w) y = Relu(b)",
        x="4,4,8,8",
        w=W,
    )
    assert "r" not in dynamic_tensors(model, find_groups(model))


def test_nan_names_the_tensor(net):
    model = net("a = Conv(x, w) r = Relu(a) y = Conv(r, w)", x="b,4,2,2", w=W)
    images = np.ones((2, 4, 2, 2), np.float32)
    images[1, 0, 0, 0] = np.inf
    with pytest.raises(InputError, match="'x' holds NaN or infinity"):
        formats_of(model, images)
