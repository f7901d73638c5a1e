"""The verb ``compare``: several models side by side, per layer and in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sub8.errors import InputError
from sub8.model_file import InputShapes, ModelFile, ModelSource
from sub8.study.cost import cost
from sub8.verbs.inspect import Inspection, LayerReport, inspect


@dataclass(frozen=True)
class Comparison:
    """Models in the order given; ``layers[name][i]`` is model i's layer of that name, None where it
    has none.
    """

    names: tuple[str, ...]
    inspections: tuple[Inspection, ...]

    @property
    def layers(self) -> dict[str, list[LayerReport | None]]:
        rows: dict[str, list[LayerReport | None]] = {}
        for index, inspection in enumerate(self.inspections):
            for layer in inspection.layers:
                rows.setdefault(layer.name, [None] * len(self.names))[index] = layer
        return rows

    def totals(self) -> list[dict[str, float]]:
        """Per model: macs, replaced (0..1), bytes of weights, and times less work than fp32
        (``cost``).
        """
        return [
            {
                "macs": inspection.macs,
                "replaced": inspection.replaced,
                "bytes": inspection.bytes,
                "potential": cost(inspection).potential,
            }
            for inspection in self.inspections
        ]

    def to_dict(self) -> dict[str, Any]:
        models = zip(self.names, self.inspections, self.totals(), strict=True)
        return {
            "models": [
                {"name": name, **inspection.to_dict(), "totals": totals}
                for name, inspection, totals in models
            ]
        }


def compare(models: Sequence[ModelSource], *, input_shape: InputShapes | None = None) -> Comparison:
    """Inspect every model for the same input. Raises InputError for fewer than two models."""
    if len(models) < 2:
        raise InputError("compare needs at least two models")
    opened = [ModelFile.open(model) for model in models]
    names = tuple(model.path.name if model.path else model.name for model in opened)
    return Comparison(names, tuple(inspect(model, input_shape=input_shape) for model in models))
