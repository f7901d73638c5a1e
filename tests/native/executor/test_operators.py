"""Every integer operator on the native core, on each instruction set, against the reference: equal
bits.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from random_plans import Sketch, check

from sub8.engine.plan import operators as p
from sub8.errors import UnsupportedModelError
from sub8.numerics.dfp import Format

few = settings(max_examples=40)
sizes = st.integers(1, 6)


def shape_of(s, rank=None):
    rank = s.pick(2, 3, 4, 4, 4) if rank is None else rank
    batch = s.integer(1, 3)
    if rank == 4:
        return (batch, s.pick(1, 3, 8, 33), s.integer(1, 7), s.integer(1, 7))
    return (batch, *(s.integer(1, 40) for _ in range(rank - 1)))


@few
@given(st.data())
def test_quantize_and_dequantize(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s, s.pick(1, 2, 3, 4, 5)), s.format())
    check(s.plan(x), s.arrays())


def test_quantize_rounds_ties_to_even_and_saturates():
    for fmt in (Format.dfp(True, -3), Format.dfp(False, 0), Format(False, 0.1, 77)):
        values = np.arange(-4000, 4000, dtype=np.float32) * np.float32(fmt.scale / 8)
        values = np.concatenate(
            [values, np.array([np.inf, -np.inf, 3e38, -3e38, 1e-40], np.float32)]
        )
        plan = p.Plan(
            ("x",), ("y",),
            (p.Quantize(name="q", x="x", out="i"), p.Dequantize(name="d", x="i", out="y")),
            {"x": None, "i": fmt, "y": None},
        )  # fmt: skip
        check(plan, {"x": values.reshape(1, -1)})


def broadcast(s, shape):
    """A shape that broadcasts to ``shape``."""
    kept = [size if s.integer(0, 2) else 1 for size in shape]
    return tuple(kept[s.integer(0, len(kept) - 1) if s.integer(0, 3) == 0 else 0 :])


def binary(s, kind, fmt_a, fmt_b, fmt_out, **limits):
    shape = shape_of(s)
    a = s.quantised(shape, fmt_a)
    if s.flip():
        b = s.quantised(shape, fmt_b)
    else:
        other = broadcast(s, shape)
        b = s.constant(other, fmt_b) if s.flip() else s.quantised(other, fmt_b)
    if s.flip():
        a, b = b, a
    operator = kind(name="binary", a=a, b=b, out=s.name(), **limits)
    return s.add(operator, fmt_out)


@few
@given(st.data(), st.sampled_from([p.Add, p.Sub, p.Mul]))
def test_sums_and_products_with_broadcasting(data, kind):
    s = Sketch(data.draw)
    fmt = s.format()
    out = binary(s, kind, s.format(), s.format(), fmt, **s.limits(fmt))
    check(s.plan(out), s.arrays())


@few
@given(st.data())
def test_requantize(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s), s.format())
    fmt = s.format()
    out = s.add(p.Reformat(name="r", x=x, out=s.name(), **s.limits(fmt)), fmt)
    check(s.plan(out), s.arrays())


@few
@given(st.data())
def test_table(data):
    s = Sketch(data.draw)
    x, fmt = s.quantised(shape_of(s), s.format()), s.format()
    table = s.random.integers(fmt.low, fmt.high, 256, endpoint=True).astype(fmt.dtype)
    check(s.plan(s.add(p.Table(name="table", x=x, table=table, out=s.name()), fmt)), s.arrays())


def window(s, shape):
    kernel = (s.integer(1, min(4, shape[2])), s.integer(1, min(4, shape[3])))
    pads = tuple(s.integer(0, kernel[axis % 2] - 1) for axis in range(4))
    return {
        "kernel": kernel,
        "strides": (s.integer(1, 3), s.integer(1, 3)),
        "pads": pads,
        "ceil_mode": s.flip(),
    }


@few
@given(st.data())
def test_max_pool(data):
    s = Sketch(data.draw)
    shape = shape_of(s, 4)
    x = s.quantised(shape, s.format())
    options = window(s, shape)
    if options["kernel"] == (1, 1) or s.flip():
        options["dilations"] = (1, 1)
    out = s.add(p.MaxPool(name="pool", x=x, out=s.name(), **options), s.formats[x])
    check(s.plan(out), s.arrays())


def test_max_pool_with_dilations():
    fmt = Format.dfp(True, -5)
    pool = p.MaxPool(
        name="pool",
        x="i",
        out="m",
        kernel=(2, 3),
        dilations=(3, 2),
        pads=(1, 2, 0, 1),
        strides=(2, 1),
    )
    plan = p.Plan(
        ("x",), ("y",),
        (p.Quantize(name="q", x="x", out="i"), pool, p.Dequantize(name="d", x="m", out="y")),
        {"x": None, "i": fmt, "m": fmt, "y": None},
    )  # fmt: skip
    values = np.random.default_rng(0).normal(0, 2, (2, 70, 9, 11)).astype(np.float32)
    check(plan, {"x": values}, threads=(1, 3))


def average_pool(s, x, fmt, **limits):
    options = {"kernel": None}
    if s.flip():
        options = window(s, s.shapes[x])
        options["count_include_pad"] = s.flip()
    return s.add(p.AveragePool(name="pool", x=x, out=s.name(), **options, **limits), fmt)


@few
@given(st.data())
def test_average_pool(data):
    s = Sketch(data.draw)
    x, fmt = s.quantised(shape_of(s, 4), s.format()), s.format()
    check(s.plan(average_pool(s, x, fmt, **s.limits(fmt))), s.arrays())


def test_average_of_a_plane_whose_sum_passes_32_bits():
    fmt = Format.dfp(False, -7)
    plan = p.Plan(
        ("x",), ("y",),
        (
            p.Quantize(name="q", x="x", out="i"),
            p.AveragePool(name="pool", x="i", out="m", kernel=None, low=0, high=255),
            p.Dequantize(name="d", x="m", out="y"),
        ),
        {"x": None, "i": fmt, "m": fmt, "y": None},
    )  # fmt: skip
    values = np.full((1, 1, 2902, 2902), 255 / 128, np.float32)
    assert 255 * values.size > 2**31
    check(plan, {"x": values}, threads=(1,))


@few
@given(st.data())
def test_concat(data):
    s = Sketch(data.draw)
    shape, fmt = list(shape_of(s)), s.format()
    axis = s.integer(0, len(shape) - 1)
    parts = []
    for _ in range(s.integer(1, 3)):
        shape[axis] = s.integer(1, 5)
        parts.append(s.quantised(shape, fmt))
    out = s.add(p.Concat(name="c", xs=tuple(parts), axis=axis, out=s.name()), fmt)
    check(s.plan(out), s.arrays())


def cut(s, x, batch=True):
    axes = tuple(axis for axis in range(0 if batch else 1, len(s.shapes[x])) if s.flip())
    starts = tuple(s.integer(-s.shapes[x][axis], s.shapes[x][axis] - 1) for axis in axes)
    ends = tuple(
        (start if start >= 0 else start + s.shapes[x][axis]) + s.integer(1, 9)
        for start, axis in zip(starts, axes, strict=True)
    )
    steps = tuple(s.integer(1, 3) for _ in axes)
    return p.Slice(name="s", x=x, out=s.name(), starts=starts, ends=ends, axes=axes, steps=steps)


@few
@given(st.data())
def test_slice(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s), s.format())
    check(s.plan(s.add(cut(s, x), s.formats[x])), s.arrays())


@few
@given(st.data())
def test_pad(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s), s.format())
    shape, fmt = s.shapes[x], s.formats[x]
    begins = [s.integer(-1 if size > 2 else 0, 2) for size in shape]
    ends = [s.integer(-1 if size > 2 else 0, 2) for size in shape]
    operator = p.Pad(
        name="pad", x=x, out=s.name(), pads=(*begins, *ends), value=s.integer(fmt.low, fmt.high)
    )
    check(s.plan(s.add(operator, fmt)), s.arrays())


@few
@given(st.data())
def test_table_of_every_channel(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s), s.format())
    out, axis = s.format(), s.integer(0, len(s.shapes[x]) - 1)
    tables = s.random.integers(out.low, out.high, (s.shapes[x][axis], 256), endpoint=True)
    operator = p.Table(name="table", x=x, out=s.name(), table=tables.astype(out.dtype), axis=axis)
    check(s.plan(s.add(operator, out)), s.arrays(), threads=(1, 3))


@few
@given(st.data())
def test_interpolate(data):
    s = Sketch(data.draw)
    shape = tuple(s.integer(1, 5) for _ in range(4))
    x, out = s.quantised(shape, s.format()), s.format()
    operator = p.Interpolate(
        name="resize", x=x, out=s.name(), factors=(s.integer(1, 5), s.integer(1, 5)),
        centred=s.flip(), **s.limits(out),
    )  # fmt: skip
    check(s.plan(s.add(operator, out)), s.arrays(), threads=(1, 3))


@few
@given(st.data())
def test_border(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s), s.format())
    mode, axis = s.pick("reflect", "edge", "wrap"), s.integer(0, len(s.shapes[x]) - 1)
    most = s.shapes[x][axis] - 1 if mode == "reflect" else 5
    operator = p.Border(
        name="border", x=x, out=s.name(), axis=axis, begin=s.integer(0, most),
        end=s.integer(0, most), mode=mode,
    )  # fmt: skip
    check(s.plan(s.add(operator, s.formats[x])), s.arrays(), threads=(1, 3))


@few
@given(st.data())
def test_repeat(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s), s.format())
    factors = tuple(s.integer(1, 3) for _ in s.shapes[x])
    operator = p.Repeat(name="repeat", x=x, out=s.name(), factors=factors)
    check(s.plan(s.add(operator, s.formats[x])), s.arrays(), threads=(1, 3))


@few
@given(st.data())
def test_blocks(data):
    s = Sketch(data.draw)
    block, to_space = s.integer(1, 3), s.flip()
    batch, channels, height, width = (s.integer(1, 4) for _ in range(4))
    if to_space:
        shape = (batch, channels * block**2, height, width)
    else:
        shape = (batch, channels, height * block, width * block)
    x = s.quantised(shape, s.format())
    operator = p.Blocks(
        name="blocks", x=x, out=s.name(), block=block, to_space=to_space,
        together=s.flip() or not to_space,
    )  # fmt: skip
    check(s.plan(s.add(operator, s.formats[x])), s.arrays(), threads=(1, 3))


def reshape(s, x):
    shape = s.shapes[x]
    rest = int(np.prod(shape[1:]))
    factors = [size for size in range(1, rest + 1) if rest % size == 0]
    first = s.pick(*factors)
    second = s.pick(*[size for size in factors if (rest // first) % size == 0])
    target = s.pick(
        (shape[0], -1), (0, first, -1), (shape[0], first, second, -1), (shape[0], -1, 1, 1), shape
    )
    return p.Reshape(name="reshape", x=x, out=s.name(), shape=target)


@few
@given(st.data())
def test_reshape(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s), s.format())
    check(s.plan(s.add(reshape(s, x), s.formats[x])), s.arrays())


@few
@given(st.data())
def test_transpose(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s), s.format())
    perm = tuple(data.draw(st.permutations(range(len(s.shapes[x])))))
    check(
        s.plan(s.add(p.Transpose(name="t", x=x, out=s.name(), perm=perm), s.formats[x])), s.arrays()
    )


def conv_options(s):
    kernel = (s.integer(1, 3), s.integer(1, 3))
    return kernel, {
        "strides": (s.integer(1, 2), s.integer(1, 2)),
        "pads": tuple(s.integer(0, 2) for _ in range(4)),
        "dilations": (s.integer(1, 2), s.integer(1, 2)),
    }


def layer(s, x_format, out_format, *, dynamic=False, **limits):
    kernel, options = conv_options(s)
    groups = s.pick(1, 1, 2, 8)
    inputs, outputs = groups * s.integer(1, 9), groups * s.pick(1, 2, 5, 16)
    linear = s.integer(0, 3) == 0
    if linear:
        x = s.quantised((*shape_of(s, s.pick(2, 3, 4))[:-1], inputs), x_format)
        terms = s.terms(outputs, inputs) if not dynamic else (s.weight(outputs, inputs),)
    else:
        x = s.quantised((s.integer(1, 2), inputs, s.integer(5, 9), s.integer(5, 9)), x_format)
        if s.flip():
            groups = inputs
            outputs = inputs * s.integer(1, 2)
        inside = inputs // groups
        terms = (
            s.terms(outputs, inside, kernel)
            if not dynamic
            else (s.weight(outputs, inside, kernel),)
        )
        options["groups"] = groups
    fields = {
        "name": "layer",
        "x": x,
        "terms": terms,
        "bias": s.bias(outputs),
        "out": s.name(),
        **limits,
    }
    if dynamic or (
        s.integer(0, 2) == 0
        and terms[0].channel_scale is None
        and s.formats[x].exponent is not None
    ):
        fields["bias_exponent"] = s.integer(-20, -8)
    make = (
        (lambda **more: p.Linear(**fields, **more))
        if linear
        else lambda **more: p.Conv(**fields, **options, **more)
    )
    s.formats[fields["out"]] = out_format
    shape = make().output_shape(s.shapes)
    if out_format is not None and s.flip():
        # The residual's name comes before the layer's result in the plan.
        del s.formats[fields["out"]]
        residual = s.quantised(shape, s.format(dynamic=dynamic and s.flip(), foreign=not dynamic))
        fields["out"] = s.name()
        return s.add(make(residual=residual), out_format)
    return s.add(make(), out_format)


@settings(max_examples=120)
@given(st.data())
def test_layers(data):
    s = Sketch(data.draw)
    out_format = None if s.integer(0, 3) == 0 else s.format()
    limits = s.limits(Format.dfp(False, 0)) if out_format is None else s.limits(out_format)
    try:
        out = layer(s, s.format(), out_format, **limits)
        plan = s.plan(out)
        check(plan, s.arrays(), threads=(s.pick(1, 2),))
    except UnsupportedModelError as error:
        assert "too far apart" in str(error)  # the random scales, not the core


@settings(max_examples=80)
@given(st.data())
def test_dynamic_layers(data):
    s = Sketch(data.draw)
    case = s.pick("both", "in", "out", "float")
    x_format = s.format(dynamic=case != "out", foreign=False)
    if case == "float":
        out_format, limits = None, {"low": 0, "high": 255}
    else:
        out_format = s.format(dynamic=case != "in", foreign=False)
        limits = {"low": out_format.low, "high": out_format.high}
    out = layer(s, x_format, out_format, dynamic=True, **limits, **s.bounds())
    check(s.plan(out), s.arrays(), threads=(s.pick(1, 2),))


@few
@given(st.data())
def test_dynamic_add(data):
    s = Sketch(data.draw)
    fmt = s.format(dynamic=s.flip(), foreign=False)
    a = s.format(dynamic=True, foreign=False)
    shape = shape_of(s)
    left = s.quantised(shape, a)
    other = (s.pick(1, shape[0]), *broadcast(s, shape[1:])[-len(shape) + 1 :])
    other = (other[0], *(1,) * (len(shape) - len(other)), *other[1:])
    right = s.quantised(other, s.format(dynamic=s.flip(), foreign=False))
    operator = p.Add(
        name="add", a=left, b=right, out=s.name(), low=fmt.low, high=fmt.high, **s.bounds()
    )
    check(s.plan(s.add(operator, fmt)), s.arrays(), threads=(s.pick(1, 2),))


@few
@given(st.data())
def test_dynamic_requantize(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s), s.format(dynamic=s.flip(), foreign=False))
    fmt = s.format(dynamic=s.flip() or not s.formats[x].dynamic, foreign=False)
    operator = p.Reformat(name="r", x=x, out=s.name(), low=fmt.low, high=fmt.high, **s.bounds())
    check(s.plan(s.add(operator, fmt)), s.arrays())


@few
@given(st.data())
def test_dynamic_average_pool(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s, 4), s.format(dynamic=s.flip(), foreign=False))
    fmt = s.format(dynamic=s.flip() or not s.formats[x].dynamic, foreign=False)
    check(s.plan(average_pool(s, x, fmt, low=fmt.low, high=fmt.high)), s.arrays())


@few
@given(st.data())
def test_moves_keep_dynamic_exponents(data):
    s = Sketch(data.draw)
    x = s.quantised(shape_of(s, 4), s.format(dynamic=True, foreign=False))
    x = s.add(cut(s, x, batch=False), s.formats[x])
    x = s.add(p.Transpose(name="t", x=x, out=s.name(), perm=(0, 3, 1, 2)), s.formats[x])
    x = s.add(reshape(s, x), s.formats[x])
    fmt = s.format(dynamic=True, foreign=False)
    out = s.add(p.Reformat(name="r", x=x, out=s.name(), low=fmt.low, high=fmt.high), fmt)
    check(s.plan(x, out), s.arrays())
