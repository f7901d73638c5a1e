"""Bad sizes, offsets and arrays raise; nothing ever reads or writes outside of its memory."""

import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from layer_cases import packed_weights, prepared_layer

from sub8.engine.description import records as r
from sub8.engine.description.write import write
from sub8.native import _core
from sub8.numerics.cluster import ClusteredWeight

KIB = 1024


def arena(offset=0, size=KIB):
    return r.Buffer.arena(offset, size)


def program(
    operations, arena_bytes=4 * KIB, inputs=(), outputs=(), threads=1, parts=1, constants=(),
    layers=(),
):  # fmt: skip
    steps = [r.Step(operation) for operation in operations]
    held = [r.Constant(data) for data in constants]
    described = r.Program(arena_bytes, list(inputs), list(outputs), held, steps)
    return _core.Program.load("scalar", threads, parts, list(layers), write(described))


@pytest.mark.parametrize("size", [2**46 + 1, 2**63 - 1, 2**64 - 1])
def test_an_arena_beyond_all_memory_is_refused(size):
    with pytest.raises(ValueError, match="the arena is too large"):
        program([r.Fill(arena(), 0)], arena_bytes=size)


def test_memory_is_taken_as_far_as_steps_use_it():
    assert program([r.Fill(arena(KIB), 0)], arena_bytes=2**45).arena_bytes == 2 * KIB


def table(x, out, count=KIB):
    return r.LookUp(x, out, count, 1, np.zeros(256, np.uint8))


@pytest.mark.parametrize(
    ("x", "out"),
    [
        (arena(0), arena(64 * KIB)),
        (arena(2**63), arena(0)),
        (arena(4 * KIB - 64), arena(0)),
        (arena(0), arena(512)),
        (arena(0), arena(0)),
        (arena(1), arena(2 * KIB)),
        (r.Buffer.input(0, KIB), arena(0)),
        (arena(0), r.Buffer.output(3, KIB)),
        (arena(0), r.Buffer.constant(0, KIB)),
        (r.Buffer.constant(1, KIB), arena(0)),
    ],
)
def test_buffers_outside_of_their_memory(x, out):
    with pytest.raises(ValueError, match="step 0"):
        program([table(x, out)], constants=[np.zeros(KIB, np.uint8)])


def test_inputs_are_never_written():
    with pytest.raises(ValueError, match="writes an input"):
        program([table(arena(0), r.Buffer.input(0, KIB))], inputs=[KIB])


@pytest.mark.parametrize("count", [KIB + 1, -1, 0, 2**62])
def test_more_elements_than_the_buffer_holds(count):
    with pytest.raises(ValueError, match=r"bytes of a buffer|at least 1"):
        program([table(arena(0), arena(KIB), count)])


def copy(sizes, source=(0, (1,)), target=(0, (1,)), itemsize=1):
    return r.Copy(r.View(arena(0), *source), r.View(arena(KIB), *target), sizes, itemsize)


@pytest.mark.parametrize(
    "operation",
    [
        copy([KIB + 1]),
        copy([KIB], itemsize=4),
        copy([KIB], itemsize=3),
        copy([2], source=(-1, (1,))),
        copy([2], target=(0, (-1,))),
        copy([2, 2], source=(0, (1,))),
        copy([2**31, 2**31], source=(0, (0, 0)), target=(0, (0, 0))),
        copy([3], source=(0, (2**62,))),
        copy([0]),
        r.Fill(arena(0), 300),
    ],
)
def test_copies_outside_of_their_buffers(operation):
    with pytest.raises(ValueError):
        program([operation])


def softmax(rows=4, size=8, addend=None, table=64):
    x, out = arena(0, rows * size * 4), arena(KIB, rows * size)
    return r.Softmax(x, out, rows, size, 1.0, addend, arena(0, table), False, 0.5)


def layer_norm(size=8, gamma=8, beta=8, least=1e-5, scale=0.5):
    gamma, beta = np.ones(gamma, np.float32), np.zeros(beta, np.float32)
    return r.LayerNorm(arena(0), arena(KIB), 4, size, True, scale, least, gamma, beta, True, 0.5)


@pytest.mark.parametrize(
    "operation",
    [
        softmax(),  # a table of 16 exponentials
        softmax(size=0, table=4 * KIB),
        softmax(size=2**40, table=4 * KIB),
        softmax(addend=arena(0, 16), table=4 * KIB),
        layer_norm(gamma=7),
        layer_norm(beta=9),
        layer_norm(size=300, gamma=300, beta=300),
        layer_norm(size=2**17, gamma=2**17, beta=2**17),
        layer_norm(least=0.0),
        layer_norm(least=float("nan")),
    ],
)
def test_rows_outside_of_their_buffers(operation):
    with pytest.raises(ValueError):
        program([operation])


def pool(
    x=(1, 8, 8, 16), out=(4, 4), kernel=(2, 2), strides=(2, 2), pads=(0,) * 4, dilations=(1, 1)
):
    return r.PoolShape(*x, *out, *kernel, *strides, *pads, *dilations)


@pytest.mark.parametrize(
    "shape",
    [
        pool(x=(1, 9, 9, 16)),
        pool(out=(9, 9)),
        pool(out=(2**31, 1)),
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
        program([r.MaxPool(arena(0), arena(KIB), shape, False)])


def add(**changes):
    given = {
        "strides_a": [1], "strides_b": [1], "sizes": [KIB], "multiplier_a": 1, "multiplier_b": 1,
        "offset": 0, "shift": 0, "zero_point": 0, "low": 0, "high": 255,
    } | changes  # fmt: skip
    rounding = [given.pop(name) for name in ("shift", "zero_point", "low", "high")]
    a = r.Operand(arena(0), given.pop("strides_a"), False, 0)
    b = r.Operand(arena(KIB), given.pop("strides_b"), False, 0)
    return r.Add(a, b, out=arena(2 * KIB), rounding=r.Rounding(*rounding), **given)


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": 63}, {"shift": -1}, {"low": 5, "high": 4}, {"high": 256}, {"zero_point": 999},
        {"multiplier_a": 2**62}, {"offset": -(2**63)}, {"strides_a": [2]}, {"strides_b": []},
        {"sizes": [KIB, 2]},
    ],
)  # fmt: skip
def test_arithmetic_that_could_overflow(changes):
    assert program([add()]) is not None
    with pytest.raises(ValueError):
        program([add(**changes)])


def operand(kind=r.ElementType.S8, strides=(8, 1), exponent=None):
    return r.DynamicOperand(arena(0), kind, strides, exponent or r.Exponent(0), 128)


def dynamic_sum(**changes):
    given = {"sizes": [2, 8], "operands": [operand()], "minimum": None, "maximum": None}
    return r.DynamicSum(**(given | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": []},
        {"sizes": [2, 0]},
        {"sizes": [2, 8, 3]},
        {"sizes": [500, 8]},
        {"operands": []},
        {"operands": [operand(r.ElementType.S32, [KIB, 1])]},
        {"operands": [operand(exponent=r.Exponent(2**20))]},
        {"operands": [operand(exponent=r.Exponent(0, arena(0, 4), 2))]},
        {"operands": [operand(exponent=r.Exponent(0, arena(0), 3))]},
        {"operands": [operand(kind=3)]},
        {"operands": [operand(exponent=r.Exponent(-(2**31)))]},
        {"minimum": r.RealBound(2**40, 0)},
        {"minimum": r.RealBound(-(2**63), 0)},
        {"maximum": r.RealBound(1, 2**20)},
        {"maximum": r.RealBound(1, -(2**31))},
    ],
)
def test_sums_that_do_not_fit(changes):
    assert program([r.DynamicLargest(dynamic_sum(), arena(KIB, 16))]) is not None
    with pytest.raises(ValueError):
        program([r.DynamicLargest(dynamic_sum(**changes), arena(KIB, 16))])


def test_a_vector_whose_elements_lie_askew():
    """FlatBuffers' verifier lets it pass, since its length lies where it must."""
    step = r.Step(r.DynamicLargest(dynamic_sum(), arena(KIB, 16)))
    whole = write(r.Program(4 * KIB, [], [], [], [step]))
    vector = struct.pack("<Iqq", 2, 2, 8)  # the sizes
    place = whole.index(vector)
    (field,) = (
        at for at in range(0, place, 4) if at + struct.unpack_from("<I", whole, at)[0] == place
    )
    askew = bytearray(whole + bytes(-len(whole) % 8))
    struct.pack_into("<I", askew, field, len(askew) - field)
    for padding, refused in ((b"", True), (bytes(4), False)):
        struct.pack_into("<I", askew, field, len(askew) + len(padding) - field)
        moved = bytes(askew) + padding + vector
        if refused:
            with pytest.raises(ValueError, match="its structure is damaged"):
                _core.Program.load("scalar", 1, 1, [], moved)
        else:
            assert _core.Program.load("scalar", 1, 1, [], moved) is not None


def test_results_of_dynamic_steps_need_room():
    with pytest.raises(ValueError):
        program([r.DynamicLargest(dynamic_sum(), arena(KIB, 8))])
    with pytest.raises(ValueError):
        program([r.DynamicRound(dynamic_sum(), arena(KIB, 8), r.ResultExponent(0), 0, 255)])
    chosen = r.ResultExponent(0, False, arena(KIB, 16), arena(2 * KIB, 4))
    with pytest.raises(ValueError):
        program([r.DynamicRound(dynamic_sum(), arena(3 * KIB, 64), chosen, 0, 255)])


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_that_are_none(scale):
    with pytest.raises(ValueError, match="scale"):
        program([r.Quantize(arena(0), arena(KIB), r.PlanarShape(1, 1, 16), False, scale, 0)])


@pytest.mark.parametrize(
    ("multiplier", "offset"), [(2**62, 0), (-(2**63), 0), (1, 2**62), (1, -(2**63))]
)
def test_results_whose_sums_leave_64_bits(multiplier, offset):
    weights = packed_weights(
        "scalar",
        [ClusteredWeight("int8", np.ones((1, 8, 1, 1), np.int8), np.ones((1, 1), np.uint8), 0, 8)],
    )
    assert prepared_layer(weights, r.ToFloat(2**30, [2**61], [1.0])) is not None
    with pytest.raises(ValueError, match="a sum leaves 64 bits"):
        prepared_layer(weights, r.ToFloat(multiplier, [offset], [1.0]))
    with pytest.raises(ValueError, match="a sum leaves 64 bits"):
        to_8_bit = r.To8Bit([multiplier], [offset], 0, 3, 0, 0, 255, False, False)
        prepared_layer(weights, to_8_bit)


def layer(batch=1, size=(1, 4), out=(1, 4), x=None, residual=None, output=None, number=0):
    ones = np.ones((16, 8, 1, 1), np.int8)
    weights = packed_weights(
        "scalar", [ClusteredWeight("ternary", ones, np.ones((16, 2), np.uint8), 0, 4)]
    )
    result = r.To8Bit([1], [0], 0, 3, 0, 0, 255, False, False)
    run = r.RunLayer(
        number, r.Geometry(batch, *size, *out), x or arena(0, 32), residual,
        output or arena(KIB, 64),
    )  # fmt: skip
    return program([run], layers=[prepared_layer(weights, result)])


def test_layers_that_do_not_fit_their_buffers():
    assert layer() is not None
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
    with pytest.raises(ValueError, match=r"step 0 \(RunLayer\): runs a missing layer"):
        layer(number=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": 0}, "at least 1"),
        ({"outputs": 2**31 - 1, "inputs": 2**31 - 1}, "product below"),
        ({"groups": 3}, "groups do not divide"),
        ({"terms": []}, "no term"),
        ({"format": 3}, "unknown"),
        ({"cluster": 0}, "cluster"),
        ({"cluster": 2}, "do not fit together"),
        ({"alpha": np.ones(3, np.uint8)}, "do not fit together"),
        ({"codes": np.ones(31, np.uint8)}, "do not fit together"),
        ({"codes": np.full(32, 2, np.uint8)}, "out of its format's range"),
        ({"left_shift": -1}, "powers of two"),
    ],
)
def test_weights_that_do_not_fit(changes, message):
    term = {
        "format": 0, "cluster": 4, "left_shift": 0, "alpha": np.ones(32, np.uint8),
        "codes": np.zeros(32, np.uint8),
    }  # fmt: skip
    given = {"outputs": 16, "inputs": 8, "kernel_h": 1, "kernel_w": 1, "groups": 1}
    term |= {name: value for name, value in changes.items() if name in term}
    given |= {"terms": [r.WeightTerm(**term)]}
    given |= {name: value for name, value in changes.items() if name in given}
    with pytest.raises(ValueError, match=message):
        _core.PackedWeights.load("scalar", write(r.Weights(**given)))


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 3, b"\xff" * 64, write(r.Program(0, [], [], [], []))[:-9]]
)
def test_descriptions_that_are_none(data):
    with pytest.raises(ValueError, match="damaged"):
        _core.Program.load("scalar", 1, 1, [], data)


@pytest.mark.parametrize("threads", [0, -1, 10**6])
def test_team_sizes(threads):
    with pytest.raises(ValueError, match="threads"):
        program([], threads=threads)


@pytest.mark.parametrize("parts", [0, -1])
def test_no_parts(parts):
    with pytest.raises(ValueError, match="part"):
        program([], parts=parts)


def test_arrays_hold_all_parts():
    step = table(r.Buffer.input(0, KIB), r.Buffer.output(0, KIB))
    three = program([step], inputs=[KIB], outputs=[KIB], threads=2, parts=3)
    x, y = np.zeros(3 * KIB, np.uint8), np.ones(3 * KIB, np.uint8)
    three.run([x], [y])
    assert not y.any()
    with pytest.raises(ValueError, match="1024 bytes instead of 3072"):
        three.run([x[:KIB].copy()], [y])
    with pytest.raises(ValueError, match="bytes instead of"):
        three.run([x], [np.ones(4 * KIB, np.uint8)])


def test_arrays_of_the_wrong_kind():
    step = table(r.Buffer.input(0, KIB), r.Buffer.output(0, KIB))
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
