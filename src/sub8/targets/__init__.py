"""The forms that a quantised model is exported in, one file each."""

from sub8.errors import InputError
from sub8.targets.artifact import ARTIFACT
from sub8.targets.int8 import INT8, INT8_REDUCED
from sub8.targets.openvino_ir import OPENVINO, OPENVINO_INT8
from sub8.targets.opset21 import OPSET21
from sub8.targets.plain import PLAIN
from sub8.targets.target import Target

TARGETS = {
    target.name: target
    for target in (ARTIFACT, OPSET21, PLAIN, INT8, INT8_REDUCED, OPENVINO, OPENVINO_INT8)
}


def find_target(name: str) -> Target:
    """The target of that name. Raises InputError, with all names."""
    if name not in TARGETS:
        raise InputError(f"target {name!r} must be one of {', '.join(TARGETS)}")
    return TARGETS[name]
