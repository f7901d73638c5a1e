"""Well-known architectures as float ONNX models with seeded random weights: no downloads, no weight
files.

For operation counts, memory plans, benchmarks and tests. The weights are He-initialised with batch
norm already folded, so activations keep a plausible spread through the depth; predictions mean
nothing."""

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import InputError
from sub8.graph.constants import add_initializer
from sub8.graph.opset import IR_VERSION

_OPSET = 20


def build(name: str, *, seed: int = 0, size: int | None = 224, classes: int = 1000) -> ir.Model:
    """The architecture called ``name``: one of ``ARCHITECTURES``.

    size: height and width of the input ``image`` ``[batch, 3, size, size]``; None leaves them open.
    The output is ``logits`` ``[batch, classes]``. Raises InputError for an unknown name.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"architecture {name!r} unknown; known: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name](seed=seed, size=size, classes=classes)


def resnet(depth: int, *, seed: int = 0, size: int | None = 224, classes: int = 1000) -> ir.Model:
    """ResNet-18, -34, -50, -101 or -152 (He et al. 2015; stride in the 3x3 convolution),
    torchvision's names.
    """
    if depth not in _RESNET_BLOCKS:
        raise InputError(
            f"ResNet-{depth} unknown; known depths: {', '.join(map(str, _RESNET_BLOCKS))}"
        )
    net = _Builder(f"resnet{depth}", seed, size)
    x = net.conv("conv1", net.image, 3, 64, kernel=7, stride=2, activation="Relu")
    x = net.pool(x)
    channels = 64
    bottleneck = depth >= 50
    for stage, blocks in enumerate(_RESNET_BLOCKS[depth]):
        width = 64 << stage
        for index in range(blocks):
            name = f"layer{stage + 1}.{index}"
            stride = 2 if stage and not index else 1
            outputs = width * 4 if bottleneck else width
            if bottleneck:
                y = net.conv(f"{name}.conv1", x, channels, width, activation="Relu")
                y = net.conv(
                    f"{name}.conv2", y, width, width, kernel=3, stride=stride, activation="Relu"
                )
                y = net.conv(f"{name}.conv3", y, width, outputs, gain=0.4)
            else:
                y = net.conv(
                    f"{name}.conv1", x, channels, width, kernel=3, stride=stride, activation="Relu"
                )
                y = net.conv(f"{name}.conv2", y, width, width, kernel=3, gain=0.4)
            if stride != 1 or channels != outputs:
                x = net.conv(f"{name}.downsample.0", x, channels, outputs, stride=stride, gain=0.7)
            x = net.add(y, x, activation="Relu")
            channels = outputs
    return net.classifier("fc", x, channels, classes)


def mobilenet_v2(*, seed: int = 0, size: int | None = 224, classes: int = 1000) -> ir.Model:
    """MobileNetV2, width 1 (Sandler et al. 2018), torchvision's names."""
    net = _Builder("mobilenet_v2", seed, size)
    x = net.conv("features.0.0", net.image, 3, 32, kernel=3, stride=2, activation="Relu6")
    channels, block = 32, 1
    for expansion, outputs, repeats, first_stride in _MOBILENET_V2_STAGES:
        for index in range(repeats):
            name, part, hidden = f"features.{block}.conv", 0, channels * expansion
            stride = first_stride if index == 0 else 1
            y = x
            if expansion > 1:
                y = net.conv(f"{name}.0.0", y, channels, hidden, activation="Relu6")
                part = 1
            y = net.conv(
                f"{name}.{part}.0",
                y,
                hidden,
                hidden,
                kernel=3,
                stride=stride,
                groups=hidden,
                activation="Relu6",
            )
            y = net.conv(f"{name}.{part + 1}", y, hidden, outputs, gain=0.7)
            x = net.add(y, x) if stride == 1 and channels == outputs else y
            channels, block = outputs, block + 1
    x = net.conv(f"features.{block}.0", x, channels, 1280, activation="Relu6")
    return net.classifier("classifier.1", x, 1280, classes)


def efficientnet_lite0(*, seed: int = 0, size: int | None = 224, classes: int = 1000) -> ir.Model:
    """EfficientNet-Lite0 (Tan and Le 2019 without squeeze-and-excitation, ReLU6; Liu 2020).

    Strided convolutions are padded as TensorFlow pads even sizes: less before than behind.
    """
    net = _Builder("efficientnet_lite0", seed, size)
    x = net.conv("_conv_stem", net.image, 3, 32, kernel=3, stride=2, activation="Relu6", same=True)
    channels, block = 32, 0
    for repeats, kernel, first_stride, expansion, outputs in _EFFICIENTNET_LITE0_STAGES:
        for index in range(repeats):
            name, hidden = f"_blocks.{block}", channels * expansion
            stride = first_stride if index == 0 else 1
            y = x
            if expansion > 1:
                y = net.conv(f"{name}._expand_conv", y, channels, hidden, activation="Relu6")
            y = net.conv(
                f"{name}._depthwise_conv", y, hidden, hidden,
                kernel=kernel, stride=stride, groups=hidden, activation="Relu6", same=True,
            )  # fmt: skip
            y = net.conv(f"{name}._project_conv", y, hidden, outputs, gain=0.7)
            x = net.add(y, x) if stride == 1 and channels == outputs else y
            channels, block = outputs, block + 1
    x = net.conv("_conv_head", x, channels, 1280, activation="Relu6")
    return net.classifier("_fc", x, 1280, classes)


_RESNET_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
# expansion, output channels, repeats, stride of the first
_MOBILENET_V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# repeats, kernel, stride of the first, expansion, output channels
_EFFICIENTNET_LITE0_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class _Builder:
    """A graph that grows layer by layer. Weights: normal, variance gain**2 * 2 / fan-in."""

    def __init__(self, name: str, seed: int, size: int | None):
        space = ("height", "width") if size is None else (size, size)
        self.image = ir.Value(
            name="image",
            shape=ir.Shape(("batch", 3, *space)),
            type=ir.TensorType(ir.DataType.FLOAT),
        )
        self.graph = ir.Graph([self.image], [], nodes=[], opset_imports={"": _OPSET}, name=name)
        self.random = np.random.default_rng(seed)

    def conv(
        self,
        name: str,
        x: ir.Value,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str | None = None,
        gain: float = 1.0,
        same: bool = False,
    ) -> ir.Value:
        fan_in = inputs // groups * kernel * kernel
        weight = self._normal(
            (outputs, inputs // groups, kernel, kernel), gain * math.sqrt(2 / fan_in)
        )
        bias = self._normal((outputs,), 0.1)
        before = after = kernel // 2
        if same and stride == 2:
            before, after = (kernel - 2) // 2, (kernel - 1) // 2
        attributes: dict[str, int | tuple[int, ...]] = {
            "kernel_shape": (kernel, kernel),
            "strides": (stride, stride),
            "pads": (before, before, after, after),
            "group": groups,
        }
        parameters = [
            self._constant(f"{name}.weight", weight),
            self._constant(f"{name}.bias", bias),
        ]
        y = self._node("Conv", [x, *parameters], name, **attributes)
        return self._activate(y, activation, name)

    def pool(self, x: ir.Value) -> ir.Value:
        return self._node(
            "MaxPool", [x], "maxpool", kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)
        )

    def add(self, a: ir.Value, b: ir.Value, activation: str | None = None) -> ir.Value:
        name = f"{a.name}.sum"
        return self._activate(self._node("Add", [a, b], name), activation, name)

    def classifier(self, name: str, x: ir.Value, inputs: int, classes: int) -> ir.Model:
        pooled = self._node("GlobalAveragePool", [x], "pool")
        flat = self._node("Flatten", [pooled], "flatten", axis=1)
        weight = self._constant(
            f"{name}.weight", self._normal((classes, inputs), math.sqrt(1 / inputs))
        )
        bias = self._constant(f"{name}.bias", self._normal((classes,), 0.1))
        logits = self._node("Gemm", [flat, weight, bias], name, transB=1)
        logits.name, logits.type = "logits", ir.TensorType(ir.DataType.FLOAT)
        logits.shape = ir.Shape(("batch", classes))
        self.graph.outputs.append(logits)
        return ir.Model(self.graph, ir_version=IR_VERSION, producer_name="sub8")

    def _activate(self, x: ir.Value, activation: str | None, name: str) -> ir.Value:
        if activation is None:
            return x
        if activation == "Relu":
            return self._node("Relu", [x], f"{name}.relu")
        bounds = [
            self._constant(bound, np.array(v, np.float32)) for bound, v in (("zero", 0), ("six", 6))
        ]
        return self._node("Clip", [x, *bounds], f"{name}.relu6")

    def _node(
        self, op: str, inputs: list[ir.Value], name: str, **attributes: int | tuple[int, ...]
    ) -> ir.Value:
        node = ir.node(op, inputs, attributes, name=name)
        node.outputs[0].name = f"{name}.out"
        self.graph.append(node)
        return node.outputs[0]

    def _constant(self, name: str, elements: NDArray[np.float32]) -> ir.Value:
        existing = self.graph.initializers.get(name)
        return add_initializer(self.graph, name, elements) if existing is None else existing

    def _normal(self, shape: tuple[int, ...], deviation: float) -> NDArray[np.float32]:
        return self.random.standard_normal(shape, np.float32) * np.float32(deviation)


ARCHITECTURES: dict[str, Callable[..., ir.Model]] = {
    **{
        f"resnet{depth}": lambda depth=depth, **options: resnet(depth, **options)
        for depth in _RESNET_BLOCKS
    },
    "mobilenet_v2": mobilenet_v2,
    "efficientnet_lite0": efficientnet_lite0,
}
