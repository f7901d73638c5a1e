"""A model as the verbs see it: its graph, whether it is quantised, its inputs, what its metadata
says.
"""

import ast
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from sub8.data import Dataset, DataSource, Feed, load_feeds, open_inputs
from sub8.data.inputs import Feeds
from sub8.data.preprocess import Preparation, Preprocess
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph import patterns
from sub8.graph.guards import is_guarded
from sub8.graph.inference import baked_batch
from sub8.graph.naming import node_name
from sub8.graph.quantization import OPERATOR_FORM, QUANTIZED, first_of_other_form
from sub8.graph.read import read_model
from sub8.quantized_model import QuantizedModel

ModelSource: TypeAlias = str | os.PathLike[str] | ir.Model | QuantizedModel
# What a model may demand of one call.
MOST_SAMPLES = 1 << 16
MOST_BYTES = 1 << 32  # of one input
# Of the first input, or of any by name; batch first.
InputShapes: TypeAlias = tuple[int, ...] | Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class ModelFile:
    """An ONNX model. ``path`` is None for a model that was not read from a file."""

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

    @property
    def runnable(self) -> Path | ir.Model:
        """What ONNX Runtime is given: the file, or the model where reading put guards in it."""
        return self.model if self.path is None or is_guarded(self.model) else self.path

    @cached_property
    def quantised(self) -> bool:
        """Whether the graph is in Q/DQ form, or in operator form."""
        kinds = OPERATOR_FORM | {"QuantizeLinear"}
        return any(node.op_type in kinds for node in self.model.graph)

    @property
    def quantised_in_any_form(self) -> bool:
        """Also dynamically, or its weights alone: no float model to plan for, but one that runs."""
        return any(node.op_type in QUANTIZED for node in self.model.graph)

    @cached_property
    def inputs(self) -> tuple[ir.Value, ...]:
        """All inputs; UnsupportedModelError where there is none, or one that is no tensor of
        numbers, or one that is bfloat16, as an output may not be either.
        """
        inputs = patterns.graph_inputs(self.model.graph)
        if not inputs:
            raise UnsupportedModelError(f"{self.name}: has no input")
        for value in inputs:
            tensor = value.type is None or isinstance(value.type, ir.TensorType)
            if not tensor or value.dtype == ir.DataType.STRING:
                raise UnsupportedModelError(
                    f"{self.name}: input {value.name!r} is of type {value.type}; inputs must be "
                    "tensors of numbers"
                )
        for value in (*inputs, *self.model.graph.outputs):
            if value.dtype == ir.DataType.BFLOAT16:
                raise UnsupportedModelError(
                    f"{self.name}: {value.name!r} is bfloat16, which ONNX Runtime neither takes"
                    " nor gives in Python; export it as float32 (weights may be bfloat16)"
                )
        return tuple(inputs)

    @cached_property
    def input_types(self) -> dict[str, np.dtype]:
        """What every input takes, by name."""
        return {
            str(value.name): np.dtype((value.dtype or ir.DataType.FLOAT).numpy())
            for value in self.inputs
        }

    @cached_property
    def input(self) -> ir.Value:
        """The one float32 input; UnsupportedModelError where there are more."""
        if len(self.inputs) != 1:
            names = ", ".join(self.input_types)
            raise UnsupportedModelError(f"{self.name}: needs exactly one input, has {names}")
        if self.inputs[0].dtype not in (None, ir.DataType.FLOAT):
            raise UnsupportedModelError(
                f"{self.name}: input {self.inputs[0].name!r} must be float32, is "
                f"{self.inputs[0].dtype}"
            )
        return self.inputs[0]

    @cached_property
    def fixed_batch(self) -> int | None:
        """The one size of batch that the model takes; None where any is right. InputError where
        nothing can be of that size.

        It is declared, or baked into the graph: an export that reshapes to ``(1, -1)`` gives one
        result however many images come in.
        """
        declared = {value.shape[0] for value in self.inputs if value.shape}
        one = next(iter(declared)) if len(declared) == 1 else None
        size = one if isinstance(one, int) else self.baked_batch
        if size is not None and not 1 <= size <= min(map(_most_samples, self.inputs)):
            raise InputError(
                f"{self.name}: takes batches of {size} only; export it with an open batch size"
            )
        return size

    @cached_property
    def baked_batch(self) -> int | None:
        """The size of batch that the graph itself has, whatever its inputs declare; None where it
        has none.
        """
        return baked_batch(self.model, self.inputs)

    def dataset(self, data: DataSource, *, name: str = "data", limit: int | None = None) -> Dataset:
        """Samples for the model's inputs, see ``open_inputs``."""
        return open_inputs(data, self.input_types, self.labels, name=name, limit=limit)

    def feeds(
        self, dataset: Dataset, preprocess: Preparation | None = None, batch: int = 32
    ) -> Iterator[tuple[Feed, NDArray[np.int64] | None, int]]:
        """The inputs of one call after another, with labels (None where unknown) and the number of
        samples.

        Images are prepared as the model's metadata says, unless ``preprocess`` does. A model that
        takes one size of batch only gets that, the last one filled up.
        """
        fixed, done = self.fixed_batch, 0
        chosen = preprocess or self.preprocess
        batches = load_feeds(
            dataset, self.input_types, chosen, fixed or batch, filled=fixed is not None
        )
        for feed, labels in batches:
            self.check_inputs(feed)
            one = isinstance(dataset, Feeds)
            count = 1 if one else min(fixed or batch, len(dataset) - done)
            yield feed, labels, count
            done += count

    @property
    def metadata(self) -> dict[str, str]:
        return self.model.metadata_props

    @cached_property
    def labels(self) -> list[str] | None:
        """The class names, one a line in the metadata ``labels``, or as YOLO's exporter writes
        them: ``names``, a dict by class.
        """
        text = self.metadata.get("labels", "").strip("\n")
        if text:
            return text.split("\n")
        try:
            names = ast.literal_eval(self.metadata.get("names", ""))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        if not isinstance(names, dict) or sorted(names) != list(range(len(names))):
            return None
        return [str(names[label]) for label in range(len(names))] or None

    @cached_property
    def alphabet(self) -> list[str] | None:
        """A text recogniser's characters from class 1 on, one a line in the metadata ``character``
        (PaddleOCR's name), and a space behind the last; None where there are none.
        """
        text = self.metadata.get("character", "").strip("\n")
        return [*text.split("\n"), " "] if text else None

    def class_name(self, index: int) -> str:
        """The class's label, or its index as text where the model names none."""
        labels = self.labels
        return labels[index] if labels is not None and index < len(labels) else str(index)

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
    def _calibrated_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one calibration sample for every input, where it was recorded."""
        found = self.calibration.get("input_shape")
        if isinstance(found, list) and len(self.inputs) == 1:
            found = {str(self.inputs[0].name): found}
        if found is None:
            return {}
        if not isinstance(found, dict) or not all(map(_is_shape, found.values())):
            raise self._damaged("sub8.calibration")
        return {name: tuple(shape) for name, shape in found.items()}

    def input_shapes(
        self, given: InputShapes | None = None, batch: int = 1
    ) -> dict[str, tuple[int, ...]]:
        """A full shape for every input: as given, else fixed sizes as declared, the batch as given,
        free ones as in ``preprocess``, or as in calibration.
        """
        names = list(self.input_types)
        if given is None:
            given = {}
        elif not isinstance(given, Mapping):
            given = {names[0]: tuple(given)}
        unknown = [name for name in given if name not in names]
        if unknown:
            raise InputError(
                f"{self.name}: no input is named {unknown[0]!r}; its inputs: {', '.join(names)}"
            )
        return {
            str(value.name): tuple(given[str(value.name)])
            if value.name in given
            else self._input_shape(value, batch)
            for value in self.inputs
        }

    def _input_shape(self, value: ir.Value, batch: int) -> tuple[int, ...]:
        declared = None if value.shape is None else tuple(value.shape)
        known = self._calibrated_shapes.get(str(value.name))
        if declared is None:
            if known is None:
                raise UnsupportedModelError(f"{self.name}: input {value.name!r} declares no shape")
            return batch, *known
        if not declared:
            return ()
        sizes = [dim if isinstance(dim, int) else None for dim in declared]
        sizes[0] = self.fixed_batch or sizes[0] or batch
        # A state [2, n, 128] beside samples [n, ...] has the batch elsewhere.
        for axis, dim in enumerate(declared[1:], 1):
            if not isinstance(dim, int) and dim.value in self._batch_names:
                sizes[axis] = self.fixed_batch or batch
        if self.preprocess is not None and len(sizes) == 4:
            known = self.preprocess.shape
        if None in sizes[1:]:
            if known is None or len(known) != len(sizes) - 1:
                raise InputError(
                    f"{self.name}: input {value.name!r} leaves its size open; give the input shape"
                )
            sizes[1:] = [size or other for size, other in zip(sizes[1:], known, strict=True)]
        return tuple(size for size in sizes if size is not None)

    @cached_property
    def _batch_names(self) -> set[str]:
        """What the inputs call their first sizes where these are open."""
        first = [value.shape[0] for value in self.inputs if value.shape]
        return {dim.value for dim in first if isinstance(dim, ir.SymbolicDim) and dim.value}

    def check_inputs(self, feed: Mapping[str, NDArray[Any]]) -> None:
        """InputError where an array does not fit its declared input."""
        for value in self.inputs:
            x, dtype = feed[str(value.name)], self.input_types[str(value.name)]
            if x.dtype != dtype:
                raise InputError(
                    f"{self.name}: input {value.name!r} must be {dtype}, got {x.dtype}"
                )
            if value.shape is None:
                continue
            declared = tuple(dim if isinstance(dim, int) else None for dim in value.shape)
            fits = len(declared) == x.ndim and all(
                want is None or want == got for want, got in zip(declared, x.shape, strict=True)
            )
            if not fits:
                wanted = ", ".join("any" if dim is None else str(dim) for dim in declared)
                raise InputError(
                    f"{self.name}: input {value.name!r} takes [{wanted}], got {list(x.shape)}"
                    f"{_remedy(declared, x.shape)}"
                )

    def random_inputs(self, shapes: Mapping[str, tuple[int, ...]]) -> Feed:
        """Normal numbers, bytes, and of other integers 0 and 1, which any table has."""
        rng = np.random.default_rng(0)
        found: Feed = {}
        for name, dtype in self.input_types.items():
            if np.issubdtype(dtype, np.integer):
                most = 256 if dtype == np.uint8 else 2
                found[name] = rng.integers(0, most, shapes[name], dtype)
            else:
                found[name] = np.asarray(rng.standard_normal(shapes[name]), np.float32).astype(
                    dtype
                )
        return found

    def serialized(self) -> bytes:
        """The model as ONNX bytes, for a runtime. InputError where they pass protobuf's 2 GiB."""
        try:
            return ir.to_proto(self.model).SerializeToString()
        except (EncodeError, ValueError) as error:
            raise InputError(f"{self.name}: passes 2 GiB, which this verb cannot take") from error


def plain_shapes(shapes: Mapping[str, Sequence[int]]) -> list[int] | dict[str, list[int]]:
    """As plain data: a list, or for several inputs lists by name."""
    plain = {name: list(shape) for name, shape in shapes.items()}
    return next(iter(plain.values())) if len(plain) == 1 else plain


def _most_samples(value: ir.Value) -> int:
    """That a call may hold of this input."""
    sizes = [size for size in (value.shape or ())[1:] if isinstance(size, int)]
    return min(MOST_SAMPLES, MOST_BYTES // (4 * max(1, math.prod(sizes))))


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(d, int) and d > 0 for d in value)


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
        raise InputError(f"{model.name}: node {node_name(node)!r}: {text}")
    if any(node.op_type == "DequantizeLinear" for node in model.model.graph):
        raise InputError(
            f"{model.name}: only its weights are quantised, its activations are float; {wanted}"
            " (quantise the float model: sub8 quantize)"
        )
    raise InputError(f"{model.name}: a float model; {wanted} (sub8 quantize)")
