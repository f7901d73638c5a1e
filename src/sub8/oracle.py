"""ONNX Runtime as the independent program: float inference, and the oracle for quantised files."""

import atexit
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import InputError, UnsupportedModelError, one_line

# ONNX Runtime's names of the types.
_TYPES = {
    f"tensor({name})": kind
    for name, kind in {
        "float": ir.DataType.FLOAT,
        "float16": ir.DataType.FLOAT16,
        "bfloat16": ir.DataType.BFLOAT16,
        "double": ir.DataType.DOUBLE,
        "bool": ir.DataType.BOOL,
        "string": ir.DataType.STRING,
        **{f"int{bits}": ir.DataType[f"INT{bits}"] for bits in (8, 16, 32, 64)},
        **{f"uint{bits}": ir.DataType[f"UINT{bits}"] for bits in (8, 16, 32, 64)},
    }.items()
}


# Bytes of tensors that go into one ONNX file, of which protobuf allows 2 GiB in all.
LARGEST_IN_ONE_FILE = 2**31 - 2**26


def weight_bytes(model: ir.Model) -> int:
    """Bytes of all initializers."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


class _UntilExit:
    """Runs of daemon threads that the interpreter's end waits for, and after which none begins.

    A daemon thread that comes back from ONNX Runtime while the interpreter ends is unwound through
    its binding's frames, which ends the process by std::terminate.
    """

    LONGEST = 2.0  # seconds

    def __init__(self) -> None:
        self._begin()
        atexit.register(self._end)
        if hasattr(os, "register_at_fork"):  # a child has none of the other threads
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._state = threading.Condition()
        self._running = 0
        self._ended = False

    def __enter__(self) -> None:
        with self._state:
            if self._ended and threading.current_thread().daemon:
                self._state.wait_for(lambda: False)
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._state:
            self._running -= 1
            if self._ended:
                self._state.notify_all()

    def _end(self) -> None:
        with self._state:
            self._ended = True
            self._state.wait_for(lambda: self._running == 0, self.LONGEST)


_until_exit = _UntilExit()


class OnnxRuntime:
    """One ONNX Runtime session.

    optimise: graph optimisation. It must be off for Q/DQ files: ONNX Runtime would otherwise fuse
        Q/DQ into its own 8-bit kernels, some of which saturate 16-bit sums on AVX2.
    spin: idle threads wait busily, which is quickest on an idle machine; off for many short-lived
        sessions, and where other work follows.
    profile: a path's prefix; ``close`` then returns the file with the timings of every node.
    """

    def __init__(
        self,
        model: Path | bytes | ir.Model,
        *,
        threads: int | None = None,
        optimise: bool = True,
        profile: str | None = None,
        spin: bool = True,
    ):
        import onnxruntime as ort  # 19 MiB that a model of integers alone runs without

        options = ort.SessionOptions()
        options.log_severity_level = 4  # what fails is raised as well
        if threads is not None:
            options.intra_op_num_threads = threads
        if not spin:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
        )
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = profile
        try:
            with _loadable(model) as source:
                self._session = ort.InferenceSession(
                    source, options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise UnsupportedModelError(
                f"ONNX Runtime cannot load the model: {one_line(error)}"
            ) from error
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def run(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """The first output for the one input."""
        return self.run_all({self.inputs[0]: x})[self.outputs[0]]

    def run_all(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every output by name."""
        try:
            with _until_exit:
                results = self._session.run(None, dict(inputs))
        except Exception as error:
            raise InputError(f"ONNX Runtime cannot run the model: {one_line(error)}") from error
        return dict(zip(self.outputs, results, strict=True))

    def typed(self) -> dict[str, tuple[ir.DataType, tuple[int | str | None, ...]]]:
        """Type and shape of every output that is a tensor, as the runtime infers them; open sizes
        by name.
        """
        found = {}
        for value in self._session.get_outputs():
            kind = _TYPES.get(value.type)
            if kind is not None:
                found[value.name] = kind, tuple(value.shape)
        return found

    def close(self) -> Path:
        """End profiling; the JSON file with the timings."""
        return Path(self._session.end_profiling())


@contextmanager
def _loadable(model: Path | bytes | ir.Model) -> Iterator[bytes | str]:
    """What ONNX Runtime loads: bytes, or a path; of a model whose weights pass 2 GiB that of a
    temporary file.
    """
    if not isinstance(model, ir.Model):
        yield model if isinstance(model, bytes) else str(model)
    elif weight_bytes(model) <= LARGEST_IN_ONE_FILE:
        yield ir.to_proto(model).SerializeToString()
    else:
        with tempfile.TemporaryDirectory(prefix="sub8-") as folder:
            path = Path(folder) / "model.onnx"
            ir.save(model, path, external_data="weights")
            yield str(path)
