"""Random plans: each operator over random shapes and formats, and chains of them."""

import math

import numpy as np
from hypothesis import strategies as st

from sub8.engine.lower.packing import PackedLayers
from sub8.engine.lower.plan import lower
from sub8.engine.lower.segment import NativeSegment
from sub8.engine.plan import operators as p
from sub8.engine.plan.reference import run_reference
from sub8.native import _core
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.numerics.weight_format import WEIGHT_FORMATS

ISAS = _core.supported_isas()
SPREAD = 3  # between the exponents of a layer's terms


class Sketch:
    """A plan under construction, with the shape of every tensor."""

    def __init__(self, draw):
        self.draw = draw
        self.operators = []
        self.formats = {}
        self.shapes = {}
        self.inputs = []
        self.random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def integer(self, low, high):
        return self.draw(st.integers(low, high))

    def flip(self):
        return self.draw(st.booleans())

    def pick(self, *choices):
        return self.draw(st.sampled_from(choices))

    def format(self, *, dynamic=False, foreign=True):
        signed = self.flip()
        if dynamic:
            return Format(signed, None)
        if foreign and self.integer(0, 3) == 0:
            zero = self.integer(-128, 127) if signed else self.integer(0, 255)
            return Format(signed, float(np.float32(self.draw(st.floats(0.004, 0.4)))), zero)
        return Format.dfp(signed, self.integer(-8, -1))

    def name(self):
        return f"t{len(self.formats)}"

    def add(self, operator, fmt):
        self.operators.append(operator)
        self.formats[operator.out] = fmt
        self.shapes[operator.out] = operator.output_shape(self.shapes)
        return operator.out

    def quantised(self, shape, fmt):
        """A new 8-bit tensor, quantised from an input."""
        name = self.name()
        self.inputs.append(name)
        self.formats[name] = None
        self.shapes[name] = tuple(shape)
        return self.add(p.Quantize(name=f"q_{name}", x=name, out=self.name()), fmt)

    def constant(self, shape, fmt):
        value = self.random.integers(fmt.low, fmt.high, shape, endpoint=True).astype(fmt.dtype)
        return self.add(p.Constant(name="constant", value=value, out=self.name()), fmt)

    def limits(self, fmt):
        low, high = sorted(self.integer(fmt.low, fmt.high) for _ in range(2))
        return self.pick({"low": fmt.low, "high": fmt.high}, {"low": low, "high": high})

    def bounds(self):
        """Real bounds of a dynamic result."""
        return self.pick(
            {},
            {"minimum": 0.0},
            {"minimum": 0.0, "maximum": 6.0},
            {"maximum": float(np.float32(1.3))},
        )

    def weight(self, outputs, inputs, kernel=(), *, foreign=False):
        kind = self.pick("ternary", "int4", "int8")
        largest = WEIGHT_FORMATS[kind].largest
        cluster = self.integer(1, inputs)
        values = self.random.integers(-largest, largest, (outputs, inputs, *kernel), endpoint=True)
        clusters = -(-inputs // cluster)
        if foreign:
            scale = self.random.random(outputs).astype(np.float32) * np.float32(0.02) + np.float32(
                0.001
            )
            ones = np.ones((outputs, clusters), np.uint8)
            return ClusteredWeight(kind, values.astype(np.int8), ones, 0, cluster, scale)
        worst = (
            2 * 255 * largest * inputs * math.prod(kernel) << SPREAD
        )  # of an accumulator, two terms
        most = max(1, min(self.pick(3, 255), (2**31 - 1) // worst))
        alpha = self.random.integers(1, most, (outputs, clusters), endpoint=True)
        exponent = self.integer(-10, SPREAD - 10)
        return ClusteredWeight(
            kind, values.astype(np.int8), alpha.astype(np.uint8), exponent, cluster
        )

    def terms(self, outputs, inputs, kernel=()):
        kind = self.integer(0, 5)
        if kind == 0:
            return (self.weight(outputs, inputs, kernel, foreign=True),)
        if kind == 1:
            return (self.weight(outputs, inputs, kernel), self.weight(outputs, inputs, kernel))
        return (self.weight(outputs, inputs, kernel),)

    def bias(self, outputs):
        largest = self.pick(0, 2**14, 2**20)
        return self.random.integers(-largest, largest, outputs, endpoint=True).astype(np.int32)

    def plan(self, *outputs):
        """The plan, its outputs made float."""
        names = []
        for output in outputs:
            if self.formats[output] is not None:
                output = self.add(p.Dequantize(name=f"d_{output}", x=output, out=self.name()), None)
            names.append(output)
        return p.Plan(tuple(self.inputs), tuple(names), tuple(self.operators), dict(self.formats))

    def arrays(self):
        """Inputs that reach past the range of their formats."""
        arrays = {}
        for operator in self.operators:
            if isinstance(operator, p.Quantize):
                fmt = self.formats[operator.out]
                scale = 2.0 ** self.integer(-6, 6) if fmt.dynamic else fmt.scale
                span = scale * (fmt.high - fmt.low) * 0.7
                values = self.random.normal(0, span / 2, self.shapes[operator.x]).astype(np.float32)
                if not fmt.signed:
                    values = np.abs(values)
                values[self.random.random(values.shape) < 0.1] = 0
                arrays[operator.x] = values
        return arrays


def run_native(plan, arrays, isa, threads=1):
    """The outputs of a plan without islands, by the native core."""
    known = dict(arrays)
    for segment in lower(plan, known, PackedLayers(isa), threads):
        assert isinstance(segment, NativeSegment)
        known.update(segment.run(known))
    return {name: known[name] for name in plan.outputs}


def check(plan, arrays, threads=(1,)):
    """Every instruction set gives the reference's bits."""
    expected = run_reference(plan, arrays)
    for isa in ISAS:
        for count in threads:
            results = run_native(plan, arrays, isa, count)
            for name in plan.outputs:
                assert results[name].dtype == expected[name].dtype
                np.testing.assert_array_equal(
                    results[name], expected[name], err_msg=f"{isa}, {name}"
                )


def layer_plan(batch_format, outputs=40):
    """A convolution and a pool of ``[2, 16, 20, 20]``: fixed, nothing is drawn."""
    rng = np.random.default_rng(3)
    s = Sketch.__new__(Sketch)  # a fixed plan: nothing is drawn
    s.operators, s.formats, s.shapes, s.inputs, s.random = [], {}, {}, [], rng
    x = s.quantised((2, 16, 20, 20), batch_format)
    values = rng.integers(-1, 2, (outputs, 16, 3, 3)).astype(np.int8)
    alpha = rng.integers(1, 200, (outputs, 4)).astype(np.uint8)
    weight = ClusteredWeight("ternary", values, alpha, -9, 4)
    fmt = Format.dfp(False, -4)
    bias = rng.integers(-999, 999, outputs).astype(np.int32)
    conv = p.Conv(
        name="conv",
        x=x,
        terms=(weight,),
        bias=bias,
        out=s.name(),
        pads=(1, 1, 1, 1),
        low=0,
        high=255,
    )
    y = s.add(conv, fmt)
    y = s.add(p.MaxPool(name="pool", x=y, out=s.name(), kernel=(2, 2), strides=(2, 2)), fmt)
    return s.plan(y)
