"""Bad sizes, offsets and arrays raise; nothing ever reads or writes outside of its memory."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sub8.native import _core

KIB = 1024


def arena(offset=0, size=KIB):
    return _core.Buffer.arena(offset, size)


def program(steps, arena_bytes=4 * KIB, inputs=(), outputs=(), threads=1, parts=1, isa="scalar"):
    return _core.Program(
        isa=isa, threads=threads, parts=parts, arena_bytes=arena_bytes,
        input_bytes=list(inputs), output_bytes=list(outputs), steps=steps,
    )  # fmt: skip


def table(x, out, count=KIB):
    return _core.table(x, out, count, np.zeros(256, np.uint8))


@pytest.mark.parametrize(
    ("x", "out"),
    [
        (arena(0), arena(64 * KIB)),
        (arena(2**63), arena(0)),
        (arena(4 * KIB - 64), arena(0)),
        (arena(0), arena(512)),
        (arena(0), arena(0)),
        (arena(1), arena(2 * KIB)),
        (_core.Buffer.input(0, KIB), arena(0)),
        (arena(0), _core.Buffer.output(3, KIB)),
        (arena(0), _core.Buffer.constant(np.zeros(KIB, np.uint8))),
    ],
)
def test_buffers_outside_of_their_memory(x, out):
    with pytest.raises(ValueError, match="step 0"):
        program([table(x, out)])


def test_inputs_are_never_written():
    with pytest.raises(ValueError, match="writes an input"):
        program([table(arena(0), _core.Buffer.input(0, KIB))], inputs=[KIB])


@pytest.mark.parametrize("count", [KIB + 1, -1, 0, 2**62])
def test_more_elements_than_the_buffer_holds(count):
    with pytest.raises(ValueError, match=r"bytes of a buffer|at least 1"):
        table(arena(0), arena(KIB), count)


def copy(sizes, source=(0, (1,)), target=(0, (1,)), itemsize=1):
    return _core.copy(
        arena(0),
        source[0],
        list(source[1]),
        arena(KIB),
        target[0],
        list(target[1]),
        sizes,
        itemsize,
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: copy([KIB + 1]),
        lambda: copy([KIB], itemsize=4),
        lambda: copy([KIB], itemsize=3),
        lambda: copy([2], source=(-1, (1,))),
        lambda: copy([2], target=(0, (-1,))),
        lambda: copy([2, 2], source=(0, (1,))),
        lambda: copy([2**31, 2**31], source=(0, (0, 0)), target=(0, (0, 0))),
        lambda: copy([3], source=(0, (2**62,))),
        lambda: copy([0]),
        lambda: _core.fill(arena(0), 300),
    ],
)
def test_copies_outside_of_their_buffers(make):
    with pytest.raises(ValueError):
        make()


def pool(
    x=(1, 8, 8, 16), out=(4, 4), kernel=(2, 2), strides=(2, 2), pads=(0,) * 4, dilations=(1, 1)
):
    return _core.PoolShape(list(x), out, kernel, strides, list(pads), dilations)


@pytest.mark.parametrize(
    "shape",
    [
        pool(x=(1, 9, 9, 16)),
        pool(out=(9, 9)),
        pool(kernel=(0, 2)),
        pool(strides=(0, 1)),
        pool(pads=(-1, 0, 0, 0)),
        pool(dilations=(1, 2**40)),
        pool(x=(2**40, 2**40, 1, 1)),
        pool(out=(0, 1)),
    ],
)
def test_pools_that_do_not_fit(shape):
    with pytest.raises(ValueError):
        _core.max_pool(arena(0), arena(KIB), shape, False)


def add(**changes):
    values = {
        "a": arena(0), "strides_a": [1], "signed_a": False, "b": arena(KIB), "strides_b": [1],
        "signed_b": False, "out": arena(2 * KIB), "sizes": [KIB], "multiplier_a": 1,
        "multiplier_b": 1,
        "offset": 0, "shift": 0, "zero_point": 0, "low": 0, "high": 255,
    }  # fmt: skip
    return _core.add(**(values | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": 63}, {"shift": -1}, {"low": 5, "high": 4}, {"high": 256}, {"zero_point": 999},
        {"multiplier_a": 2**62}, {"offset": -(2**63)}, {"strides_a": [2]}, {"strides_b": []},
        {"sizes": [KIB, 2]},
    ],
)  # fmt: skip
def test_arithmetic_that_could_overflow(changes):
    with pytest.raises(ValueError):
        add(**changes)


def dynamic_sum(**changes):
    values = {
        "sizes": [2, 8],
        "operands": [_core.DynamicOperand(arena(0), "uint8", [8, 1], _core.Exponent(0))],
        "minimum": None,
        "maximum": None,
    }
    return _core.DynamicSum(**(values | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": []},
        {"sizes": [2, 0]},
        {"sizes": [2, 8, 3]},
        {"sizes": [500, 8]},
        {"operands": []},
        {"operands": [_core.DynamicOperand(arena(0), "int32", [KIB, 1], _core.Exponent(0))]},
        {"operands": [_core.DynamicOperand(arena(0), "int8", [8, 1], _core.Exponent(2**20))]},
        {
            "operands": [
                _core.DynamicOperand(arena(0), "int8", [8, 1], _core.Exponent(0, arena(0, 4), 2))
            ]
        },
        {
            "operands": [
                _core.DynamicOperand(arena(0), "int8", [8, 1], _core.Exponent(0, arena(0), 3))
            ]
        },
        {"minimum": (2**40, 0)},
        {"maximum": (1, 2**20)},
    ],
)
def test_sums_that_do_not_fit(changes):
    with pytest.raises(ValueError):
        dynamic_sum(**changes)


def test_results_of_dynamic_steps_need_room():
    with pytest.raises(ValueError):
        _core.dynamic_largest(dynamic_sum(), arena(KIB, 8))
    with pytest.raises(ValueError):
        _core.dynamic_round(dynamic_sum(), arena(KIB, 8), _core.ResultExponent.fixed(0), 0, 255)
    chosen = _core.ResultExponent.chosen(False, arena(KIB, 16), arena(2 * KIB, 4))
    with pytest.raises(ValueError):
        _core.dynamic_round(dynamic_sum(), arena(3 * KIB, 64), chosen, 0, 255)
    with pytest.raises(ValueError, match="not summed"):
        _core.DynamicOperand(arena(0), "float32", [1], _core.Exponent(0))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_that_are_none(scale):
    with pytest.raises(ValueError, match="scale"):
        _core.quantize(arena(0), arena(KIB), [1, 1, 16], False, scale, 0)


def layer(batch=1, size=(1, 4), out=(1, 4), x=None, residual=None, output=None):
    term = _core.WeightTerm(
        "ternary", 4, 0, np.ones((16, 8, 1, 1), np.int8), np.ones((16, 2), np.uint8)
    )
    weights = _core.PackedWeights.pack("scalar", [term])
    result = _core.RequantizeTo8Bit(multiplier=[1], offset=[0], shift=3)
    return _core.layer(
        _core.PreparedLayer(weights, False, 0, result), _core.ConvGeometry(batch, size, out),
        x or arena(0, 32), residual, output or arena(KIB, 64),
    )  # fmt: skip


def test_layers_that_do_not_fit_their_buffers():
    assert program([layer()]) is not None
    with pytest.raises(ValueError):
        layer(x=arena(0, 31))
    with pytest.raises(ValueError):
        layer(output=arena(KIB, 63))
    with pytest.raises(ValueError):
        layer(batch=0)
    with pytest.raises(ValueError):
        layer(batch=2**31 - 1, size=(2**31 - 1, 2**31 - 1), out=(2**31 - 1, 2**31 - 1))
    with pytest.raises(ValueError, match="residual"):
        layer(residual=arena(2 * KIB, 64))


@pytest.mark.parametrize("threads", [0, -1, 10**6])
def test_team_sizes(threads):
    with pytest.raises(ValueError, match="threads"):
        program([], threads=threads)


@pytest.mark.parametrize("parts", [0, -1])
def test_no_parts(parts):
    with pytest.raises(ValueError, match="part"):
        program([], parts=parts)


def test_arrays_hold_all_parts():
    step = table(_core.Buffer.input(0, KIB), _core.Buffer.output(0, KIB))
    three = program([step], inputs=[KIB], outputs=[KIB], threads=2, parts=3)
    x, y = np.zeros(3 * KIB, np.uint8), np.ones(3 * KIB, np.uint8)
    three.run([x], [y])
    assert not y.any()
    with pytest.raises(ValueError, match="1024 bytes instead of 3072"):
        three.run([x[:KIB].copy()], [y])
    with pytest.raises(ValueError, match="bytes instead of"):
        three.run([x], [np.ones(4 * KIB, np.uint8)])


def test_arrays_of_the_wrong_kind():
    step = table(_core.Buffer.input(0, KIB), _core.Buffer.output(0, KIB))
    good = program([step], inputs=[KIB], outputs=[KIB])
    x, y = np.zeros(KIB, np.uint8), np.ones(KIB, np.uint8)
    good.run([x], [y])
    assert not y.any()
    with pytest.raises(ValueError, match="bytes instead of"):
        good.run([x[:-1].copy()], [y])
    with pytest.raises(ValueError, match="takes 1 input"):
        good.run([x, x], [y])
    with pytest.raises(TypeError):
        good.run([np.zeros((KIB, 2), np.uint8)[:, 0]], [y])
    y.flags.writeable = False
    with pytest.raises(TypeError):
        good.run([x], [y])
    floats = np.zeros(KIB // 4 + 1, np.float32).view(np.uint8)[1 : KIB + 1]
    with pytest.raises(ValueError, match="aligned"):
        good.run([floats], [np.ones(KIB, np.uint8)])


def test_unknown_instruction_sets():
    with pytest.raises(ValueError, match="use one of: scalar"):
        _core.select_isa("mmx")
    run = subprocess.run(
        [sys.executable, "-c", "from sub8.native import _core; _core.select_isa()"],
        env={**os.environ, "SUB8_ISA": "mmx"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert (
        "SUB8_ISA='mmx' is unknown or not supported by this CPU; use one of: scalar" in run.stderr
    )
