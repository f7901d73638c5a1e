"""Every exported form of quantised models in every runtime at hand: equal, or why not; speed.

    pip install . && pip install -r benchmarks/export/requirements.txt
    python benchmarks/export/bench.py resnet20-t4.onnx lite0-i8.onnx -o results/ \\
        --python env-1.20/bin/python --web web/node_modules --beside lite0-i8.onnx=lite0.float.onnx

Inputs are random, one image; outputs are compared with the engine's, element by element. Every
answer is kept as a file, so that a run goes on where it was; ``--again`` measures anew.
``export.md`` is the table. Each runtime runs in a process of its own, on one thread, as its
defaults are; times are medians, a short while after loading."""

import json
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

import sub8
from sub8.model_file import ModelFile
from sub8.numerics.comparison import differences, largest_difference
from sub8.oracle import OnnxRuntime
from sub8.targets import TARGETS
from sub8.targets.check import RuntimeCheck, check_runtimes

WEB = Path(__file__).with_name("web.mjs")
RUNTIMES = ("onnxruntime", "openvino", "tract", "tvm")
LONGEST_REASON = 160
console = Console(stderr=True)
Arrays = dict[str, NDArray[Any]]


def main(
    models: Annotated[list[Path], typer.Argument(help="quantised models")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of answers and table")],
    python: Annotated[list[str] | None, typer.Option(help="another interpreter")] = None,
    web: Annotated[Path | None, typer.Option(help="node_modules with onnxruntime-web")] = None,
    target: Annotated[list[str] | None, typer.Option(help="only these targets")] = None,
    beside: Annotated[
        list[str] | None, typer.Option(help="MODEL=FILE: another tool's or the float file, timed")
    ] = None,
    repeats: Annotated[int, typer.Option(help="runs that are timed")] = 20,
    again: Annotated[bool, typer.Option(help="measure what is there anew")] = False,
    times: Annotated[bool, typer.Option(help="times in the table; not on a busy machine")] = True,
) -> None:
    """Measure every form that is not there yet, then write the table."""
    output.mkdir(parents=True, exist_ok=True)
    others = [pair.split("=", 1) for pair in beside or ()]
    names = target or [name for name, each in TARGETS.items() if each.ending is None]
    for path in models:
        forms = {name: output / f"{path.stem}.{name}.onnx" for name in names}
        given = {Path(file).stem: Path(file) for model, file in others if model == path.name}
        for name, form in (forms | given).items():
            kept = output / f"{path.stem}.{name}.json"
            if kept.exists() and not again:
                continue
            console.print(f"{path.stem}: {name}")
            own = name in given
            answer = measure(path, form, None if own else name, python or [], web, repeats)
            kept.write_text(json.dumps(answer, indent=1))
    (output / "export.md").write_text("\n".join(table(output, models, times)) + "\n")


def measure(
    model: Path,
    form: Path,
    target: str | None,
    pythons: list[str],
    web: Path | None,
    repeats: int,
) -> dict[str, Any]:
    """The answer of one form: its size, and what every runtime makes of it.

    target: what to export to first; None: ``form`` is another's file.
    """
    if target is not None:
        try:
            sub8.export(model, target, form)
        except sub8.Sub8Error as error:
            return {"own": True, "error": str(error), "runtimes": []}
    opened = ModelFile.open(model)
    inputs = opened.random_inputs(opened.input_shapes())
    session = sub8.Session(model, threads=1)
    if target is None:  # its input may have another name
        inputs = dict(zip(OnnxRuntime(form).inputs, inputs.values(), strict=True))
    expected = list(
        session.run_all(dict(zip(session.inputs, inputs.values(), strict=True))).values()
    )
    checks = check_runtimes(
        form, inputs, expected, pythons=pythons, repeats=repeats, runtimes=RUNTIMES
    )
    if web is not None:
        checks.append(in_web(web, form, inputs, expected, repeats))
    return {
        "own": target is not None,
        "bytes": form.stat().st_size,
        "runtimes": [replace(check, python="").to_dict() for check in checks],
    }


def in_web(
    modules: Path, form: Path, inputs: Arrays, expected: list[NDArray[Any]], repeats: int
) -> RuntimeCheck:
    """The form in onnxruntime-web, by node."""
    with tempfile.TemporaryDirectory() as folder:
        given = {}
        for index, (name, x) in enumerate(inputs.items()):
            file = Path(folder) / f"input{index}.bin"
            file.write_bytes(np.ascontiguousarray(x, np.float32).tobytes())
            given[name] = {"file": str(file), "shape": list(x.shape)}
        request = Path(folder) / "request.json"
        request.write_text(
            json.dumps(
                {
                    "model": str(form.resolve()),
                    "inputs": given,
                    "folder": folder,
                    "repeats": repeats,
                    "threads": 1,
                }
            )
        )
        ended = subprocess.run(
            ["node", str(WEB), str(modules.resolve()), str(request)],
            capture_output=True,
            check=False,
        )
        lines = ended.stdout.decode(errors="replace").strip().splitlines()
        told: dict[str, Any] = {"version": "", "error": "prints nothing"}
        if lines:
            told = json.loads(lines[-1])
        name, version = "onnxruntime-web", str(told["version"])
        if "error" in told:
            return RuntimeCheck(name, version, "", str(told["error"])[:LONGEST_REASON])
        got = []
        for part in told["outputs"]:
            elements = np.fromfile(str(part["file"]), np.dtype(str(part["type"])))
            got.append(elements.reshape([int(size) for size in part["shape"]]))
    pairs = list(zip(got, expected, strict=True))
    return RuntimeCheck(
        name,
        version,
        "",
        None,
        sum(part.size for part in expected),
        sum(int(differences(a, b).sum()) for a, b in pairs),
        max(largest_difference(a, b) for a, b in pairs),
        told["milliseconds"],
    )


def table(folder: Path, models: list[Path], times: bool) -> list[str]:
    """One table a model, the reasons below it."""
    lines: list[str] = []
    for path in models:
        answers = {
            kept.name.removeprefix(f"{path.stem}.").removesuffix(".json"): json.loads(
                kept.read_text()
            )
            for kept in folder.glob(f"{path.stem}.*.json")
        }
        order = sorted(answers, key=lambda name: ([*TARGETS, name].index(name), name))
        reasons: dict[str, int] = {}

        def why(reason: str, reasons: dict[str, int] = reasons) -> str:
            text = reason.replace("|", "/")[:LONGEST_REASON]
            return f"no [{reasons.setdefault(text, len(reasons) + 1)}]"

        heads = [name if answers[name]["own"] else f"beside: {name}" for name in order]
        lines += [f"### {path.stem}", "", "| | " + " | ".join(heads) + " |"]
        lines.append("|---" * (len(order) + 1) + "|")
        sizes = [
            f"{answers[n]['bytes'] / 1e6:.2f} MB"
            if "bytes" in answers[n]
            else why(answers[n]["error"])
            for n in order
        ]
        lines.append("| file | " + " | ".join(sizes) + " |")
        rows: dict[tuple[str, str], dict[str, str]] = {}
        for name in order:
            for check in answers[name]["runtimes"]:
                if not times:
                    check |= {"milliseconds": None}
                cell = _cell(check, answers[name]["own"], why)
                rows.setdefault((check["runtime"], check["version"]), {})[name] = cell
        for (runtime, version), cells in sorted(rows.items()):
            found = " | ".join(cells.get(name, "") for name in order)
            lines.append(f"| {runtime} {version} | {found} |")
        lines += ["", *(f"{number}. {reason}" for reason, number in reasons.items()), ""]
    return lines


def _cell(check: dict[str, Any], own: bool, why: Any) -> str:
    if check["error"]:
        return str(why(check["error"]))
    taken = f", {check['milliseconds']:.2f} ms" if check["milliseconds"] is not None else ""
    if not own:
        return f"runs{taken}"
    if not check["differing"]:
        return f"equal{taken}"
    return f"{check['differing']} of {check['elements']} by {check['largest']:.2g}{taken}"


if __name__ == "__main__":
    typer.run(main)
