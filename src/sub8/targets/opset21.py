"""The target ``onnx-opset21``: the artifact for runtimes without 2-bit types; ternary weights take
4 bits.
"""

import onnx_ir as ir

from sub8.graph.quantization import use_standard_domain
from sub8.targets.opsets import in_opset
from sub8.targets.stored import widen
from sub8.targets.target import Rewritten, Samples, Target

_OPSET = 21


def _rewrite(model: ir.Model, samples: Samples) -> Rewritten:
    older = model.clone()
    use_standard_domain(older)
    widen(older, (ir.DataType.INT2, ir.DataType.UINT2))
    return Rewritten(in_opset(older, _OPSET))


OPSET21 = Target(
    "onnx-opset21", "runtimes without 2-bit types: 4-bit blocks", True, (False,), _rewrite
)
