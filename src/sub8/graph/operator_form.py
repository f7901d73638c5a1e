"""The operator form of quantised models (QLinearConv and the like, MatMulNBits) as Q/DQ.

A QLinear operator is a float operator between DequantizeLinear and QuantizeLinear, with the same
8-bit weights and the same int32 bias. Only the rounding of the result's scale is the program's own:
ONNX Runtime multiplies the exact integer sum by a float32.
"""

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes
from numpy.typing import NDArray

from sub8.graph import constants, patterns
from sub8.graph.new_nodes import Writer
from sub8.graph.quantization import MICROSOFT
from sub8.graph.rewire import replace

_HIDDEN_PRECISIONS = (0, 1)  # of MatMulNBits: products in float32


class _NoFormError(Exception):
    """The node's operands are not what Q/DQ form can say."""


def use_qdq_form(model: ir.Model, leave: Container[str] = ()) -> frozenset[str]:
    """Rewrite, in place, what operands of constant scales allow; the names of the results.

    leave: results whose nodes stay as they are.
    """
    found = [
        node
        for node in model.graph
        if node.op_type in _FORMS
        and node.domain in ("", MICROSOFT)
        and node.outputs[0].name not in leave
    ]
    if not found:
        return frozenset()
    writer, written = Writer(model.graph), set()
    for node in found:
        name = str(node.outputs[0].name)
        try:
            _FORMS[node.op_type](_Site(writer, node))
        except _NoFormError:
            continue
        written.add(name)
    return frozenset(written)


def in_qdq_form(model: ir.Model) -> ir.Model:
    """A new model, rewritten as by ``use_qdq_form``; the same where nothing is in operator form."""
    if not any(node.op_type in _FORMS for node in model.graph):
        return model
    rewritten = model.clone()
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(rewritten)
    use_qdq_form(rewritten)
    passes.RemoveUnusedNodesPass()(rewritten)
    return rewritten


def use_unsigned_weights(model: ir.Model) -> None:
    """Store int8 weights that are multiplied by uint8 tensors as uint8, in place: the same numbers
    with a zero point. ONNX Runtime's kernels for the mix saturate 16-bit sums on CPUs without VNNI.
    """
    writer = Writer(model.graph)
    for node in model.graph:
        if node.op_type not in ("QLinearConv", "QLinearMatMul", "QGemm") or len(node.inputs) < 6:
            continue
        zero_x, weight, zero = (constants.array(node.inputs[index]) for index in (2, 3, 5))
        if weight is None or zero is None or weight.dtype != np.int8 or zero.dtype != np.int8:
            continue
        if zero_x is not None and zero_x.dtype == np.uint8:
            for index, elements in ((3, weight), (5, zero)):
                raised = (elements.astype(np.int16) + 128).astype(np.uint8)
                node.replace_input_with(index, writer.constant(raised))


@dataclass(frozen=True)
class _Site:
    """One node to be rewritten."""

    writer: Writer
    node: ir.Node

    def input(self, index: int) -> ir.Value | None:
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def given(self, index: int) -> ir.Value:
        value = self.input(index)
        if value is None:
            raise _NoFormError
        return value

    def constant(self, index: int) -> NDArray:
        elements = constants.array(self.given(index))
        if elements is None:
            raise _NoFormError
        return elements

    def scale(self, index: int) -> NDArray[np.float32]:
        """Positive numbers."""
        scale = self.constant(index)
        if scale.dtype != np.float32 or not (np.isfinite(scale).all() and (scale > 0).all()):
            raise _NoFormError
        return scale

    def zero(self, index: int, stored: ir.DataType | None) -> NDArray:
        """The zero point; where it is absent, 0 of the type that is ``stored``."""
        value = self.input(index)
        if value is not None:
            zero = self.constant(index)
        elif stored in (ir.DataType.INT8, ir.DataType.UINT8):
            zero = np.zeros((), stored.numpy())
        else:
            raise _NoFormError
        if zero.dtype not in (np.int8, np.uint8):
            raise _NoFormError
        return zero

    def real(self, index: int) -> ir.Value:
        """The tensor at ``index``, whose scale and zero point follow it, dequantised."""
        x = self.given(index)
        scale, zero = self.scale(index + 1), self.zero(index + 2, x.dtype)
        if scale.size != 1 or zero.size != 1:
            raise _NoFormError
        return self._dequantised(x, scale.reshape(()), zero.reshape(()), "real")

    def weight(self, index: int, axis: int) -> tuple[ir.Value, NDArray[np.float32]]:
        """Constant weights, dequantised by one scale or by one for each index of ``axis``; and
        the scale.
        """
        values, scale = self.constant(index), self.scale(index + 1)
        zero = self.zero(index + 2, self.given(index).dtype)
        if not -values.ndim <= axis < values.ndim:
            raise _NoFormError
        scale, zero = scale.reshape(-1), zero.reshape(-1)
        count = max(scale.size, zero.size)
        if {scale.size, zero.size} - {1, count} or count not in (1, values.shape[axis]):
            raise _NoFormError
        scale = np.broadcast_to(scale, count) if count > 1 else scale.reshape(())
        zero = np.broadcast_to(zero, count) if count > 1 else zero.reshape(())
        real = self._dequantised(self.given(index), scale, zero, "weight", axis % values.ndim)
        return real, scale

    def bias(self, index: int, unit: NDArray[np.float32]) -> ir.Value | None:
        """An int32 bias in units of input scale times weight scale; None where there is none."""
        if self.input(index) is None:
            return None
        values = self.constant(index)
        if values.dtype != np.int32 or values.ndim != 1 or unit.size not in (1, values.size):
            raise _NoFormError
        zero = np.zeros(unit.shape, np.int32)
        return self._dequantised(self.given(index), unit, zero, "bias", 0)

    def _dequantised(
        self, x: ir.Value, scale: NDArray, zero: NDArray, name: str, axis: int | None = None
    ) -> ir.Value:
        inputs = [x, self.writer.constant(scale), self.writer.constant(zero)]
        attributes = {} if axis is None or scale.ndim == 0 else {"axis": axis}
        return self.writer.before(self.node, "DequantizeLinear", inputs, name, **attributes)

    def attributes(self, *dropped: str) -> dict[str, ir.Attr]:
        return {k: v for k, v in self.node.attributes.items() if k not in dropped}

    def finish(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        attributes: dict[str, ir.Attr] | None = None,
        result: int | None = None,
    ) -> None:
        """Put a float operator in the node's place, and behind it the QuantizeLinear whose scale
        and zero point are the inputs from ``result`` on.
        """
        name = self.node.outputs[0].name
        new = ir.Node("", op, inputs, list((attributes or {}).values()), name=self.node.name)
        chain = [new]
        if result is not None:
            scale, zero = self.scale(result), self.zero(result + 1, self.given(0).dtype)
            if scale.size != 1 or zero.size != 1:
                raise _NoFormError
            new.outputs[0].name = self.writer.unique(f"{name}.sum")
            new.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
            operands = [scale.reshape(()), zero.reshape(())]
            quantize = [new.outputs[0], *map(self.writer.constant, operands)]
            chain.append(ir.node("QuantizeLinear", quantize, name=f"{name}.quantize"))
        replace(self.node, *chain)


def _conv(site: _Site) -> None:
    if patterns.attribute(site.node, "channels_last", 0):
        raise _NoFormError
    x, (weight, scale) = site.real(0), site.weight(3, 0)
    bias = site.bias(8, np.asarray(site.scale(1).reshape(()) * scale, np.float32))
    inputs = [x, weight] if bias is None else [x, weight, bias]
    site.finish("Conv", inputs, site.attributes("channels_last"), 6)


def _matmul(site: _Site) -> None:
    weight, _ = site.weight(3, -1)
    site.finish("MatMul", [site.real(0), weight], None, 6)


def _gemm(site: _Site) -> None:
    if patterns.attribute(site.node, "alpha", 1.0) != 1.0:
        raise _NoFormError  # it would scale the bias too
    transposed = bool(patterns.attribute(site.node, "transB", 0))
    x, (weight, scale) = site.real(0), site.weight(3, 0 if transposed else 1)
    bias = site.bias(6, np.asarray(site.scale(1).reshape(()) * scale, np.float32))
    inputs = [x, weight] if bias is None else [x, weight, bias]
    whole = site.input(7) is None
    site.finish("Gemm", inputs, site.attributes(), None if whole else 7)


def _binary(op: str) -> Callable[[_Site], None]:
    return lambda site: site.finish(op, [site.real(0), site.real(3)], None, 6)


def _unary(op: str) -> Callable[[_Site], None]:
    def rewrite(site: _Site) -> None:
        if patterns.attribute(site.node, "channels_last", 0):
            raise _NoFormError
        site.finish(op, [site.real(0)], site.attributes("channels_last"), 3)

    return rewrite


def _concat(site: _Site) -> None:
    parts = [site.real(index) for index in range(2, len(site.node.inputs), 3)]
    site.finish("Concat", parts, site.attributes(), 0)


def _few_bits(site: _Site) -> None:
    """MatMulNBits: ``[N, blocks, bytes]`` of 2, 4 or 8 bits, lowest first, and a scale a block."""
    given = {k: int(patterns.attribute(site.node, k, 0)) for k in ("K", "N", "bits", "block_size")}
    depth, columns, bits, block = given["K"], given["N"], given["bits"] or 4, given["block_size"]
    precision = patterns.attribute(site.node, "accuracy_level", 0)
    indexed = site.input(4) is not None
    if min(depth, columns, block) < 1 or bits not in (2, 4, 8):
        raise _NoFormError
    if indexed or precision not in _HIDDEN_PRECISIONS:
        raise _NoFormError
    blocks = -(-depth // block)
    packed, scale = site.constant(1), site.scale(2)
    if packed.dtype != np.uint8 or packed.size * 8 != columns * blocks * block * bits:
        raise _NoFormError
    values = _unpacked(packed.reshape(columns, -1), bits).astype(np.int16)
    if scale.size != columns * blocks:
        raise _NoFormError
    zero = np.full((columns, blocks), 1 << (bits - 1), np.int16)
    if site.input(3) is not None:
        stored = site.constant(3)
        if stored.dtype != np.uint8 or stored.size != columns * math.ceil(blocks * bits / 8):
            raise _NoFormError
        zero = _unpacked(stored.reshape(columns, -1), bits)[:, :blocks].astype(np.int16)
    values = values - np.repeat(zero, block, axis=1)
    values = values[:, :depth]
    if np.abs(values).max(initial=0) > 127:
        raise _NoFormError
    writer, name = site.writer, f"{site.node.name or site.node.outputs[0].name}.weight"
    operands = [
        writer.constant(values.astype(np.int8), name),
        writer.constant(scale.reshape(columns, blocks)),
    ]
    weight = writer.before(
        site.node, "DequantizeLinear", operands, "weight", axis=1, block_size=block
    )
    turned = writer.before(site.node, "Transpose", [weight], "transposed")
    bias = site.input(5)
    if bias is None:
        site.finish("MatMul", [site.given(0), turned])
        return
    product = writer.before(site.node, "MatMul", [site.given(0), turned], "product")
    site.finish("Add", [product, bias])


def _unpacked(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """The numbers of each row's bytes, the lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    mask = np.uint8((1 << bits) - 1)
    return ((packed[:, :, None] >> shifts) & mask).reshape(len(packed), -1)


_FORMS: dict[str, Callable[[_Site], None]] = {
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearMul": _binary("Mul"),
    "QLinearConcat": _concat,
    "QLinearAveragePool": _unary("AveragePool"),
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearLeakyRelu": _unary("LeakyRelu"),
    "MatMulNBits": _few_bits,
}
