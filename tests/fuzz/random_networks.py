"""Random float networks, recipes and inputs, all from one seed."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sub8 import Dfp8, Int4, Int8, Recipe, Ternary
from sub8.recipe import WeightFormat

Shape = tuple[int, ...]
OPERATORS = (
    "conv", "conv", "conv", "conv", "depthwise", "transposed", "pool", "pool", "concat", "add",
    "mul",
    "constant", "gate", "resize", "slice", "pad", "transpose", "reshape", "split", "activation",
    "shuffle",
    "normalise", "max", "mix", "attend", "mix", "attend",
)  # fmt: skip
FURTHER_INPUTS = ("image", "same", "half", "bytes", "vector", "indices", "mask", "number")
FURTHER_OUTPUTS = ("tensor", "tensor", "tensor", "half", "indices", "size")

# Inputs of a dense layer at most. The "hessian" method's time grows with them, its regression's
# with their cube: with 1,920 inputs and two ternary terms it takes half a minute.
WIDEST = 1024


@dataclass(frozen=True)
class Sample:
    """A network with what it is quantised by and run on. inputs: by name, of any types; ``x`` is
    float32 ``[B, C, H, W]``, those without axes go to every call.
    """

    seed: int
    model: ir.Model
    recipe: Recipe
    inputs: dict[str, NDArray[Any]]
    operators: tuple[str, ...]

    @property
    def fixed_batch(self) -> bool:
        (x,) = (value for value in self.model.graph.inputs if value.name == "x")
        assert x.shape is not None
        return isinstance(x.shape[0], int)

    def describe(self) -> str:
        """The network in a line."""
        a = self.recipe.activations
        w = self.recipe.weights
        inputs = ", ".join(f"{x.dtype}{list(x.shape)}" for x in self.inputs.values())
        return (
            f"seed {self.seed}: {inputs} {' '.join(self.operators)}; {w.label}, "
            f"{self.recipe.method}, {a.exponent} {a.calibration}; {len(self.model.graph.outputs)} "
            "outputs"
        )


def sample(seed: int) -> Sample:
    """The network of a seed: the same on every machine."""
    network = _Network(np.random.default_rng(seed))
    return Sample(seed, network.model(), network.recipe(), network.inputs, tuple(network.operators))


class _Network:
    def __init__(self, random: np.random.Generator):
        self.random = random
        self.nodes: list = []
        self.weights: list = []
        self.shapes: dict[str, Shape] = {}
        self.operators: list[str] = []
        batch = self.pick(1, 2, 3, 5)
        shape = (batch, self.between(1, 7), self.between(4, 13), self.between(4, 13))
        self.inputs: dict[str, NDArray[Any]] = {}
        self.fixed_batch = self.chance(0.2)
        further = self.pick(0, 0, 0, 1, 1, 2)
        x = self.conv(self.image("x", shape))
        for number in range(1, further + 1):
            x = getattr(self, f"{self.pick(*FURTHER_INPUTS)}_input")(f"x{number}", x)
        for _ in range(self.between(2, 9)):
            kind = self.pick(*OPERATORS)
            x = self.pick(*self.tensors[-3:])
            if len(self.shapes[x]) == 4:
                x = getattr(self, kind)(x)
        # What nothing reads is a result: else inputs, or most of the network, could have no use.
        read = {name for node in self.nodes for name in node.input}
        self.results: dict[str, int] = {}
        for x in [name for name in self.tensors if name not in read]:
            self.results[self.ending(x)] = TensorProto.FLOAT
        floats = self.tensors
        for _ in range(self.pick(0, 0, 0, 0, 1, 2)):
            self.further_output(self.pick(*floats))

    @property
    def tensors(self) -> list[str]:
        """All but the inputs."""
        return [name for name in self.shapes if name not in self.inputs]

    def between(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high, endpoint=True))

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def pick(self, *choices):
        return choices[self.between(0, len(choices) - 1)]

    def normal(self, *shape: int, spread: float = 1.0) -> str:
        return self.constant_of((self.random.standard_normal(shape) * spread).astype(np.float32))

    def constant_of(self, value) -> str:
        name = f"k{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op_type: str, inputs: list[str], shape: Shape, **attributes) -> str:
        name = f"t{len(self.shapes)}"
        self.nodes.append(
            helper.make_node(op_type, inputs, [name], name=f"{op_type}_{name}", **attributes)
        )
        self.shapes[name] = tuple(shape)
        self.operators.append(op_type)
        return name

    def image(self, name: str, shape: Shape) -> str:
        values = self.random.standard_normal(shape) * self.pick(0.01, 1.0, 1.0, 1.0, 50.0)
        if self.chance(0.3):
            values = np.abs(values)
        return self.input(name, values.astype(np.float32))

    def input(self, name: str, values: Any) -> str:
        self.inputs[name] = np.asarray(values)
        self.shapes[name] = self.inputs[name].shape
        return name

    def image_input(self, name: str, x: str) -> str:
        size = (self.between(4, 13), self.between(4, 13))
        return self.conv(self.image(name, (self.shapes[x][0], self.between(1, 7), *size)))

    def same_input(self, name: str, x: str) -> str:
        """Of one size with a tensor, to which it is added, without a layer of its own."""
        y = self.node("Add", [x, self.image(name, self.shapes[x])], self.shapes[x])
        return self.activation(y) if self.chance(0.5) else y

    def half_input(self, name: str, x: str) -> str:
        kind = self.pick(np.float16, np.float64)
        shape = (self.shapes[x][0], self.between(1, 5), self.between(4, 13), self.between(4, 13))
        values = self.random.standard_normal(shape).astype(kind)
        y = self.node("Cast", [self.input(name, values)], shape, to=TensorProto.FLOAT)
        return self.conv(y)

    def bytes_input(self, name: str, x: str) -> str:
        kind = self.pick(np.uint8, np.int8)
        shape = (self.shapes[x][0], self.between(1, 5), self.between(4, 13), self.between(4, 13))
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        values = self.random.integers(low, high, shape, kind, endpoint=True)
        y = self.node("Cast", [self.input(name, values)], shape, to=TensorProto.FLOAT)
        return self.conv(self.node("Div", [y, self.constant_of(np.float32(255))], shape))

    def vector_input(self, name: str, x: str) -> str:
        """A factor or a summand of every channel, by a dense layer of its own."""
        batch, channels, *_ = self.shapes[x]
        features = self.between(1, 9)
        vector = self.input(name, self.random.standard_normal((batch, features), np.float32))
        weight = self.normal(features, channels, spread=features**-0.5)
        y = self.node("Gemm", [vector, weight, self.normal(channels)], (batch, channels))
        return self.by_channel(y, x)

    def indices_input(self, name: str, x: str) -> str:
        batch, channels, *_ = self.shapes[x]
        rows = self.between(2, 9)
        kind = self.pick(np.int64, np.int32)
        indices = self.input(name, self.random.integers(0, rows, batch, kind))
        y = self.node("Gather", [self.normal(rows, channels), indices], (batch, channels))
        return self.by_channel(y, x)

    def by_channel(self, y: str, x: str) -> str:
        batch, channels, *_ = self.shapes[x]
        target = self.constant_of(np.array([0, channels, 1, 1]))
        y = self.node("Reshape", [y, target], (batch, channels, 1, 1))
        return self.node(self.pick("Add", "Mul"), [x, y], self.shapes[x])

    def mask_input(self, name: str, x: str) -> str:
        batch, _, *size = self.shapes[x]
        mask = self.input(name, self.random.random((batch, 1, *size)) < 0.7)
        if self.chance(0.5):
            other = self.constant_of(np.float32(self.pick(0, -1, 0.3)))
            return self.node("Where", [mask, x, other], self.shapes[x])
        y = self.node("Cast", [mask], self.shapes[mask], to=TensorProto.FLOAT)
        return self.node("Mul", [x, y], self.shapes[x])

    def number_input(self, name: str, x: str) -> str:
        number = self.input(name, np.float32(self.random.uniform(0.2, 3)))
        return self.node(self.pick("Mul", "Div", "Add"), [x, number], self.shapes[x])

    def further_output(self, x: str) -> None:
        kind = self.pick(*FURTHER_OUTPUTS)
        shape = self.shapes[x]
        if kind == "half":
            y = self.node("Cast", [x], shape, to=TensorProto.FLOAT16)
            self.results[y] = TensorProto.FLOAT16
        elif kind == "indices":
            one = (shape[0], 1, *shape[2:])
            self.results[self.node("ArgMax", [x], one, axis=1)] = TensorProto.INT64
        elif kind == "size":
            self.results[self.node("Shape", [x], (len(shape),))] = TensorProto.INT64
        else:
            self.results[x] = TensorProto.FLOAT

    def window(self, size: int, *, most: int = 4) -> tuple[int, int, int, int, int, int]:
        """kernel, stride, dilation, begin, end, and the result's size, all fitting."""
        dilation = self.pick(1, 1, 1, 2)
        kernel = self.between(1, min(most, (size - 1) // dilation + 1))
        begin, end = (self.between(0, kernel - 1) for _ in range(2))
        stride = self.pick(1, 1, 1, 2, 3)
        span = (kernel - 1) * dilation + 1
        return kernel, stride, dilation, begin, end, (size + begin + end - span) // stride + 1

    def conv(self, x: str, *, groups: int = 0, outputs: int = 0) -> str:
        batch, channels, *size = self.shapes[x]
        groups = groups or self.pick(
            1, 1, 1, *(g for g in range(1, channels + 1) if channels % g == 0)
        )
        outputs = outputs or groups * self.between(1, max(1, 18 // groups))
        (kh, sh, dh, top, bottom, height), (kw, sw, dw, left, right, width) = map(self.window, size)
        inputs = channels // groups
        spread = math.sqrt(2 / (inputs * kh * kw))
        operands = [x, self.normal(outputs, inputs, kh, kw, spread=spread)]
        if self.chance(0.6):
            operands.append(self.normal(outputs, spread=0.3))
        y = self.node(
            "Conv", operands, (batch, outputs, height, width), kernel_shape=[kh, kw],
            strides=[sh, sw],
            dilations=[dh, dw], pads=[top, left, bottom, right], group=groups,
        )  # fmt: skip
        return self.activation(y) if self.chance(0.6) else y

    def depthwise(self, x: str) -> str:
        channels = self.shapes[x][1]
        return self.conv(x, groups=channels, outputs=channels * self.pick(1, 1, 2))

    def transposed(self, x: str) -> str:
        batch, channels, *size = self.shapes[x]
        outputs = self.between(1, 8)
        if max(size) > 12:
            return x
        weight = self.normal(channels, outputs, 2, 2, spread=channels**-0.5)
        shape = (batch, outputs, *(2 * n for n in size))
        return self.node("ConvTranspose", [x, weight], shape, strides=[2, 2])

    def activation(self, x: str) -> str:
        shape = self.shapes[x]
        kind = self.pick(
            "Relu", "Relu", "Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSwish", "Silu", "PRelu",
            "Tanh", "Softmax",
        )  # fmt: skip
        if kind == "Clip":
            bounds = [self.constant_of(np.float32(b)) for b in self.pick((0, 6), (-1, 1), (0.5, 3))]
            return self.node("Clip", [x, *bounds], shape)
        if kind == "LeakyRelu":
            return self.node("LeakyRelu", [x], shape, alpha=self.pick(0.01, 0.1, 0.3))
        if kind == "Silu":
            return self.node("Mul", [x, self.node("Sigmoid", [x], shape)], shape)
        if kind == "PRelu":
            slope = self.normal(*self.pick((1,), (shape[1], 1, 1)), spread=0.3)
            return self.node("PRelu", [x, slope], shape)
        return self.node(kind, [x], shape, **({"axis": 1} if kind == "Softmax" else {}))

    def pool(self, x: str) -> str:
        batch, channels, *size = self.shapes[x]
        kind = self.pick("MaxPool", "MaxPool", "AveragePool", "AveragePool", "Global", "ReduceMean")
        if kind == "Global":
            op_type = self.pick("GlobalAveragePool", "GlobalMaxPool")
            return self.node(op_type, [x], (batch, channels, 1, 1))
        if kind == "ReduceMean":
            axes = self.pick([2, 3], [3], [1])
            shape = [1 if axis in axes else n for axis, n in enumerate(self.shapes[x])]
            return self.node(kind, [x, self.constant_of(np.array(axes))], tuple(shape))
        (kh, sh, dh, top, bottom, height), (kw, sw, dw, left, right, width) = map(self.window, size)
        pads = [top, left, bottom, right]
        options = {"kernel_shape": [kh, kw], "strides": [sh, sw], "pads": pads}
        if kind == "MaxPool":
            return self.node(
                kind, [x], (batch, channels, height, width), dilations=[dh, dw], **options
            )
        height = (size[0] + top + bottom - kh) // sh + 1
        width = (size[1] + left + right - kw) // sw + 1
        include = self.between(0, 1)
        shape = (batch, channels, height, width)
        return self.node(kind, [x], shape, count_include_pad=include, **options)

    def partner(self, x: str) -> str | None:
        same = [
            n for n, s in self.shapes.items() if s == self.shapes[x] and n not in (*self.inputs, x)
        ]
        return self.pick(*same) if same else None

    def add(self, x: str) -> str:
        other = self.partner(x) or self.same_conv(x)
        y = self.node(self.pick("Add", "Add", "Add", "Sub"), [x, other], self.shapes[x])
        return self.activation(y) if self.chance(0.5) else y

    def same_conv(self, x: str) -> str:
        batch, channels, height, width = self.shapes[x]
        weight = self.normal(channels, channels, 1, 1, spread=channels**-0.5)
        return self.node("Conv", [x, weight], (batch, channels, height, width))

    def mul(self, x: str) -> str:
        return self.node("Mul", [x, self.partner(x) or self.same_conv(x)], self.shapes[x])

    def max(self, x: str) -> str:
        return self.node(
            self.pick("Max", "Min"), [x, self.partner(x) or self.same_conv(x)], self.shapes[x]
        )

    def constant(self, x: str) -> str:
        shape = self.pick((), (1,), (self.shapes[x][1], 1, 1), (1, self.shapes[x][1], 1, 1))
        return self.node(self.pick("Add", "Mul"), [x, self.normal(*shape)], self.shapes[x])

    def gate(self, x: str) -> str:
        batch, channels, *_ = self.shapes[x]
        pooled = self.node("GlobalAveragePool", [x], (batch, channels, 1, 1))
        gate = self.node(
            self.pick("Sigmoid", "HardSigmoid"), [self.same_conv(pooled)], (batch, channels, 1, 1)
        )
        return self.node("Mul", [x, gate], self.shapes[x])

    def concat(self, x: str) -> str:
        batch, _, *size = self.shapes[x]
        others = [
            n for n, s in self.shapes.items()
            if len(s) == 4 and list(s[2:]) == size and n not in self.inputs and s[0] == batch
        ]  # fmt: skip
        parts = [x, *(self.pick(*others) for _ in range(self.between(1, 2)))]
        total = sum(self.shapes[part][1] for part in parts)
        if total > 40:
            return x
        return self.node("Concat", parts, (batch, total, *size), axis=self.pick(1, -3))

    def resize(self, x: str) -> str:
        batch, channels, height, width = self.shapes[x]
        if max(height, width) > 13:
            return x
        scales = self.constant_of(np.array([1, 1, 2, 2], np.float32))
        mode = self.pick("nearest", "linear", "cubic")
        place = self.pick("asymmetric", "half_pixel", "align_corners")
        options = {"nearest_mode": "floor"} if mode == "nearest" else {}
        return self.node(
            "Resize", [x, "", scales], (batch, channels, 2 * height, 2 * width), mode=mode,
            coordinate_transformation_mode=place, **options,
        )  # fmt: skip

    def slice(self, x: str) -> str:
        shape = list(self.shapes[x])
        axes = [axis for axis in (1, 2, 3) if self.chance(0.5)] or [3]
        starts, ends, steps = [], [], []
        for axis in axes:
            start = self.between(0, shape[axis] - 1)
            end, step = self.between(start + 1, shape[axis] + 2), self.pick(1, 1, 2, 3)
            starts.append(start)
            ends.append(end)
            steps.append(step)
            shape[axis] = len(range(*slice(start, end, step).indices(shape[axis])))
        operands = [self.constant_of(np.array(v)) for v in (starts, ends, axes, steps)]
        return self.node("Slice", [x, *operands], tuple(shape))

    def split(self, x: str) -> str:
        batch, channels, *size = self.shapes[x]
        if channels < 2:
            return x
        first = self.between(1, channels - 1)
        sizes = self.constant_of(np.array([first, channels - first]))
        names = [f"t{len(self.shapes)}", f"t{len(self.shapes) + 1}"]
        self.nodes.append(
            helper.make_node("Split", [x, sizes], names, axis=1, name=f"Split_{names[0]}")
        )
        for name, count in zip(names, (first, channels - first), strict=True):
            self.shapes[name] = (batch, count, *size)
        self.operators.append("Split")
        return names[1]

    def pad(self, x: str) -> str:
        batch, channels, height, width = self.shapes[x]
        mode = self.pick("constant", "constant", "reflect", "edge")
        most = 0 if mode == "reflect" and min(height, width) < 3 else 2
        begin_c = self.between(0, 1) if mode == "constant" else 0
        b, e = [self.between(0, most) for _ in range(2)], [self.between(0, most) for _ in range(2)]
        pads = self.constant_of(np.array([0, begin_c, *b, 0, 0, *e]))
        shape = (batch, channels + begin_c, height + b[0] + e[0], width + b[1] + e[1])
        return self.node("Pad", [x, pads], shape, mode=mode)

    def transpose(self, x: str) -> str:
        perm = self.pick((0, 1, 3, 2), (0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1, 3))
        return self.node("Transpose", [x], tuple(self.shapes[x][axis] for axis in perm), perm=perm)

    def reshape(self, x: str) -> str:
        batch, channels, height, width = self.shapes[x]
        shape = self.pick(
            (channels, height * width, 1), (channels, width, height), (1, channels * height, width)
        )
        target = [0, *shape]
        target[self.between(1, 3)] = -1
        return self.node("Reshape", [x, self.constant_of(np.array(target))], (batch, *shape))

    def shuffle(self, x: str) -> str:
        batch, channels, height, width = self.shapes[x]
        if channels % 2:
            return x
        half = channels // 2
        y = self.node(
            "Reshape", [x, self.constant_of(np.array([0, 2, half, height, width]))],
            (batch, 2, half, height, width),
        )  # fmt: skip
        y = self.node("Transpose", [y], (batch, half, 2, height, width), perm=[0, 2, 1, 3, 4])
        target = self.constant_of(np.array([0, channels, height, width]))
        return self.node("Reshape", [y, target], (batch, channels, height, width))

    def mix(self, x: str) -> str:
        """Matrix products over the channels of every position, as in transformers."""
        batch, channels, height, width = self.shapes[x]
        rows = self.constant_of(np.array([0, channels, height * width]))
        y = self.node("Reshape", [x, rows], (batch, channels, height * width))
        y = self.node("Transpose", [y], (batch, height * width, channels), perm=[0, 2, 1])
        for _ in range(self.between(1, 2)):
            outputs = self.between(1, 12)
            shape = (batch, height * width, outputs)
            weight = self.normal(channels, outputs, spread=channels**-0.5)
            y = self.node("MatMul", [y, weight], shape)
            channels = outputs
            if self.chance(0.5):
                y = self.node("Add", [y, self.normal(outputs)], shape)
            if self.chance(0.4):
                y = self.node(self.pick("Relu", "Sigmoid", "Abs"), [y], shape)
        y = self.node("Transpose", [y], (batch, channels, height * width), perm=[0, 2, 1])
        target = self.constant_of(np.array([0, channels, height, width]))
        return self.node("Reshape", [y, target], (batch, channels, height, width))

    def attend(self, x: str) -> str:
        """Products of two activations: every position asks every other one, in one or two heads."""
        batch, channels, height, width = self.shapes[x]
        places, heads = height * width, self.between(1, 2)
        inner = self.between(1, 9)
        rows = self.constant_of(np.array([0, channels, places]))
        y = self.node("Reshape", [x, rows], (batch, channels, places))
        y = self.node("Transpose", [y], (batch, places, channels), perm=[0, 2, 1])
        if self.chance(0.4):
            operands = [y, self.normal(channels), self.normal(channels)]
            y = self.node("LayerNormalization", operands, self.shapes[y], axis=-1)

        def part(perm: list[int]) -> str:
            weight = self.normal(channels, heads * inner, spread=channels**-0.5)
            found = self.node("MatMul", [y, weight], (batch, places, heads * inner))
            target = self.constant_of(np.array([0, places, heads, inner]))
            found = self.node("Reshape", [found, target], (batch, places, heads, inner))
            shape = tuple((batch, places, heads, inner)[axis] for axis in perm)
            return self.node("Transpose", [found], shape, perm=perm)

        asked, known = part([0, 2, 1, 3]), part([0, 2, 3, 1])
        if self.chance(0.5):
            factor = self.constant_of(np.float32(inner**-0.5))
            asked = self.node("Mul", [asked, factor], self.shapes[asked])
        scores = self.node("MatMul", [asked, known], (batch, heads, places, places))
        kind = self.pick("Softmax", "Softmax", "Relu", "")
        if self.chance(0.3):
            factor = self.constant_of(np.float32(inner**-0.5))
            scores = self.node("Mul", [scores, factor], self.shapes[scores])
        if self.chance(0.3):
            distances = self.normal(*self.pick((places, places), (heads, 1, places)))
            scores = self.node("Add", [scores, distances], self.shapes[scores])
        if kind:
            attributes = {"axis": -1} if kind == "Softmax" else {}
            scores = self.node(kind, [scores], self.shapes[scores], **attributes)
        shape = (batch, heads, places, inner)
        mixed = self.node("MatMul", [scores, part([0, 2, 1, 3])], shape)
        mixed = self.node("Transpose", [mixed], (batch, heads, inner, places), perm=[0, 1, 3, 2])
        target = self.constant_of(np.array([0, heads * inner, height, width]))
        return self.node("Reshape", [mixed, target], (batch, heads * inner, height, width))

    def normalise(self, x: str) -> str:
        channels = self.shapes[x][1]
        scale, shift = self.normal(channels), self.normal(channels)
        if self.chance(0.3):
            return self.node("InstanceNormalization", [x, scale, shift], self.shapes[x])
        mean = self.normal(channels, spread=0.2)
        variance = self.constant_of(self.random.uniform(0.5, 2, channels).astype(np.float32))
        return self.node("BatchNormalization", [x, scale, shift, mean, variance], self.shapes[x])

    def ending(self, x: str) -> str:
        kind = self.pick("none", "conv", "pooled", "flat", "flat")
        if len(self.shapes[x]) != 4 or kind == "none":
            return x
        if kind == "conv":
            return self.conv(x)
        batch, channels, *_ = self.shapes[x]
        if kind == "pooled":
            x = self.node("GlobalAveragePool", [x], (batch, channels, 1, 1))
        features = math.prod(self.shapes[x][1:])
        if features > WIDEST:
            return x
        flat = self.node("Flatten", [x], (batch, features))
        outputs = self.between(1, 12)
        spread = features**-0.5
        if self.chance(0.5):
            operands = [flat, self.normal(outputs, features, spread=spread), self.normal(outputs)]
            return self.node("Gemm", operands, (batch, outputs), transB=1)
        weight = self.normal(features, outputs, spread=spread)
        return self.node("MatMul", [flat, weight], (batch, outputs))

    def model(self) -> ir.Model:
        inputs = []
        for name, values in self.inputs.items():
            shape: tuple[Any, ...] = values.shape
            if shape and not self.fixed_batch:
                shape = ("batch", *shape[1:])
            kind = helper.np_dtype_to_tensor_dtype(values.dtype)
            inputs.append(helper.make_tensor_value_info(name, kind, shape))
        graph = helper.make_graph(
            self.nodes,
            "random",
            inputs,
            [
                helper.make_tensor_value_info(name, kind, [None] * len(self.shapes[name]))
                for name, kind in sorted(self.results.items())
            ],
            self.weights,
        )
        imports = [helper.make_opsetid("", self.pick(18, 20, 21))]
        return ir.from_proto(helper.make_model(graph, opset_imports=imports, ir_version=10))

    def recipe(self) -> Recipe:
        method = self.pick(*["optimal"] * 7, *["paper"] * 3, "hessian")  # the last takes long
        weights = self.weight_format(method)
        return Recipe(
            weights=weights,
            first=self.pick(Int8(), weights),
            last=self.pick(Int8(), weights),
            depthwise=self.pick(Int8(), weights),
            activations=Dfp8(
                exponent=self.pick("static", "static", "dynamic"),
                calibration=self.pick("max", "percentile", "mse"),
                percentile=self.pick(99.0, 99.99, 90.0),
            ),
            method=method,
            correct_statistics=self.chance(0.7),
        )

    def weight_format(self, method: str) -> WeightFormat:
        cluster = self.pick(1, 2, 3, 4, 16, "all")
        if method == "paper":
            return Ternary(cluster)
        terms = self.pick(1, 1, 1, 2)
        kind = self.pick("ternary", "ternary", "int4", "int8")
        return WeightFormat(kind, cluster, terms) if terms == 2 else {
            "ternary": Ternary, "int4": Int4, "int8": Int8,
        }[kind](cluster=cluster)  # fmt: skip
