"""Quantised files with a part that ONNX Runtime runs."""

from pathlib import Path

import onnx_ir as ir


def add_island(source: Path, path: Path) -> Path:
    """The network of a quantised file with a node behind it that has no integer form."""
    model = ir.load(source)
    result = model.graph.outputs[0]
    erf = ir.node("Erf", [result], name="erf")
    erf.outputs[0].name = "erf"
    erf.outputs[0].type, erf.outputs[0].shape = result.type, result.shape
    model.graph.append(erf)
    model.graph.outputs[0] = erf.outputs[0]
    ir.save(model, path)
    return path
