"""The targets ``openvino`` and ``openvino-int8``: OpenVINO's own files, ``NAME.xml`` and
``NAME.bin``.

Its importer reads the plain form, which its float kernels compute exactly. From Q/DQ form, which
``openvino-int8`` gives it, it makes integer layers that are several times as fast, round otherwise
and, on CPUs without VNNI, saturate.
"""

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir

from sub8.errors import InputError, UnsupportedModelError, one_line
from sub8.extras import missing_extra
from sub8.files import check_writable, real_target
from sub8.graph.write import write_model
from sub8.targets.int8 import int8_form
from sub8.targets.plain import PLAIN
from sub8.targets.target import Rewritten, Samples, Target


def _rewrite(model: ir.Model, samples: Samples) -> Rewritten:
    _need_converter("openvino")
    return PLAIN.rewrite(model, samples)


def _rewrite_int8(model: ir.Model, samples: Samples) -> Rewritten:
    _need_converter("openvino-int8")
    return int8_form(model, samples, clips_in_front=True)


def _need_converter(target: str) -> None:
    if importlib.util.find_spec("openvino") is None:
        raise missing_extra("openvino", "openvino", f"the target {target!r}")


def _write(
    model: ir.Model, path: Path, overwrite: bool, check: Callable[[Path], None]
) -> tuple[Path, ...]:
    """Convert beside, check, then rename, the weights first."""
    import openvino as ov

    final = real_target(path), real_target(path.with_suffix(".bin"))
    for each in final:
        check_writable(each, overwrite=overwrite)
    try:
        with tempfile.TemporaryDirectory(prefix=".sub8-", dir=final[0].parent) as folder:
            source, draft = Path(folder) / "model.onnx", Path(folder) / "model.xml"
            write_model(model, source)
            try:
                ov.save_model(ov.Core().read_model(source), draft, compress_to_fp16=False)
            except RuntimeError as error:
                raise UnsupportedModelError(
                    f"{path}: is not written: OpenVINO cannot read the model: {one_line(error)}"
                ) from error
            check(draft)
            os.replace(draft.with_suffix(".bin"), final[1])
            os.replace(draft, final[0])
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return final


OPENVINO = Target(
    "openvino",
    "OpenVINO's own files, NAME.xml and NAME.bin",
    True,
    (False, True),
    _rewrite,
    _write,
    ("openvino",),
    ".xml",
)

OPENVINO_INT8 = Target(
    "openvino-int8",
    "the same for its int8 kernels: 8-bit weights per channel; not exact",
    False,
    (False,),
    _rewrite_int8,
    _write,
    ("openvino",),
    ".xml",
)
