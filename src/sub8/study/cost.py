"""Operation counts and the cost model behind "potential 16x" (derived step by step in
docs/cost.md).

Work is counted in 8-bit additions. A b-bit multiplication made of radix-4 Booth partial products is
b/2 additions of twice the width; so, per multiply-accumulate of a datapath of fixed width:

- fp32: the mantissa product and sum fill the lanes of four 8-bit products: ``FP32_MAC = 16``;
- 8 bits times 8 bits: four partial products of one lane: ``INT8_MAC = 4``;
- ternary: one addition: ``ADDITION = 1``; a cluster's multiplication by its 8-bit scale is one more
  INT8_MAC on a wider operand, counted as two.

This is arithmetic alone; ``bytes_moved`` bounds what memory allows.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from sub8.numerics.rounding import divide_up
from sub8.numerics.weight_format import WEIGHT_FORMATS
from sub8.verbs.inspect import Inspection, LayerReport

FP32_MAC = 16
INT8_MAC = 4
SCALING = 2 * INT8_MAC
ADDITION = 1
FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerCost:
    """Per image. multiplications: of 8-bit operands (fp32 ones of a float layer). scalings: of
    cluster sums by their 8-bit scale. narrow_additions: of 8-bit products or activations into
    16-bit partial sums.
    wide_additions: of cluster sums into 32 bits. weight_bytes and activation_bytes: read or written
    once.
    work: in 8-bit additions.
    """

    name: str
    multiplications: int
    scalings: int
    narrow_additions: int
    wide_additions: int
    weight_bytes: int
    activation_bytes: int
    work: int

    @property
    def bytes_moved(self) -> int:
        return self.weight_bytes + self.activation_bytes


@dataclass(frozen=True)
class Cost:
    """A network's layers beside the same network in fp32 (``float_work``, ``float_bytes``)."""

    layers: tuple[LayerCost, ...]
    float_work: int
    float_bytes: int

    @property
    def work(self) -> int:
        return sum(layer.work for layer in self.layers)

    @property
    def bytes_moved(self) -> int:
        return sum(layer.bytes_moved for layer in self.layers)

    @property
    def potential(self) -> float:
        """How many times less arithmetic work than fp32: the paper's "potential 16x" is its
        limit.
        """
        return self.float_work / max(self.work, 1)

    @property
    def traffic(self) -> float:
        """How many times fewer bytes than fp32."""
        return self.float_bytes / max(self.bytes_moved, 1)

    def to_dict(self) -> dict[str, Any]:
        return {
            "layers": [asdict(layer) for layer in self.layers],
            "totals": {
                "work": self.work,
                "float_work": self.float_work,
                "bytes_moved": self.bytes_moved,
                "float_bytes": self.float_bytes,
                "potential": self.potential,
                "traffic": self.traffic,
            },
        }


def cost(report: Inspection) -> Cost:
    """Count what each layer of an inspected model computes and moves."""
    layers = tuple(_layer(layer) for layer in report.layers)
    parameters = sum(math.prod(layer.shape) for layer in report.layers)
    activations = sum(
        math.prod(layer.input[1:]) + math.prod(layer.output[1:]) for layer in report.layers
    )
    return Cost(
        layers,
        float_work=FP32_MAC * report.macs,
        float_bytes=FLOAT_BYTES * (parameters + activations),
    )


def _layer(layer: LayerReport) -> LayerCost:
    activations = math.prod(layer.input[1:]) + math.prod(layer.output[1:])
    if layer.kind == "float":
        return LayerCost(
            name=layer.name,
            multiplications=layer.macs,
            scalings=0,
            narrow_additions=0,
            wide_additions=layer.macs,
            weight_bytes=layer.bytes,
            activation_bytes=FLOAT_BYTES * activations,
            work=FP32_MAC * layer.macs,
        )
    inputs = layer.shape[1]
    clusters = divide_up(inputs, layer.cluster or inputs)
    terms = layer.kind.count("+") + 1
    # A cluster that spans all input channels scales the finished sum, which requantisation does
    # anyway.
    sums = terms * layer.macs * clusters // math.prod(layer.shape[1:])
    scalings = sums if clusters > 1 or terms > 1 else 0
    multiplies = any(WEIGHT_FORMATS[kind].multiplies for kind in layer.kind.split("+"))
    multiplications = terms * layer.macs if multiplies else 0
    narrow = terms * layer.macs
    work = SCALING * scalings + (INT8_MAC * multiplications if multiplies else ADDITION * narrow)
    return LayerCost(
        name=layer.name,
        multiplications=multiplications,
        scalings=scalings,
        narrow_additions=narrow,
        wide_additions=sums,
        weight_bytes=layer.bytes,
        activation_bytes=activations,
        work=work,
    )
