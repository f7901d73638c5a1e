"""The other end of ``onnx_calls``: a process that holds ONNX's native module and nothing else.

Run as ``python -I -S onnx_worker.py PATH-OF-THE-MODULE``; it ends with its standard input. A
request is the function's number, three flags and a length, then the model; the answer whether it
succeeded and a length, then the result or the error's text.
"""

import signal
import struct
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

REQUEST = struct.Struct("<BiiiQ")
ANSWER = struct.Struct("<BQ")
CHECK, INFER, CONVERT = range(3)


def call(onnx: Any, function: int, flags: tuple[int, int, int], model: bytes) -> bytes:
    """One call of the native module, with the arguments of ``onnx_calls``."""
    if function == CHECK:
        onnx.checker.check_model(model, False, False, False)
        return b""
    if function == INFER:
        return bytes(onnx.shape_inference.infer_shapes(model, *map(bool, flags)))
    return bytes(onnx.version_converter.convert_version(model, flags[0]))


def load(path: str) -> Any:
    """The native module without its package, which takes a tenth of the time."""
    spec = spec_from_file_location(
        "onnx_cpp2py_export", path, loader=ExtensionFileLoader("onnx_cpp2py_export", path)
    )
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    onnx = load(sys.argv[1])
    read, write = sys.stdin.buffer, sys.stdout.buffer
    while head := read.read(REQUEST.size):
        function, *flags, length = REQUEST.unpack(head)
        try:
            good, result = (
                1,
                call(onnx, function, (flags[0], flags[1], flags[2]), read.read(length)),
            )
        except Exception as error:
            good, result = 0, str(error).encode("utf-8", "replace")
        write.write(ANSWER.pack(good, len(result)) + result)
        write.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the other end, which may go on
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
