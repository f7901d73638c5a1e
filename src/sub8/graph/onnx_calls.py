"""ONNX's checker, shape inference and version converter, called in a process of their own.

They are native code that asserts on hostile models, and on plausible ones: a pooling window wider
than its input gives a negative size, on which the inference of a Slice behind it ends the process
(onnx 1.23). Here such a model costs the worker and gives an error. The worker starts with the first
model (0.1 s) and ends with this process."""

import atexit
import os
import subprocess
import sys
import threading
from contextlib import suppress

import onnx
import onnx.onnx_cpp2py_export as native

from sub8.errors import InputError
from sub8.graph import onnx_worker

_SECONDS = 300  # for one model; seen: 0.2


def check_model(model: onnx.ModelProto) -> None:
    """As ``onnx.checker.check_model``; raises ValueError with its text, or InputError where ONNX
    crashes.
    """
    _call(onnx_worker.CHECK, (0, 0, 0), model)


def infer_shapes(
    model: onnx.ModelProto,
    *,
    check_type: bool = False,
    strict_mode: bool = False,
    data_prop: bool = False,
) -> onnx.ModelProto:
    """As ``onnx.shape_inference.infer_shapes``, with the errors of ``check_model``."""
    flags = (check_type, strict_mode, data_prop)
    return onnx.ModelProto.FromString(_call(onnx_worker.INFER, flags, model))


def convert_version(model: onnx.ModelProto, target: int) -> onnx.ModelProto:
    """As ``onnx.version_converter.convert_version``, with the errors of ``check_model``."""
    return onnx.ModelProto.FromString(_call(onnx_worker.CONVERT, (target, 0, 0), model))


def _call(function: int, flags: tuple[int, int, int], model: onnx.ModelProto) -> bytes:
    try:
        return _worker.call(function, flags, model)
    except _AbruptEndError as end:
        raise InputError(
            f"{_culprit(model, function == onnx_worker.INFER and flags[2])}: ONNX's own code ends "
            f"abruptly on it ({end}); a size there may be negative,"
            " as where a window is larger than its padded input"
        ) from None


def _culprit(model: onnx.ModelProto, data_prop: bool | int) -> str:
    """What makes shape inference end abruptly: where a negative size comes from, else the node it
    ends at.
    """
    whole = onnx.ModelProto.FromString(model.SerializeToString())
    del whole.graph.output[:]
    for value in [*whole.graph.input, *whole.graph.value_info, *model.graph.output]:
        if _is_negative(value):
            return f"tensor {value.name!r} has a negative size"
    good, bad = 0, len(whole.graph.node)
    inferred = whole
    while bad > good:  # the number of nodes up to the first that is too many
        middle = (good + bad) // 2
        part = onnx.ModelProto.FromString(whole.SerializeToString())
        del part.graph.node[middle + 1 :]
        try:
            inferred = onnx.ModelProto.FromString(
                _worker.call(onnx_worker.INFER, (0, 0, data_prop), part)
            )
            good = middle + 1
        except _AbruptEndError:
            bad = middle
        except ValueError:
            good = middle + 1
    for value in inferred.graph.value_info:
        if _is_negative(value):
            return f"{_described(whole, value.name)} has a result of negative size"
    return _described(
        whole, None if good == len(whole.graph.node) else whole.graph.node[good].output[0]
    )


def _is_negative(value: onnx.ValueInfoProto) -> bool:
    return any(dim.dim_value < 0 for dim in value.type.tensor_type.shape.dim)


def _described(model: onnx.ModelProto, result: str | None) -> str:
    for node in model.graph.node:
        if result in node.output:
            return f"node {node.name or result!r} ({node.op_type})"
    return "the model"


class _AbruptEndError(Exception):
    """The worker ended instead of answering; the text says how."""


class _Worker:
    """One worker, started when it is needed; safe from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, function: int, flags: tuple[int, int, int], model: onnx.ModelProto) -> bytes:
        data = model.SerializeToString()
        with self._lock:
            good, result = self._answer(function, flags, data)
        if not good:
            raise ValueError(result.decode("utf-8", "replace"))
        return result

    def _answer(
        self, function: int, flags: tuple[int, int, int], data: bytes
    ) -> tuple[bool, bytes]:
        for _ in range(2):  # an old worker may have been ended by others
            if self._process is None:
                self._process = _started()
            if self._process is None:  # no processes can be had here
                try:
                    return True, onnx_worker.call(native, function, flags, data)
                except Exception as error:
                    return False, str(error).encode()
            timer = threading.Timer(_SECONDS, self._process.kill)
            # The interpreter's end does not wait for one that an interrupt has left.
            timer.daemon = True
            try:
                timer.start()
                return _exchange(self._process, function, flags, data)
            except (OSError, EOFError):
                code = self._end()
            except BaseException:  # such as an interrupt: the answer is still to come
                self._end()
                raise
            finally:
                timer.cancel()
        raise _AbruptEndError(f"exit code {code}")

    def _end(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        return process.wait()

    def close(self) -> None:
        if self._process is not None:
            self._end()


def _started() -> "subprocess.Popen[bytes] | None":
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", onnx_worker.__file__, native.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, TypeError, ValueError):  # a frozen program has no interpreter of its own
        return None


def _exchange(
    process: "subprocess.Popen[bytes]", function: int, flags: tuple[int, int, int], data: bytes
) -> tuple[bool, bytes]:
    """Whether the call succeeded, and its result or the error's text. OSError or EOFError where the
    worker died.
    """
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(onnx_worker.REQUEST.pack(function, *flags, len(data)))
    process.stdin.write(data)
    process.stdin.flush()
    head = process.stdout.read(onnx_worker.ANSWER.size)
    if len(head) < onnx_worker.ANSWER.size:
        raise EOFError
    good, length = onnx_worker.ANSWER.unpack(head)
    result = process.stdout.read(length)
    if len(result) < length:
        raise EOFError
    return bool(good), result


_worker = _Worker()
atexit.register(lambda: _worker.close())


def _in_child() -> None:
    """A forked process starts a worker of its own: two must not talk to one."""
    global _worker
    lost, _worker = _worker, _Worker()
    _parents.append(lost)  # freed, it would wait for a process that is not its own


_parents: list[_Worker] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
