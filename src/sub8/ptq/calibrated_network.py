"""A float network in the form that layers are solved in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import onnx_ir as ir

from sub8.graph.groups import Group
from sub8.graph.qdq import QuantizedLayer, write_qdq
from sub8.numerics.dfp import Format
from sub8.ptq.network_inputs import NetworkInputs


@dataclass(frozen=True)
class CalibratedNetwork:
    """model: normalised. groups: of its nodes. formats: of the activations, by tensor; one without
    stays float32. inputs: the calibration inputs.
    """

    model: ir.Model
    groups: Sequence[Group]
    formats: dict[str, Format]
    inputs: NetworkInputs

    @property
    def layers(self) -> list[Group]:
        return [group for group in self.groups if group.kind == "layer"]

    def written(
        self, layers: Mapping[str, QuantizedLayer], metadata: Mapping[str, str] | None = None
    ) -> ir.Model:
        """The Q/DQ model with solved ``layers``, by name (``write_qdq``)."""
        return write_qdq(self.model, layers, self.formats, metadata or {}, self.groups)

    def on(self, inputs: NetworkInputs) -> Self:
        """The same network with other inputs."""
        return replace(self, inputs=inputs)
