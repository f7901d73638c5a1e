"""Mutants of ONNX files through inspect, verify, run, quantize and the Session: refused in a line,
or right.
"""

import json
import os
import warnings
from pathlib import Path
from random import Random
from unittest.mock import patch

import numpy as np
from model_mutations import changed_model
from mutations import changed_bytes
from run_mutants import Done, Mutant, command
from small_models import FLOAT_KINDS, QUANTISED_KINDS, samples, small_model

from sub8.engine.session import Session
from sub8.errors import Sub8Error, Sub8Warning
from sub8.oracle import OnnxRuntime

RECIPES = (
    ("--weights", "ternary"),
    ("--weights", "int8"),
    ("--weights", "int4", "--cluster", "2", "--exponent", "dynamic"),
    ("--weights", "ternary", "--cluster", "all", "--method", "optimal"),
)
KINDS = (*FLOAT_KINDS, *QUANTISED_KINDS, *QUANTISED_KINDS)


class Models:
    """``bytes``: whether the file's bytes are changed, else its structure."""

    def __init__(self, *, of_bytes: bool) -> None:
        self.of_bytes = of_bytes
        self.inputs = samples(3)

    def mutant(self, random: Random) -> Mutant:
        kind = random.choice(KINDS)
        recipe = random.choice(RECIPES)
        if self.of_bytes:
            return Mutant(kind, changed_bytes(small_model(kind), random), (kind, recipe))
        done, data = changed_model(small_model(kind), random)
        return Mutant(f"{kind}: {done}", data, (kind, recipe))

    def judge(self, mutant: Mutant, folder: Path) -> str | None:
        model, inputs = folder / "m.onnx", folder / "x.npy"
        model.write_bytes(mutant.data)
        if not inputs.exists():
            np.save(inputs, self.inputs)
            (folder / "weights.bin").write_bytes(bytes(4096))
            (folder / "sub").mkdir()
        kind, recipe = mutant.facts
        with patch.dict(os.environ, {"SUB8_TRACEBACK": "1"}), warnings.catch_warnings():
            warnings.simplefilter("default")
            if kind in FLOAT_KINDS:
                return self._judge_float(model, inputs, recipe)
            return self._judge_quantised(model, inputs)

    def _judge_float(self, model: Path, inputs: Path, recipe: object) -> str | None:
        written = model.with_name("q.onnx")
        written.unlink(missing_ok=True)
        assert isinstance(recipe, tuple)
        for done in (
            command("inspect", model),
            command("inspect", model, *recipe[:2], "--json"),
            quantised := command("quantize", model, "-c", inputs, "-o", written, *recipe),
        ):
            problem = _problem(done, warns=done is quantised)
            if problem is not None:
                return problem
        if quantised.code == 2:
            return "written although refused" if written.exists() else None
        verified = command("verify", written, inputs, "--threads", 1)
        if verified.code == 2 and "nothing to compare" in verified.err:
            return None
        if verified.code != 0:
            return f"verify of what quantize wrote: {verified.out}{verified.err}"
        return self._judge_quantised(written, inputs)

    def _judge_quantised(self, model: Path, inputs: Path) -> str | None:
        verified = command("verify", model, inputs, "--threads", 1)
        for done in (verified, command("inspect", model), command("run", model, inputs)):
            problem = _problem(done, warns=True)
            if problem is not None:
                return problem
        warnings.simplefilter("ignore", Sub8Warning)  # those were among the command's
        try:
            session = Session(model, threads=1)
            x = dict.fromkeys(session.inputs, self.inputs)
            got = session.run_all(x)
        except Sub8Error:
            return None
        beyond_float32 = verified.code == 0 and "(0 beyond" not in verified.out
        if verified.code == 1 or beyond_float32:  # told
            return None
        try:
            expected = OnnxRuntime(model, threads=1, optimise=False).run_all(x)
        except Sub8Error:
            return None  # theirs
        for name, values in expected.items():
            mine = got[name]
            same = mine.shape == values.shape and np.array_equal(
                mine, values, equal_nan=mine.dtype.kind == "f"
            )
            if not same:
                return f"{name!r} differs silently: {mine.flat[:4]}, ONNX Runtime {values.flat[:4]}"
        return None


def _problem(done: Done, *, warns: bool) -> str | None:
    """``warns``: whether a warning of sub8's own, a line each, is right beside a result."""
    if done.out.startswith("{") and done.out.isascii():
        json.loads(done.out)  # in which names stand whole
        done = Done(done.code, "", done.err)
    lines = done.err.splitlines(keepends=True)
    if warns and done.code != 2 and all(line.startswith("sub8: warning: ") for line in lines):
        return Done(done.code, done.out + done.err, "").problem()
    return done.problem()
