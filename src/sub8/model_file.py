"""A model as the verbs see it: its graph, whether it is quantised, its one image input, what its
metadata says.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from sub8.data.preprocess import Preprocess
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph.inference import baked_batch
from sub8.graph.quantization import first_of_other_form
from sub8.graph.read import read_model
from sub8.quantized_model import QuantizedModel

ModelSource: TypeAlias = str | os.PathLike[str] | ir.Model | QuantizedModel


@dataclass(frozen=True)
class ModelFile:
    """An ONNX model with one input. ``path`` is None for a model that was not read from a file."""

    name: str
    path: Path | None
    model: ir.Model

    @classmethod
    def open(cls, source: ModelSource) -> "ModelFile":
        """Read a path, or take an ``ir.Model`` or a QuantizedModel. Raises InputError."""
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            return cls(str(path), path, read_model(path))
        if isinstance(source, ir.Model):
            return cls(source.graph.name or "model", None, source)
        if isinstance(source, QuantizedModel):
            return cls(source.model.graph.name or "model", None, source.model)
        raise InputError(
            f"a model must be a path, an ir.Model or a QuantizedModel, not {type(source)}"
        )

    @cached_property
    def quantised(self) -> bool:
        """Whether the graph is in Q/DQ form."""
        return any(node.op_type == "QuantizeLinear" for node in self.model.graph)

    @cached_property
    def input(self) -> ir.Value:
        """The one float32 input; UnsupportedModelError where there are more."""
        inputs = [v for v in self.model.graph.inputs if v.name not in self.model.graph.initializers]
        if len(inputs) != 1:
            names = ", ".join(str(value.name) for value in inputs) or "none"
            raise UnsupportedModelError(f"{self.name}: needs exactly one input, has {names}")
        if inputs[0].dtype not in (None, ir.DataType.FLOAT):
            raise UnsupportedModelError(
                f"{self.name}: input {inputs[0].name!r} must be float32, is {inputs[0].dtype}"
            )
        return inputs[0]

    @cached_property
    def fixed_batch(self) -> int | None:
        """The one size of batch that the model takes; None where any is right.

        It is declared, or baked into the graph: an export that reshapes to ``(1, -1)`` gives one
        result however many images come in.
        """
        declared = self.input.shape[0] if self.input.shape else None
        return declared if isinstance(declared, int) else self.baked_batch

    @cached_property
    def baked_batch(self) -> int | None:
        """The size of batch that the graph itself has, whatever its input declares; None where it
        has none.
        """
        return baked_batch(self.model, self.input)

    @property
    def metadata(self) -> dict[str, str]:
        return self.model.metadata_props

    @cached_property
    def labels(self) -> list[str] | None:
        """The class names, one a line in the metadata ``labels``."""
        text = self.metadata.get("labels", "").strip("\n")
        return text.split("\n") if text else None

    @cached_property
    def preprocess(self) -> Preprocess | None:
        """The metadata ``preprocess``, where there is one."""
        text = self.metadata.get("preprocess")
        return Preprocess.from_metadata(text, f"{self.name}: preprocess") if text else None

    @cached_property
    def calibration(self) -> dict[str, Any]:
        """What the quantiser recorded (metadata ``sub8.calibration``); empty for other models."""
        return self._record("sub8.calibration") or {}

    @cached_property
    def signal_to_noise(self) -> dict[str, float]:
        """Decibels of every layer's result, measured in calibration; empty where unknown."""
        found = self.calibration.get("signal_to_noise", {})
        known = isinstance(found, dict) and all(isinstance(v, (int, float)) for v in found.values())
        if not known:
            raise self._damaged("sub8.calibration")
        return found

    @cached_property
    def choice(self) -> dict[str, Any] | None:
        """How the weights of a mixed-precision model were chosen (metadata ``sub8.choice``); None
        for others.
        """
        found = self._record("sub8.choice")
        if found is not None and not _is_choice(found):
            raise self._damaged("sub8.choice")
        return found

    def _record(self, key: str) -> dict[str, Any] | None:
        text = self.metadata.get(key)
        if not text:
            return None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._damaged(key) from error
        if not isinstance(found, dict):
            raise self._damaged(key)
        return found

    def _damaged(self, key: str) -> InputError:
        return InputError(f"{self.name}: metadata {key!r} is damaged; quantise the model again")

    @cached_property
    def _calibrated_shape(self) -> tuple[int, ...] | None:
        """The shape of one calibration input, where it was recorded."""
        found = self.calibration.get("input_shape")
        if found is None:
            return None
        if not isinstance(found, list) or not all(isinstance(d, int) and d > 0 for d in found):
            raise self._damaged("sub8.calibration")
        return tuple(found)

    def input_shape(self, batch: int = 1) -> tuple[int, ...]:
        """A full shape for the input: fixed sizes as declared, the batch as given, free ones as in
        ``preprocess``, or as in calibration.
        """
        declared = None if self.input.shape is None else tuple(self.input.shape)
        known = self._calibrated_shape
        if declared is None:
            if known is None:
                raise UnsupportedModelError(
                    f"{self.name}: input {self.input.name!r} declares no shape"
                )
            return batch, *known
        if not declared:
            return ()
        sizes = [dim if isinstance(dim, int) else None for dim in declared]
        sizes[0] = self.fixed_batch or batch
        if self.preprocess is not None and len(sizes) == 4:
            known = self.preprocess.shape
        if None in sizes[1:]:
            if known is None or len(known) != len(sizes) - 1:
                raise InputError(
                    f"{self.name}: input {self.input.name!r} leaves its size open; give the input "
                    "shape"
                )
            sizes[1:] = [size or other for size, other in zip(sizes[1:], known, strict=True)]
        return tuple(size for size in sizes if size is not None)

    def check_input(self, x: NDArray[Any]) -> None:
        """InputError where ``x`` does not fit the declared input."""
        if x.dtype != np.float32:
            raise InputError(f"{self.name}: the input must be float32, got {x.dtype}")
        if self.input.shape is None:
            return
        declared = tuple(dim if isinstance(dim, int) else None for dim in self.input.shape)
        fits = len(declared) == x.ndim and all(
            want is None or want == got for want, got in zip(declared, x.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if dim is None else str(dim) for dim in declared)
            raise InputError(
                f"{self.name}: input {self.input.name!r} takes [{wanted}], got {list(x.shape)}"
                f"{_remedy(declared, x.shape)}"
            )

    def serialized(self) -> bytes:
        """The model as ONNX bytes, for a runtime. InputError where they pass protobuf's 2 GiB."""
        try:
            return ir.to_proto(self.model).SerializeToString()
        except (EncodeError, ValueError) as error:
            raise InputError(f"{self.name}: passes 2 GiB, which this verb cannot take") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_choice(found: dict[str, Any]) -> bool:
    """Whether it has the parts of ``mixed.choose.Choice.to_dict`` that are shown."""

    def has(part: Any, numbers: tuple[str, ...], texts: tuple[str, ...] = ()) -> bool:
        return (
            isinstance(part, dict)
            and all(_is_number(part.get(key)) for key in numbers)
            and all(isinstance(part.get(key), str) and part[key] for key in texts)
            and (part.get("milliseconds") is None or _is_number(part["milliseconds"]))
        )

    def all_have(key: str, *keys: tuple[str, ...]) -> bool:
        return isinstance(found.get(key), list) and all(has(part, *keys) for part in found[key])

    point = ("mean_bits", "error")
    limit = {"MaxDrop": "points", "MeanBits": "bits", "MaxLatencyRatio": "ratio"}
    budget = found.get("budget")
    kind = budget.get("kind") if isinstance(budget, dict) else None
    return (
        isinstance(kind, str)
        and kind in limit
        and has(budget, (limit[kind],))
        and has(found.get("chosen"), point)
        and (kind != "MaxLatencyRatio" or _is_number(found.get("latency_ratio")))
        and all_have("front", point)
        and all_have("trials", (*point, "mean", "bound"))
        and (kind != "MaxDrop" or _tried_once(found))
        and all_have("layers", ("bits", "gain", "error"), ("name", "weights"))
        and all("milliseconds" in layer for layer in found["layers"])
    )


def _tried_once(found: dict[str, Any]) -> bool:
    bits = found["chosen"]["mean_bits"]
    return [trial["mean_bits"] for trial in found["trials"]].count(bits) == 1


def _remedy(declared: Sequence[int | None], given: Sequence[int]) -> str:
    """What was probably meant by an array of the wrong shape."""
    if len(declared) == len(given) + 1:
        return "; give batches [B, ...], a single sample as x[None]"
    channels_last = len(declared) == len(given) == 4 and declared[1] == given[3] != given[1]
    return "; give channels first: x.transpose(0, 3, 1, 2)" if channels_last else ""


def refuse_unquantised(model: ModelFile, wanted: str) -> None:
    """Raise InputError unless the model is in Q/DQ form; it says in what form the model is
    instead.
    """
    if model.quantised:
        return
    other = first_of_other_form(model.model)
    if other is not None:
        node, text = other
        raise InputError(f"{model.name}: node {str(node.name or node.outputs[0].name)!r}: {text}")
    if any(node.op_type == "DequantizeLinear" for node in model.model.graph):
        raise InputError(
            f"{model.name}: only its weights are quantised, its activations are float; {wanted}"
            " (quantise the float model: sub8 quantize)"
        )
    raise InputError(f"{model.name}: a float model; {wanted} (sub8 quantize)")
