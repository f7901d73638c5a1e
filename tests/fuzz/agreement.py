"""Whether the engine, its reference in NumPy and ONNX Runtime give the same bits for a random
network.
"""

import logging
import warnings
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from random_networks import Sample

from sub8 import quantize
from sub8.engine.compile import compile_plan
from sub8.engine.compiled_model import compiled_model
from sub8.engine.plan.exactness import float32_is_exact
from sub8.engine.plan.reference import run_tensors
from sub8.engine.session import Session
from sub8.errors import Sub8Error, Sub8Warning
from sub8.native import _core
from sub8.oracle import OnnxRuntime

REFUSED = "refused"
INEXACT = "float32 is not exact"
ISAS = _core.supported_isas()


def disagreement(sample: Sample, threads: tuple[int, ...] = (1, 2)) -> str | None:
    """None where all agree, else what differs.

    The text begins with REFUSED where sub8 says that it cannot, and with INEXACT where ONNX Runtime
    alone differs, in sums that float32 cannot hold.
    Compared on the written file: ONNX Runtime without graph optimisation, the reference, and the
    engine for every instruction set of this CPU, each with one of the numbers of threads (by turns
    from seed to seed), and as a compiled model, on the whole batch and on its first image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", Sub8Warning)
        logging.disable(logging.WARNING)
        try:
            return _disagreement(sample, threads)
        except Sub8Error as error:
            return f"{REFUSED}: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            logging.disable(logging.NOTSET)


def _disagreement(sample: Sample, threads: tuple[int, ...]) -> str | None:
    calibration = {name: _calibration(x) for name, x in sample.inputs.items()}
    written = quantize(sample.model, calibration, sample.recipe, threads=1)
    model = ir.to_proto(written.model).SerializeToString()
    oracle = OnnxRuntime(model, threads=1, optimise=False)
    plan = compile_plan(written.model)
    batches = [sample.inputs]
    if not sample.fixed_batch:
        batches.append({name: x[:1] if x.ndim else x for name, x in sample.inputs.items()})
    sessions = {}
    for place, isa in enumerate(ISAS, start=sample.seed):
        count = threads[place % len(threads)]
        sessions[isa, count] = Session(written.model, threads=count, isa=isa)
    if not plan.islands():
        shapes = [{name: x.shape for name, x in feed.items()} for feed in batches]
        compiled = compiled_model(written.model, "sample", shapes)
        sessions["a compiled model", threads[0]] = Session(compiled, threads=threads[0])
    inexact = None
    for feed in batches:
        batch = len(feed["x"])
        tensors = run_tensors(plan, feed)
        expected = {name: tensors[name].values for name in plan.outputs}
        for (isa, count), session in sessions.items():
            found = _differs(session.run_all(feed), expected)
            if found is not None:
                return f"{isa}, {count} threads, batch {batch} differs from the reference, {found}"
        found = _differs(expected, oracle.run_all(feed))
        if found is not None and float32_is_exact(plan, tensors):
            return f"the reference differs from ONNX Runtime, batch {batch}, {found}"
        inexact = inexact or (found and f"{INEXACT}, batch {batch}, {found}")
    return inexact


def _calibration(x: NDArray[Any]) -> NDArray[Any]:
    """Twice as many samples, as large or smaller."""
    if x.ndim == 0:
        return x
    again = x[::-1]
    if x.dtype.kind == "f":
        again = (again * 0.9).astype(x.dtype)
    return np.concatenate([x, again])


def _differs(got: dict[str, NDArray], expected: dict[str, NDArray]) -> str | None:
    for name, values in expected.items():
        mine = got[name]
        if mine.shape != values.shape or mine.dtype != values.dtype:
            return f"{name}: {mine.dtype}{list(mine.shape)} for {values.dtype}{list(values.shape)}"
        wrong = (mine != values) & ~(np.isnan(mine) & np.isnan(values))
        if wrong.any():
            at = tuple(int(place) for place in np.argwhere(wrong)[0])
            return (
                f"{name}: {int(wrong.sum())} of {wrong.size}, {mine[at]} for {values[at]} at "
                f"{list(at)}"
            )
    return None
