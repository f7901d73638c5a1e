"""Mutants of recipes, preprocessing, studies and checkpoints: refused in a line, or used."""

import json
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
from judging import Mutant, Verdict, command
from mutants_of_models import problem_of
from mutations import NOTHING, VALUES, changed_bytes, changed_value, dumped
from small_models import small_model

from sub8 import Dfp8, Int4, Int8, Recipe, Ternary
from sub8.data.preprocess import Preprocess

RECIPES = (
    Recipe(weights=Int4(4), overrides={"conv*": Ternary(2), "fc.w": Int8()}),
    Recipe(activations=Dfp8(exponent="dynamic"), method="optimal"),
)
PREPROCESS = Preprocess(size=6, resize=8, scale=1 / 255, mean=(0.5,) * 3, std=(0.25,) * 3)
LIKELY: tuple[Any, ...] = (
    "ternary", "int4", "int8", "ternary+ternary", "all", 1, 2, 4, 64, "static", "dynamic", "paper",
    "optimal", "hessian", "max", "percentile", 99.9, 100, [6, 6], [6], 0.5, "conv*", "[", "",
)  # fmt: skip


class Recipes:
    """Also of what ``--preprocess`` names."""

    def mutant(self, random: Random, without: frozenset[int] = NOTHING) -> Mutant:
        kind = random.choice(("recipe", "recipe bytes", "preprocess", "preprocess bytes"))
        if kind.startswith("recipe"):
            value, dump = random.choice(RECIPES).to_dict(), toml
        else:
            value, dump = json.loads(PREPROCESS.to_metadata()), dumped
        if kind.endswith("bytes"):
            return Mutant(kind, changed_bytes(dump(value), random, without))
        return Mutant(kind, dump(_changed(value, random, without)))

    def judge(self, mutant: Mutant, folder: Path) -> Verdict:
        model, inputs, written = (folder / name for name in ("m.onnx", "x.npz", "q.onnx"))
        if not model.exists():
            model.write_bytes(small_model("conv"))
            images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3)).astype(np.uint8)
            np.savez(inputs, images=images)
        written.unlink(missing_ok=True)
        option = "--recipe" if mutant.kind.startswith("recipe") else "--preprocess"
        given = folder / "given.toml"
        given.write_bytes(mutant.data)
        done = command("quantize", model, "-c", inputs, "-o", written, option, given)
        problem = problem_of(done, warns=True)
        if problem is None and written.exists() != (done.code == 0):
            problem = f"exit code {done.code}, written: {written.exists()}"
        if problem is None and done.code == 0:
            verified = command("verify", written, inputs, "--threads", 1)
            problem = problem_of(verified, warns=True)
            if problem is None and verified.code != 0:
                problem = f"verify of what quantize wrote: {verified.out}{verified.err}"
        return Verdict("used" if done.code == 0 else "refused", problem)


class Studies:
    def __init__(self) -> None:
        from made_up_studies import made_up_study

        study = made_up_study(clusters=(1, "all"), kinds=("ternary", "int8")).to_dict()
        self.study = json.loads(json.dumps(study))

    def mutant(self, random: Random, without: frozenset[int] = NOTHING) -> Mutant:
        kind = random.choice(("study", "study", "study bytes"))
        if kind == "study":
            return Mutant(kind, dumped(_changed(self.study, random, without)))
        return Mutant(kind, changed_bytes(dumped(self.study), random, without))

    def judge(self, mutant: Mutant, folder: Path) -> Verdict:
        import vl_convert

        page = folder / "report.html"
        page.unlink(missing_ok=True)
        (folder / "study.json").write_bytes(mutant.data)
        # Drawn by the real library one time in ten: it takes a second.
        drawn = sum(mutant.data) % 10 == 0
        with (
            patch.object(
                vl_convert, "vegalite_to_svg", vl_convert.vegalite_to_svg if drawn else _text
            ),
            patch.object(
                vl_convert, "vegalite_to_png", vl_convert.vegalite_to_png if drawn else _bytes
            ),
            patch.object(vl_convert, "javascript_bundle", lambda: ""),
        ):
            done = command("report", folder, *(("--json",) if drawn else ()))
        problem = problem_of(done, warns=False)
        if problem is None and page.exists() != (done.code == 0):
            problem = f"exit code {done.code}, written: {page.exists()}"
        return Verdict("used" if done.code == 0 else "refused", problem)


class Checkpoints:
    """Any change is found: a checkpoint holds the hash of all that is in it."""

    def __init__(self) -> None:
        import tempfile

        import torch

        from sub8.train.checkpoint import save_checkpoint

        torch.manual_seed(0)
        self.network, self.optimizer = self._training()
        self.network(torch.ones(1, 3, 4, 4)).sum().backward()
        self.optimizer.step()
        record = {"question": {"settings": {"epochs": 3}}, "step": 3, "loss": 0.5, "epochs": []}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "latest")
            save_checkpoint(path, self.network, self.optimizer, record)
            self.whole = path.read_bytes()

    def _training(self) -> Any:
        import torch

        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        return network, torch.optim.Adam(network.parameters())

    def mutant(self, random: Random, without: frozenset[int] = NOTHING) -> Mutant:
        kind = random.choice(("bytes", "header", "header value"))
        length = int.from_bytes(self.whole[:8], "little")
        header, rest = self.whole[8 : 8 + length], self.whole[8 + length :]
        if kind == "bytes":
            return Mutant(kind, changed_bytes(self.whole, random, without))
        if kind == "header":
            header = changed_bytes(header, random, without)
        else:
            header = dumped(_changed(json.loads(header), random, without))
        return Mutant(kind, len(header).to_bytes(8, "little") + header + rest)

    def judge(self, mutant: Mutant, folder: Path) -> Verdict:
        import torch

        from sub8.errors import Sub8Error
        from sub8.plain_data import from_plain
        from sub8.train.checkpoint import load_checkpoint, read_record
        from sub8.train.finetune import TrainingRecord

        path = folder / "latest"
        path.write_bytes(mutant.data)
        network, optimizer = self._training()
        try:
            from_plain(TrainingRecord, read_record(path), str(path))
            load_checkpoint(path, network, optimizer)
        except Sub8Error:
            return Verdict("refused")
        same = all(
            torch.equal(mine, theirs)
            for mine, theirs in zip(
                network.state_dict().values(), self.network.state_dict().values(), strict=True
            )
        )
        states = _held(optimizer) == _held(self.optimizer)
        return Verdict("whole", None if same and states else "a changed checkpoint is taken")


def _held(optimizer: Any) -> tuple[str, str]:
    """As text, in which a pair and a list of two are the same, and the order is none."""
    told = optimizer.state_dict()
    state = [(index, sorted(values.items())) for index, values in sorted(told["state"].items())]
    return str(state), json.dumps(told["param_groups"])


def _changed(value: Any, random: Random, without: frozenset[int]) -> Any:
    """One to three changes: of the hostile kinds, or a value that may be right elsewhere."""
    for number in range(random.choice((1, 1, 2, 3))):
        own = Random(random.getrandbits(64))
        if number in without:
            continue
        likely = own.random() < 0.4
        with patch("mutations.VALUES", LIKELY if likely else VALUES):
            value = changed_value(value, own) if value else value
    return value


def toml(value: Any) -> bytes:
    """TOML of tables of plain values, as a careless program writes it."""
    lines: list[str] = []

    def write(table: Any, path: tuple[str, ...]) -> None:
        if path:
            lines.append(f"[{'.'.join(json.dumps(name) for name in path)}]")
        below = []
        for name, entry in table.items():
            if isinstance(entry, dict) and entry:
                below.append((name, entry))
            else:
                lines.append(f"{json.dumps(str(name))} = {_inline(entry)}")
        for name, entry in below:
            write(entry, (*path, str(name)))

    write(value if isinstance(value, dict) else {"value": value}, ())
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return "{}"
    return '"none"' if value is None else json.dumps(value)


def _text(*_: object, **__: object) -> str:
    return "<svg/>"


def _bytes(*_: object, **__: object) -> bytes:
    return b"PNG"
