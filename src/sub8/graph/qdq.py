"""Write the artifact: an ordinary ONNX model in Q/DQ form that any ONNX runtime executes.

Weights: ``DequantizeLinear(integers, scale, axis=1, block_size)`` with ``scale`` itself a
``DequantizeLinear`` of the uint8 alphas by 2**e. A K x K kernel is stored flat, ``[O, I*KH*KW]``
with alphas ``[O, G]`` and ``block_size = N*KH*KW``, and reshaped; a 1 x 1 kernel keeps its four
axes (alphas ``[O, G, 1, 1]``, ``block_size = N``), a matrix its two; MatMul reads it through a
Transpose.
Constant operands of sums and products: ``DequantizeLinear`` of 8-bit integers.
Activations: QuantizeLinear and DequantizeLinear right behind the tensor's producer, for every
tensor that has a Format; dynamic ones by ``sub8.DynamicScale`` with one scale per image (axis 0).
Softmax and LayerNormalization of integer groups: the functions of ``graph.rows``.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import InputError
from sub8.graph import constants, patterns, rows
from sub8.graph.dynamic import dynamic_scale, dynamic_scale_function
from sub8.graph.functions import add_function
from sub8.graph.groups import Group
from sub8.graph.naming import unused_name
from sub8.graph.new_nodes import Writer
from sub8.graph.opset import IR_VERSION, OPSET
from sub8.graph.rewire import replace
from sub8.numerics.cluster import ClusteredWeight, in_powers_of_two
from sub8.numerics.dfp import Format, dequantize, quantize


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """What a quantiser decides about one weighted layer.

    terms: one ClusteredWeight, or several whose sum is the weight (residual ternary terms); values
        ``[O, I, *kernel]``, the layout of ``Group.weight``.
    bias: int32 ``[O]`` in units of ``2**bias_exponent`` times the terms' common ``channel_scale``;
        with static exponents that is the accumulator's unit: the input's exponent plus the finest
        term's.
    """

    terms: tuple[ClusteredWeight, ...]
    bias: NDArray[np.int32]
    bias_exponent: int

    @property
    def real_bias(self) -> NDArray[np.float64]:
        """float64 ``[O]``."""
        real = np.ldexp(self.bias.astype(np.float64), self.bias_exponent)
        scale = self.terms[0].channel_scale
        return real if scale is None else real * scale


def write_qdq(
    model: ir.Model,
    layers: Mapping[str, QuantizedLayer],
    formats: Mapping[str, Format],
    metadata: Mapping[str, str],
    groups: Sequence[Group] = (),
) -> ir.Model:
    """The Q/DQ form of a normalised float model, as a new model.

    layers: by the layer's node name; a layer that is not named keeps its float weights.
    formats: by tensor name; exactly these tensors become 8-bit, their readers see the dequantised
    values. Constants may be among them.
    metadata: added to the model's own ``metadata_props``.
    groups: the model's; those of kind "norm" and "softmax" are written in their integer form.

    Raises InputError where a name is not in the model, a layer's shapes do not fit its node, or a
    scale is not a power of two that float32 can hold.
    """
    model = model.clone()
    graph = model.graph
    by_name = {str(node.name): node for node in graph if patterns.is_layer(node)}
    _write_rows(model, groups)
    writer = _Writer(graph)
    for name, layer in layers.items():
        if name not in by_name:
            raise InputError(f"layer {name!r} is not in the model; its layers: {_some(by_name)}")
        writer.weights(by_name[name], layer)
    for name, fmt in formats.items():
        if name in graph.initializers:
            writer.constant(name, fmt)
        else:
            writer.activation(name, fmt)

    for value in [value for node in graph for value in node.outputs]:
        if not value.is_graph_output():
            value.shape, value.type = None, None  # what inference derives need not be stored
    for unused in [value for value in graph.initializers.values() if not _used(value)]:
        graph.initializers.pop(str(unused.name))
    graph.opset_imports[""] = OPSET
    if any(fmt.dynamic for fmt in formats.values()):
        add_function(model, dynamic_scale_function())
    graph.sort()
    model.ir_version = max(IR_VERSION, model.ir_version or 0)
    model.producer_name = "sub8"
    for key in [key for key in model.metadata_props if key.startswith("sub8.")]:
        del model.metadata_props[key]  # what a file said of how it was made is not true of this one
    model.metadata_props.update(metadata)
    return model


def _write_rows(model: ir.Model, groups: Sequence[Group]) -> None:
    """Call the functions of ``graph.rows`` in the place of the groups that have such a form."""
    writer = Writer(model.graph)
    nodes = {str(node.name): node for node in model.graph}
    called: set[str] = set()
    for group in groups:
        last = nodes.get(group.name)
        if last is None or group.kind not in ("norm", "softmax"):
            continue
        inside = {nodes[str(node.name)] for node in group.nodes}
        form = rows.norm_form(last) or rows.softmax_form(last, inside.__contains__)
        if form is None:
            raise InputError(f"node {group.name!r}: the groups are of another model")
        replace(last, form.call(writer.constant))
        for before in reversed(form.nodes[:-1]):
            model.graph.remove(before, safe=True)
        called.add(group.kind)
    for kind, function in (("norm", rows.norm_function), ("softmax", rows.softmax_function)):
        if kind in called:
            add_function(model, function())


class _Writer:
    def __init__(self, graph: ir.Graph):
        self.graph = graph
        self.values = {str(value.name): value for value in graph.inputs}
        self.values |= {str(value.name): value for node in graph for value in node.outputs}
        self.taken = _names(graph)
        self.shared: dict[str, ir.Value] = {}
        self.stored: dict[tuple[object, ...], ir.Value] = {}

    def weights(self, node: ir.Node, layer: QuantizedLayer) -> None:
        """Replace a layer's weight and bias by their dequantised integers."""
        name, shape = str(node.name), patterns.layer_weight(node).shape
        for term in layer.terms:
            if term.values.shape != shape:
                raise InputError(f"layer {name!r}: weight {term.values.shape} does not fit {shape}")
            if not in_powers_of_two(term):
                raise InputError(f"layer {name!r}: the scales of its channels are no powers of two")
        if not layer.terms or layer.bias.shape != shape[:1] or layer.bias.dtype != np.int32:
            raise InputError(
                f"layer {name!r}: needs a weight term and an int32 bias of shape {shape[:1]}"
            )

        self._bias(node, name, layer)
        key = (node.op_type == "MatMul", *(_identity(term) for term in layer.terms))
        if key not in self.stored:
            self.stored[key] = self._weight(node, name, layer)
        node.replace_input_with(1, self.stored[key])

    def _weight(self, node: ir.Node, name: str, layer: QuantizedLayer) -> ir.Value:
        """The dequantised weight, as ``node`` reads it; layers of the same integers share one."""
        shape = layer.terms[0].values.shape
        total: ir.Value | None = None
        for index, term in enumerate(layer.terms):
            part = self._term(node, f"{name}.weight" + (f".{index}" if index else ""), term)
            if total is not None:
                part = self._before(node, "Add", [total, part], f"{name}.weight.sum{index}")
            total = part
        assert total is not None
        if len(shape) == 4 and shape[2:] != (1, 1):
            target = self._constant(
                f"sub8.shape.{'x'.join(map(str, shape))}", np.array(shape, np.int64)
            )
            total = self._before(node, "Reshape", [total, target], f"{name}.weight.kernel")
        if node.op_type == "MatMul":
            total = self._before(node, "Transpose", [total], f"{name}.weight.T", perm=(1, 0))
        return total

    def _term(self, node: ir.Node, name: str, term: ClusteredWeight) -> ir.Value:
        outputs, _, *kernel = term.values.shape
        flat = len(kernel) > 0 and tuple(kernel) != (1, 1)
        values, alpha, block = term.values, term.alpha, term.cluster
        if flat:
            values = values.reshape(outputs, -1)
            block *= math.prod(kernel)
        else:
            alpha = alpha.reshape(*alpha.shape, *kernel)
        stored = constants.add_initializer(
            self.graph,
            self._unique(f"{name}.values"),
            values.astype(ir.DataType[term.format.onnx_type].numpy()),
        )
        scales = constants.add_initializer(self.graph, self._unique(f"{name}.alpha"), alpha)
        unit = self._unit(term.exponent, term.channel_scale, f"{name}.unit")
        scale = self._before(
            node, "DequantizeLinear", [scales, unit], f"{name}.scale", **_by_channel(term)
        )
        return self._before(
            node,
            "DequantizeLinear",
            [stored, scale],
            f"{name}.flat" if flat else name,
            axis=1,
            block_size=block,
        )

    def _bias(self, node: ir.Node, name: str, layer: QuantizedLayer) -> None:
        stored = constants.add_initializer(
            self.graph, self._unique(f"{name}.bias.values"), layer.bias
        )
        term = layer.terms[0]
        unit = self._unit(layer.bias_exponent, term.channel_scale, f"{name}.bias.unit")
        bias = self._before(
            node, "DequantizeLinear", [stored, unit], f"{name}.bias", **_by_channel(term)
        )
        if node.op_type != "MatMul":
            node.resize_inputs(3)
            node.replace_input_with(2, bias)
            return
        add = patterns.bias_add(node)
        if add is not None:
            add.replace_input_with(1 if add.inputs[0] is node.outputs[0] else 0, bias)
        else:
            self._behind(node.outputs[0], "Add", [bias], f"{name}.sum")

    def constant(self, name: str, fmt: Format) -> None:
        """Let the readers of the constant called ``name`` read its dequantised 8-bit integers."""
        value = self.graph.initializers[name]
        elements = constants.array(value)
        if elements is None or fmt.exponent is None or fmt.zero_point != 0:
            raise InputError(f"constant {name!r}: its format is not static, or has a zero point")
        stored = constants.add_initializer(
            self.graph, self._unique(f"{name}.values"), quantize(elements, fmt)
        )
        for user, index in [(use.node, use.idx) for use in value.uses()]:
            made = self._before(
                user, "DequantizeLinear", [stored, self._power(fmt.exponent)], f"{name}.real"
            )
            user.replace_input_with(index, made)

    def activation(self, name: str, fmt: Format) -> None:
        """Insert QuantizeLinear and DequantizeLinear behind the tensor called ``name``."""
        value = self.values.get(name)
        if value is None:
            raise InputError(
                f"tensor {name!r} is not in the model; its tensors: {_some(self.values)}"
            )
        dtype = ir.DataType.INT8 if fmt.signed else ir.DataType.UINT8
        nodes: list[ir.Node] = []
        if fmt.scale is None:
            nodes.append(dynamic_scale(value, signed=fmt.signed))
            scale = self._name(nodes[-1], f"{name}.scale")
            quantize = ir.node(
                "QuantizeLinear", [value, scale], {"axis": 0, "output_dtype": int(dtype)}
            )
            integers = self._name(quantize, f"{name}.integers")
            back = ir.node("DequantizeLinear", [integers, scale], {"axis": 0})
        else:
            if fmt.exponent is None or not fmt.low <= fmt.zero_point <= fmt.high:
                raise InputError(
                    f"tensor {name!r}: scale {fmt.scale} is no power of two, or the zero point "
                    f"{fmt.zero_point} none of its integers"
                )
            scale = self._power(fmt.exponent)
            zero = self._constant(
                f"sub8.{fmt.zero_point or 'zero'}.{dtype.name.lower()}",
                np.array(fmt.zero_point, fmt.dtype),
            )
            source = value
            if fmt.bits < 8:
                bounds = dequantize(np.array([fmt.low, fmt.high]), fmt)
                ends = [
                    self._constant(
                        f"sub8.{side}.{fmt.bits}.{dtype.name.lower()}.{fmt.exponent}", end
                    )
                    for side, end in zip(("low", "high"), bounds, strict=True)
                ]
                nodes.append(ir.node("Clip", [value, *ends]))
                source = self._name(nodes[-1], f"{name}.narrow")
            quantize = ir.node("QuantizeLinear", [source, scale, zero])
            integers = self._name(quantize, f"{name}.integers")
            # Without a zero point it is 0. Pairs of int8 that both have one are made uint8 by ONNX
            # Runtime, which then gives what it adds behind a movement of them the wrong type.
            implied = fmt.signed and fmt.zero_point == 0
            operands = [integers, scale] if implied else [integers, scale, zero]
            back = ir.node("DequantizeLinear", operands)
        nodes += [quantize, back]
        result = back.outputs[0]
        self._replace(value, result, nodes, f"{name}.real")
        self._insert(value, nodes)

    def _replace(self, value: ir.Value, result: ir.Value, nodes: list[ir.Node], name: str) -> None:
        """Let every reader of ``value`` but the new ``nodes`` read ``result``; a graph output keeps
        its name.

        An input that the graph returns is returned as it came.
        """
        new = set(nodes)
        for user, index in [(use.node, use.idx) for use in value.uses()]:
            if user not in new:
                user.replace_input_with(index, result)
        result.name = self._unique(name)
        outputs = self.graph.outputs
        if value.is_graph_output() and not value.is_graph_input():
            result.shape, result.type = value.shape, value.type
            value.name, result.name = self._unique(f"{value.name}.accumulator"), value.name
            for index, output in enumerate(outputs):
                if output is value:
                    outputs[index] = result

    def _insert(self, value: ir.Value, nodes: list[ir.Node]) -> None:
        producer = value.producer()
        if producer is not None:
            self.graph.insert_after(producer, nodes)
        elif len(self.graph):
            self.graph.insert_before(self.graph[0], nodes)
        else:
            self.graph.extend(nodes)

    def _behind(self, value: ir.Value, op: str, others: list[ir.Value], name: str) -> None:
        node = ir.node(op, [value, *others], name=self._unique(name))
        self.values[str(value.name)] = node.outputs[0]  # what a format of that name is for
        self._replace(value, node.outputs[0], [node], name)
        self._insert(value, [node])

    def _before(
        self,
        node: ir.Node,
        op: str,
        inputs: list[ir.Value],
        name: str,
        **attributes: int | tuple[int, ...],
    ) -> ir.Value:
        new = ir.node(op, inputs, attributes)
        output = self._name(new, name)
        self.graph.insert_before(node, new)
        return output

    def _name(self, node: ir.Node, name: str) -> ir.Value:
        node.name = node.outputs[0].name = self._unique(name)
        return node.outputs[0]

    def _unit(
        self, exponent: int, channel_scale: NDArray[np.float32] | None, name: str
    ) -> ir.Value:
        """A power of two, or one for each output channel."""
        if channel_scale is None:
            return self._power(exponent)
        units = np.ldexp(channel_scale, exponent).astype(np.float32)
        if not np.all(units >= np.finfo(np.float32).tiny):
            raise InputError(f"{name}: a scale is no normal float32; rescale the layer's weights")
        return constants.add_initializer(self.graph, self._unique(name), units)

    def _power(self, exponent: int) -> ir.Value:
        if not -126 <= exponent <= 127:
            raise InputError(
                f"scale 2**{exponent} is no normal float32; rescale the layer's weights"
            )
        return self._constant(
            f"sub8.2^{exponent}", np.ldexp(np.float32(1), exponent).astype(np.float32)
        )

    def _constant(self, name: str, elements: NDArray) -> ir.Value:
        """A constant that the whole graph shares."""
        if name not in self.shared:
            self.shared[name] = constants.add_initializer(self.graph, self._unique(name), elements)
        return self.shared[name]

    def _unique(self, name: str) -> str:
        unique = unused_name(name, self.taken)
        self.taken.add(unique)
        return unique


def _names(graph: ir.Graph) -> set[str]:
    """Names of all nodes and values, those of subgraphs included."""
    names = {value.name for value in graph.inputs} | set(graph.initializers)
    for node in graph.all_nodes():
        names |= {node.name, *(value.name for value in node.outputs)}
    for subgraph in graph.subgraphs():
        names |= {value.name for value in subgraph.inputs} | set(subgraph.initializers)
    return {name for name in names if name}


def _identity(term: ClusteredWeight) -> tuple[object, ...]:
    """What two terms have in common when they are the same numbers in the same form."""
    content = hashlib.sha256(np.ascontiguousarray(term.values).data)
    content.update(np.ascontiguousarray(term.alpha).data)
    if term.channel_scale is not None:
        content.update(np.ascontiguousarray(term.channel_scale).data)
    return term.kind, term.values.shape, term.exponent, term.cluster, content.digest()


def _by_channel(term: ClusteredWeight) -> dict[str, int]:
    """Attributes of a DequantizeLinear whose scale is one number, or one for each output
    channel.
    """
    return {} if term.channel_scale is None else {"axis": 0}


def _used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output() or value.is_graph_input()


def _some(names: Mapping[str, object]) -> str:
    listed = list(names)
    return ", ".join(listed[:5]) + (", …" if len(listed) > 5 else "")
