"""Mutants of ONNX files through inspect, run, verify, quantize and the Session: refused in a line,
or right.
"""

import json
import warnings
from pathlib import Path
from random import Random

import numpy as np
import onnx
from judging import Done, Mutant, Verdict, command
from model_mutations import changed_model
from mutations import NOTHING, changed_bytes
from small_models import FLOAT_KINDS, QUANTISED_KINDS, samples, small_model, weights_beside

from sub8.engine.session import Session
from sub8.errors import Sub8Error, Sub8Warning
from sub8.oracle import OnnxRuntime

RECIPES = (
    ("--weights", "ternary", "--method", "hessian"),
    ("--weights", "int8"),
    ("--weights", "int4", "--cluster", "2", "--exponent", "dynamic"),
    ("--weights", "ternary", "--cluster", "all", "--method", "optimal"),
)
KINDS = (*FLOAT_KINDS, *QUANTISED_KINDS, *QUANTISED_KINDS)
QUANTISED_AGAIN = 4  # one of so many quantised mutants; it holds the float network of a float one


class Models:
    """``bytes``: whether the file's bytes are changed, else its structure."""

    def __init__(self, *, of_bytes: bool) -> None:
        self.of_bytes = of_bytes
        self.inputs = samples(3)

    def mutant(self, random: Random, without: frozenset[int] = NOTHING) -> Mutant:
        kind = random.choice(KINDS)
        recipe = random.choice(RECIPES)
        again = random.randrange(QUANTISED_AGAIN) == 0
        beside = weights_beside(kind)
        if beside and random.random() < 0.3:
            beside = changed_bytes(beside, Random(random.getrandbits(64)))
        facts = (kind, recipe, again, beside)
        if self.of_bytes:
            return Mutant(kind, changed_bytes(small_model(kind), random, without), facts)
        done, data = changed_model(small_model(kind), random, without)
        return Mutant(f"{kind}: {done}", data, facts)

    def judge(self, mutant: Mutant, folder: Path) -> Verdict:
        kind, recipe, again, beside = mutant.facts
        assert isinstance(recipe, tuple) and isinstance(beside, bytes)
        model, inputs = folder / "m.onnx", folder / "x.npy"
        model.write_bytes(mutant.data)
        (folder / "weights.bin").write_bytes(beside or bytes(4096))
        if not inputs.exists():
            np.save(inputs, self.inputs)
            (folder / "sub").mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            verdict = self._judge_file(model, inputs, _verified(model, inputs))
            if verdict.problem is not None or not (kind in FLOAT_KINDS or again):
                return verdict
            return self._judge_quantize(model, inputs, recipe, verdict)

    def _judge_quantize(
        self, model: Path, inputs: Path, recipe: tuple[str, ...], before: Verdict
    ) -> Verdict:
        """``before``: the verdict on the model itself."""
        written = model.with_name("q.onnx")
        written.unlink(missing_ok=True)
        for done in (
            command("inspect", model, *recipe[:2], "--json"),
            quantized := command("quantize", model, "-c", inputs, "-o", written, *recipe),
        ):
            problem = problem_of(done, warns=done is quantized)
            if problem is not None:
                return Verdict("quantize", problem)
        if quantized.code == 2:
            kept = "written although refused" if written.exists() else None
            return Verdict(f"{before.outcome}, not quantized", kept)
        verified = _verified(written, inputs)
        if verified.code == 2 and "nothing to compare" in verified.err:
            return Verdict("quantized, nothing to compare")
        if verified.code != 0:
            told = f"verify of what quantize wrote: {verified.out}{verified.err}"
            return Verdict("quantized", told)
        verdict = self._judge_file(written, inputs, verified)
        return Verdict(f"quantized, {verdict.outcome}", verdict.problem)

    def _judge_file(self, model: Path, inputs: Path, verified: Done) -> Verdict:
        for done in (verified, command("inspect", model), command("run", model, inputs)):
            problem = problem_of(done, warns=True)
            if problem is not None:
                return Verdict("a verb", problem)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            verdict = self._judge_session(model, inputs, verified, done.code == 0)
        foreign = [str(one.message) for one in told if not issubclass(one.category, Sub8Warning)]
        return Verdict("warns", f"a library warns: {foreign[0]}") if foreign else verdict

    def _judge_session(self, model: Path, inputs: Path, verified: Done, runs: bool) -> Verdict:
        """``runs``: whether ``sub8 run`` gave results."""
        try:
            session = Session(model, threads=1)
            x = dict.fromkeys(session.inputs, self.inputs)
            got = session.run_all(x)
        except Sub8Error:
            return Verdict("runs in float" if runs else "refused")
        if verified.code == 2:  # what says how images are prepared may be all that it refuses
            verified = _verified(_without_metadata(model), inputs)
        if verified.code == 1:
            return Verdict("told by verify")
        if verified.code == 0 and "(0 beyond" not in verified.out:
            return Verdict("beyond exact float32")
        try:
            expected = OnnxRuntime(model, threads=1, optimise=False).run_all(x)
        except Sub8Error:
            return Verdict("ONNX Runtime refuses")
        for name, values in expected.items():
            mine = got[name]
            same = mine.shape == values.shape and np.array_equal(
                mine, values, equal_nan=mine.dtype.kind == "f"
            )
            if not same:
                told = f"{name!r} differs silently: {mine.flat[:4]}, ONNX Runtime {values.flat[:4]}"
                return Verdict("wrong", told)
        return Verdict("exact" if verified.code == 0 else "exact, not verified")


def _verified(model: Path, inputs: Path) -> Done:
    return command("verify", model, inputs, "--threads", 1)


def _without_metadata(model: Path) -> Path:
    proto = onnx.load(model, load_external_data=False)
    del proto.metadata_props[:]
    bare = model.with_name("bare.onnx")
    onnx.save(proto, bare)
    return bare


def problem_of(done: Done, *, warns: bool) -> str | None:
    """``warns``: whether a warning of sub8's own, a line each, is right beside a result."""
    if done.out.startswith("{") and done.out.isascii():
        json.loads(done.out)  # in which names stand whole
        done = Done(done.code, "", done.err)
    lines = done.err.splitlines(keepends=True)
    if warns and done.code != 2 and all(line.startswith("sub8: warning: ") for line in lines):
        return Done(done.code, done.out + done.err, "").problem()
    return done.problem()
