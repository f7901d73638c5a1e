"""What quantisation and retraining give: the Q/DQ model, and a summary of its layers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from sub8.graph.qdq import QuantizedLayer
from sub8.graph.write import write_model

if TYPE_CHECKING:
    from sub8.engine.session import Session


@dataclass(frozen=True)
class LayerSummary:
    """One quantised layer: kind of its weights, N (input channels per cluster), and the
    signal-to-noise ratio of its 8-bit result against the float model's on the calibration data, in
    dB."""

    name: str
    kind: str
    cluster: int
    signal_to_noise: float


@dataclass(frozen=True)
class QuantizedModel:
    """A quantised network. model: the Q/DQ ONNX graph with its metadata. layers: in execution
    order.
    """

    model: ir.Model
    layers: tuple[LayerSummary, ...]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ONNX file (beside, then renamed). Raises InputError where that is
        impossible.
        """
        write_model(self.model, Path(path))

    def session(self, threads: int | None = None) -> "Session":
        """The integer engine on this model."""
        from sub8.engine.session import Session

        return Session(self.model, threads=threads)


def layer_summaries(
    layers: Mapping[str, QuantizedLayer], signal_to_noise: Mapping[str, float]
) -> tuple[LayerSummary, ...]:
    """One summary a layer, in the layers' order; both by name."""
    return tuple(
        LayerSummary(
            name,
            "+".join(term.kind for term in layer.terms),
            layer.terms[0].cluster,
            signal_to_noise[name],
        )
        for name, layer in layers.items()
    )
