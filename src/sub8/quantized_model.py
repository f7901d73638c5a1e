"""What quantisation and retraining give: the Q/DQ model, and a summary of its layers."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from sub8.graph.qdq import QuantizedLayer
from sub8.graph.write import write_model
from sub8.quality import Quality

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
    order. ``quality`` is measured when it is first asked for.
    """

    model: ir.Model
    layers: tuple[LayerSummary, ...]
    measure: Callable[[], Quality] | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        counted = Counter(layer.kind for layer in self.layers)
        kinds = ", ".join(f"{count} {kind}" for kind, count in counted.most_common())
        return f"QuantizedModel({self.model.graph.name or 'model'!r}, layers: {kinds})"

    def _repr_html_(self) -> str:
        """A table of the layers, for notebooks."""
        rows = "".join(
            f"<tr><td>{escape(layer.name)}</td><td>{escape(layer.kind)}</td><td>{layer.cluster}</td><td>{layer.signal_to_noise:.1f}</td></tr>"
            for layer in self.layers
        )
        heads = "".join(f"<th>{head}</th>" for head in ("layer", "weights", "N", "SNR dB"))
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"

    @cached_property
    def quality(self) -> Quality | None:
        """The integer engine beside the float network, on held-out images where ``quantize`` kept
        some (``hold_out``), else on images of the calibration. Measured at the first use; None
        where there is nothing to measure with, as of a retrained network.
        """
        return None if self.measure is None else self.measure()

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the ONNX file (beside, then renamed). Raises InputError where that is impossible,
        or where a file is there that must not be replaced.
        """
        write_model(self.model, Path(path), overwrite=overwrite)

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
