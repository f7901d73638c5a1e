"""A model in Q/DQ form, compiled in memory for whatever shapes its inputs have."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.engine import forks
from sub8.engine.compile import compile_plan
from sub8.engine.declared import Declared, TensorInfo
from sub8.engine.lower.packing import PackedLayers
from sub8.engine.lower.plan import Kept, lower
from sub8.engine.plan.islands import OpenIsland
from sub8.engine.plan.operators import Island, Plan
from sub8.engine.segments import KEPT_SHAPES, NativeSegment
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph import patterns
from sub8.graph.read import open_model, read_model


class OnnxSource:
    """What a session runs of an ONNX model. See ``session.Source``."""

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | ir.Model,
        name: str,
        isa: str,
        threads: int,
        integer_only: bool,
    ) -> None:
        opened = _open(model)
        self._threads = threads
        self._infos = (
            [_info(value) for value in opened.graph.inputs],
            [_info(value) for value in opened.graph.outputs],
        )
        self.declared = {str(value.name): _declared(value) for value in opened.graph.inputs}
        self._packed = PackedLayers(isa)
        self.plan: Plan = compile_plan(opened, integer_only=integer_only, keep=self._packed.keep)
        self._islands = {island.name: OpenIsland(island, threads) for island in self.plan.islands()}
        if len(self._islands) == len(self.plan.operators) and not _is_quantized(opened):
            raise InputError(
                f"{name}: a float model; the engine runs quantised ones (quantize makes them)"
            )
        self._kept = Kept(self.plan, KEPT_SHAPES)

    def after_fork(self) -> None:
        self._kept.after_fork()
        forks.abandon(self._islands)
        self._islands = {}

    @property
    def inputs(self) -> list[TensorInfo]:
        return [info for info in self._infos[0] if info.name in self.plan.inputs]

    @property
    def outputs(self) -> list[TensorInfo]:
        return self._infos[1]

    @property
    def kinds(self) -> dict[str, str]:
        return {operator.name: type(operator).__name__ for operator in self.plan.operators}

    def segments(self, arrays: Mapping[str, NDArray[Any]]) -> Iterator[NativeSegment | Island]:
        """See ``lower``."""
        return lower(self.plan, arrays, self._packed, self._threads, self._kept)

    def run_island(self, island: Island, arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
        runtime = self._islands.get(island.name)
        if runtime is None:  # after a fork
            runtime = self._islands.setdefault(island.name, OpenIsland(island, self._threads))
        return runtime.run_all({name: arrays[name] for name in island.inputs})


def _info(value: ir.Value) -> TensorInfo:
    dtype = value.dtype or ir.DataType.FLOAT
    return TensorInfo(str(value.name), f"tensor({dtype.name.lower()})", patterns.sizes(value))


def _declared(value: ir.Value) -> Declared:
    kind = value.type or ir.TensorType(ir.DataType.FLOAT)
    if not isinstance(kind, ir.TensorType) or kind.dtype == ir.DataType.STRING:
        raise UnsupportedModelError(
            f"input {value.name!r} is of type {kind}; inputs must be tensors of numbers"
        )
    sizes = None
    if value.shape is not None:
        sizes = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Declared(np.dtype(kind.dtype.numpy()), sizes)


def _is_quantized(model: ir.Model) -> bool:
    """Whether any of its operators is made for quantised tensors, be it one that runs in a float
    island.
    """
    kinds = (
        "QuantizeLinear", "DequantizeLinear", "QLinear", "Integer", "NBits", "QAttention", "QGemm",
    )  # fmt: skip
    return any(kind in node.op_type for node in model.graph for kind in kinds)


def _open(model: str | os.PathLike[str] | bytes | ir.Model) -> ir.Model:
    if isinstance(model, ir.Model):
        return model
    if isinstance(model, (str, os.PathLike)):
        return open_model(model)
    if not isinstance(model, (bytes, bytearray, memoryview)):
        raise InputError(
            "a model must be a path, the bytes of an ONNX file or an ir.Model, not "
            f"{type(model).__name__}"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(bytes(model))
        try:
            return read_model(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), "model bytes")) from error
