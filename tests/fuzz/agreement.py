"""Whether the engine, its reference in NumPy and ONNX Runtime give the same bits for a random network."""

import logging
import warnings

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from random_networks import Sample

from sub8 import quantize
from sub8.engine.compile import compile_plan
from sub8.engine.plan.reference import run_reference
from sub8.engine.session import Session
from sub8.errors import Sub8Error
from sub8.native import _core
from sub8.oracle import OnnxRuntime

REFUSED = "refused"
ISAS = _core.supported_isas()


def disagreement(sample: Sample, threads: tuple[int, ...] = (1, 2)) -> str | None:
    """None where all agree, text that begins with REFUSED where sub8 says that it cannot, else what differs.

    Compared on the written file: ONNX Runtime without graph optimisation, the reference, and the engine for
    every instruction set of this CPU, each with one of the numbers of threads (by turns from seed to seed), on
    the whole batch and on its first image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
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
    calibration = np.concatenate([sample.inputs, sample.inputs[::-1] * np.float32(0.9)])
    written = quantize(sample.model, calibration, sample.recipe, threads=1)
    model = ir.to_proto(written.model).SerializeToString()
    oracle = OnnxRuntime(model, threads=1, optimise=False)
    plan = compile_plan(written.model)
    fixed = isinstance(sample.model.graph.inputs[0].shape[0], int)  # type: ignore[index]
    batches = [sample.inputs] if fixed else [sample.inputs, sample.inputs[:1]]
    sessions = {}
    for place, isa in enumerate(ISAS, start=sample.seed):
        count = threads[place % len(threads)]
        sessions[isa, count] = Session(written.model, threads=count, isa=isa)
    for x in batches:
        expected = oracle.run_all({"x": x})
        found = _differs(run_reference(plan, {"x": x}), expected)
        if found is not None:
            return f"the reference differs from ONNX Runtime, batch {len(x)}, {found}"
        for (isa, count), session in sessions.items():
            found = _differs(session.run_all(x), expected)
            if found is not None:
                return f"{isa}, {count} threads, batch {len(x)} differs from both, {found}"
    return None


def _differs(got: dict[str, NDArray], expected: dict[str, NDArray]) -> str | None:
    for name, values in expected.items():
        mine = got[name]
        if mine.shape != values.shape or mine.dtype != values.dtype:
            return f"{name}: {mine.dtype}{list(mine.shape)} for {values.dtype}{list(values.shape)}"
        wrong = (mine != values) & ~(np.isnan(mine) & np.isnan(values))
        if wrong.any():
            at = tuple(int(place) for place in np.argwhere(wrong)[0])
            return f"{name}: {int(wrong.sum())} of {wrong.size}, {mine[at]} for {values[at]} at {list(at)}"
    return None
