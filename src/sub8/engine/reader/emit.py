"""The operators found so far, and the one way to add them: rounding what is known about a value to
a format.
"""

import dataclasses
from typing import assert_never

import numpy as np
import onnx_ir as ir

from sub8.engine.plan import operators as p
from sub8.engine.reader.tables import make_table
from sub8.engine.reader.values import (
    Clamp,
    DynamicScale,
    Function,
    Integers,
    Joined,
    Known,
    Moved,
    Pending,
    Real,
    Rows,
)
from sub8.graph.naming import unused_name
from sub8.numerics.dfp import Format, dequantize, quantize


class Emitter:
    """Operators by the tensor they make, and every tensor's format (None: float32)."""

    def __init__(self, model: ir.Model):
        self.model = model
        self.operators: dict[str, p.Operator] = {}
        self.formats: dict[str, Format | None] = {}
        self.taken = {str(value.name) for node in model.graph.all_nodes() for value in node.outputs}
        self.taken |= {str(value.name) for value in model.graph.inputs}
        self.taken |= set(model.graph.initializers)

    def add(self, operator: p.Operator, fmt: Format | None) -> str:
        assert not isinstance(operator, p.Island)
        self.operators[operator.out] = operator
        self.formats[operator.out] = fmt
        return operator.out

    def fresh(self, name: str) -> str:
        """A tensor name that the graph does not use."""
        unique = unused_name(name, self.taken, ".")
        self.taken.add(unique)
        return unique

    def quantise(self, known: Known, fmt: Format, out: str, node: str, value: ir.Value) -> str:
        """The tensor that holds ``value``, known as ``known``, in ``fmt``; ``out`` where a new one
        is made.

        What has no integer operator is quantised from the float ``value``.
        """
        made = self._quantise(known, fmt, out, node)
        if made is None:
            return self.add(p.Quantize(name=node, x=str(value.name), out=out), fmt)
        return made

    def _quantise(self, known: Known, fmt: Format, out: str, node: str) -> str | None:
        match known:
            case Integers():
                if known.fmt == fmt and not fmt.dynamic:
                    return known.tensor
                return self._requantise(known, Clamp(), fmt, out, node)
            case Function():
                if known.clamp is not None:
                    return self._requantise(known.source, known.clamp, fmt, out, node)
                if fmt.dynamic or known.source.fmt.dynamic:
                    return None
                table = make_table(self.model, known, fmt)
                operator: p.Operator = p.Table(
                    name=node,
                    x=known.source.tensor,
                    table=table,
                    out=out,
                    axis=None if known.channels is None else known.channels[0],
                )
                return self.add(operator, fmt)
            case Pending():
                if fmt.dynamic and known.core.static_only:
                    return None
                return self.add(_bounded(known.core, known.clamp, fmt, out), fmt)
            case Rows():
                if fmt.dynamic or not fmt.is_power:
                    return None
                return self.add(dataclasses.replace(known.core, out=out), fmt)
            case Moved():
                if fmt.dynamic and not known.rearranges:
                    return None
                whole = self._quantise(known.inner, fmt, self.fresh(f"{out}.whole"), node)
                if whole is None:
                    return None
                return self.add(dataclasses.replace(known.template, x=whole, out=out), fmt)
            case Joined():
                if fmt.dynamic:
                    return None
                parts = []
                for index, part in enumerate(known.parts):
                    name = self.fresh(f"{out}.part{index}")
                    tensor = self._quantise(part, fmt, name, f"{known.name}.part{index}")
                    if tensor is None:
                        return None
                    parts.append(tensor)
                joined = p.Concat(name=known.name, xs=tuple(parts), axis=known.axis, out=out)
                return self.add(joined, fmt)
            case DynamicScale() | Real():
                return None
            case _:
                assert_never(known)

    def _requantise(
        self, x: Integers, clamp: Clamp, fmt: Format, out: str, node: str
    ) -> str | None:
        if x.fmt.is_power and fmt.is_power:
            core = p.Reformat(name=node, x=x.tensor, out=out, low=0, high=0)
            return self.add(_bounded(core, clamp, fmt, out), fmt)
        if x.fmt.dynamic or fmt.dynamic:
            return None
        # The float program's own roundings, kept: scales of other tools are not exact in integers.
        real = dequantize(np.arange(x.fmt.low, x.fmt.high + 1), x.fmt)
        real = np.minimum(np.maximum(real, np.float32(clamp.minimum)), np.float32(clamp.maximum))
        return self.add(p.Table(name=node, x=x.tensor, table=quantize(real, fmt), out=out), fmt)


def _bounded(core: p.RoundedOperator, clamp: Clamp, fmt: Format, out: str) -> p.RoundedOperator:
    """The operator that rounds to ``fmt``; clamping the rounded result equals rounding the clamped
    one.
    """
    if fmt.dynamic:
        return dataclasses.replace(
            core,
            out=out,
            low=fmt.low,
            high=fmt.high,
            minimum=clamp.minimum,
            maximum=clamp.maximum,
        )
    bounds = np.array([clamp.minimum, clamp.maximum], np.float32)
    low, high = (int(bound) for bound in quantize(bounds, fmt))
    return dataclasses.replace(core, out=out, low=low, high=high)
