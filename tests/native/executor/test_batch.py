"""Batches whose images threads compute apart from each other: when, and to the same bits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_plans import ISAS, Sketch, check

from sub8.engine.lower.packing import PackedLayers
from sub8.engine.lower.plan import lower
from sub8.engine.plan import operators as p
from sub8.engine.plan.batch import batch_parts, images_apart
from sub8.engine.plan.reference import run_reference
from sub8.engine.plan.shapes import infer_shapes
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format

FORMAT = Format.dfp(True, -4)
RANGE = {"low": FORMAT.low, "high": FORMAT.high}
SHAPE = (4, 4, 6, 6)
WEIGHT = ClusteredWeight(
    "ternary",
    np.random.default_rng(0).integers(-1, 2, (4, 4, 1, 1)).astype(np.int8),
    np.full((4, 1), 3, np.uint8),
    -6,
    4,
)


def plan_of(*operators, fmt=FORMAT, others=()):
    """Input x, quantised to q; a 1x1 convolution of it, c; then the operators, whose last result is
    the output.
    """
    conv = p.Conv(name="conv", x="q", terms=(WEIGHT,), bias=np.zeros(4, np.int32), out="c", **RANGE)
    chain = (*others, p.Quantize(name="quantize", x="x", out="q"), conv, *operators)
    last = p.Dequantize(name="dequantize", x=chain[-1].out, out="y")
    formats = {"x": None, "y": None} | {op.out: fmt for op in chain}
    return p.Plan(("x",), ("y",), (*chain, last), formats)


def apart(plan, shape=SHAPE):
    return images_apart(plan, infer_shapes(plan, {"x": shape}))


def constant(*shape):
    return p.Constant(name="constant", value=np.ones(shape, np.int8), out="k")


def add(a, b):
    return p.Add(name="add", a=a, b=b, out="o", **RANGE)


def reshape(*shape):
    return p.Reshape(name="reshape", x="c", out="o", shape=shape)


def transpose(*perm):
    return p.Transpose(name="transpose", x="c", out="o", perm=perm)


def cut(axis):
    return p.Slice(name="slice", x="c", out="o", starts=(0,), ends=(2,), axes=(axis,), steps=(1,))


def pad(*pads):
    return p.Pad(name="pad", x="c", out="o", pads=pads, value=0)


@pytest.mark.parametrize(
    "operators",
    [
        (),
        (add("c", "q"),),
        (reshape(0, -1),),
        (reshape(-1, 144),),
        (transpose(0, 2, 3, 1),),
        (cut(1),),
        (pad(0, 0, 1, 1, 0, 0, 1, 1),),
        (p.Concat(name="concat", xs=("c", "q"), axis=1, out="o"),),
        (p.MaxPool(name="pool", x="c", out="o", kernel=(2, 2)),),
    ],
)
def test_images_apart(operators):
    plan = plan_of(*operators)
    assert apart(plan)
    x = np.random.default_rng(1).normal(0, 3, SHAPE).astype(np.float32)
    whole = run_reference(plan, {"x": x})["y"]
    each = [run_reference(plan, {"x": image[None]})["y"] for image in x]
    np.testing.assert_array_equal(whole, np.concatenate(each))
    check(plan, {"x": x}, threads=(1, 2, 4))


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1), (1,)])
def test_constants_that_all_images_share(shape):
    assert apart(plan_of(add("c", "k"), others=(constant(*shape),)))


@pytest.mark.parametrize(
    "plan",
    [
        plan_of(add("c", "k"), others=(constant(4, 4, 1, 1),)),
        plan_of(reshape(4, 144)),
        plan_of(reshape(-1, 36)),
        plan_of(reshape(1, -1)),
        plan_of(transpose(1, 0, 2, 3)),
        plan_of(cut(0)),
        plan_of(pad(1, 0, 0, 0, 0, 0, 0, 0)),
        plan_of(pad(0, 0, 0, 0, 1, 0, 0, 0)),
        plan_of(p.Concat(name="concat", xs=("c", "q"), axis=0, out="o")),
        plan_of(
            p.Concat(name="concat", xs=("c", "k"), axis=1, out="o"), others=(constant(*SHAPE),)
        ),
        plan_of(
            p.Conv(
                name="second",
                x="c",
                terms=(WEIGHT,),
                bias=np.zeros(4, np.int32),
                residual="k",
                out="o",
                **RANGE,
            ),
            others=(constant(*SHAPE),),
        ),
        plan_of(fmt=Format(True, None)),
    ],
)
def test_images_that_depend_on_each_other_or_on_their_place(plan):
    assert not apart(plan)


def test_a_float_island_keeps_the_batch_together():
    island = p.Island(name="island", model=b"", inputs=("y",), outputs=("z",), nodes=())
    plan = plan_of()
    assert not images_apart(
        replace(plan, operators=(*plan.operators, island)), infer_shapes(plan, {"x": SHAPE})
    )


@pytest.mark.parametrize(
    ("images", "size", "threads", "parts"),
    [
        (1, 6, 1, 1), (8, 6, 1, 1), (1, 6, 2, 1), (2, 6, 2, 2), (8, 6, 2, 2), (3, 6, 2, 1),
        (9, 6, 2, 9), (15, 6, 2, 15), (8, 6, 16, 1), (8, 128, 2, 2), (8, 256, 2, 8),
        (12, 200, 2, 12),
        (12, 140, 2, 4), (4, 1024, 2, 4),
    ],
)  # fmt: skip
def test_parts_keep_all_threads_busy_and_their_tensors_small(images, size, threads, parts):
    plan = plan_of()
    shapes = infer_shapes(plan, {"x": (images, 4, size, size)})
    assert batch_parts(plan, shapes, threads) == parts


@settings(max_examples=20)
@given(st.data())
def test_parts_of_random_layers(data):
    s = Sketch(data.draw)
    inputs, outputs, size, images = (
        s.integer(1, 9), s.integer(1, 20), s.integer(3, 9), s.integer(2, 5),
    )  # fmt: skip
    x = s.quantised((images, inputs, size, size), Format.dfp(s.flip(), -4))
    fmt = Format.dfp(s.flip(), -4)
    layer = p.Conv(
        name="conv", x=x, terms=s.terms(outputs, inputs, (3, 3)), bias=s.bias(outputs),
        out=s.name(), pads=(1, 1, 1, 1), low=fmt.low, high=fmt.high,
    )  # fmt: skip
    plan = s.plan(s.add(layer, fmt))
    arrays = s.arrays()
    assert images_apart(
        plan, infer_shapes(plan, {name: array.shape for name, array in arrays.items()})
    )
    check(plan, arrays, threads=(1, images))


def test_a_profile_of_parts_adds_up():
    plan = plan_of()
    (segment,) = lower(plan, {"x": np.zeros(SHAPE, np.float32)}, PackedLayers(ISAS[-1]), threads=2)
    assert segment.program.parts == 2
    results, nanoseconds = segment.profile({"x": np.zeros(SHAPE, np.float32)})
    assert results["y"].shape == SHAPE
    assert segment.operators == ("quantize", "conv", "dequantize")
    assert len(nanoseconds) == 3 and all(taken > 0 for taken in nanoseconds)
