"""The target ``onnx``: the artifact as it is, the smallest form."""

import onnx_ir as ir

from sub8.targets.target import Rewritten, Samples, Target


def _same(model: ir.Model, samples: Samples) -> Rewritten:
    return Rewritten(model)


ARTIFACT = Target("onnx", "the smallest file: opset 25, 2- and 4-bit blocks", True, (False,), _same)
