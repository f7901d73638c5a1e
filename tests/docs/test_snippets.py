"""Commands and snippets of the documents: every command is one that the program takes; those of the
README run.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sub8
from sub8.cli.main import app
from sub8.cli.switches import with_switches

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = Path(sub8.__file__).resolve().parents[1]  # of the package that is tested: it is compiled
DOCUMENTS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]


def blocks(document: Path) -> Iterator[tuple[str, str]]:
    """Fenced and indented code with its language, ``shell`` for the indented."""
    text = document.read_text("utf-8")
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```", text, re.S | re.M):
        yield language, code
    without = re.sub(r"^```.*?^```\n", "", text, flags=re.S | re.M)
    for code in re.findall(r"(?:^    .*\n)+", without, re.M):
        yield "shell", re.sub("^    ", "", code, flags=re.M)


def commands(document: Path) -> Iterator[str]:
    """The lines that call sub8, those that go on joined, and such in running text."""
    for language, code in blocks(document):
        if language in ("shell", "sh", "bash"):
            for line in re.sub(r"\\\n\s*", "", code).splitlines():
                yield from (part.strip() for part in re.split(r"&&|\||;", line))
    yield from re.findall(r"`(sub8 \w+[^`]+)`", document.read_text("utf-8"))


def calls() -> list[tuple[str, str]]:
    found = [
        (document.relative_to(PROJECT).as_posix(), line)
        for document in sorted(DOCUMENTS)
        for line in commands(document)
        if line.startswith("sub8 ") and "…" not in line and "..." not in line
    ]
    return sorted(set(found))


@pytest.mark.parametrize(("document", "line"), calls())
def test_commands_are_taken(document: str, line: str) -> None:
    """Names of commands and options; a mention in running text may leave out what is needed."""
    words = shlex.split(line, comments=True)[1:]
    words = words[: words.index(">")] if ">" in words else words
    command = with_switches(app)
    if words and words[0].startswith("-"):
        assert any(words[0] in option.opts for option in command.params), line
        return
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, line
        command, words = command.commands[words[0]], words[1:]
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    known |= {"-h", "--help"}
    assert {word for word in words if re.match("-{1,2}[a-z]", word)} <= known, line


@pytest.fixture(scope="module")
def world(small_files, tmp_path_factory):
    """A folder in which the README's model and photographs lie, a small network in the place of the
    large one."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "resnet50.onnx").write_bytes((small_files / "model.onnx").read_bytes())
    data = np.load(small_files / "data.npz")
    for place, (image, label) in enumerate(zip(data["images"], data["labels"], strict=True)):
        for root in ("photos", "imagenet/val"):
            target = folder / root / str(int(label))
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(target / f"{place}.png")
    return folder


def run(world: Path, *command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=world, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_commands_of_the_readme_run(world):
    text = (PROJECT / "README.md").read_text("utf-8")
    (block,) = re.findall(r"## Your own model\n\n((?:    sub8 .*\n)+)", text)
    for line in block.strip().splitlines():
        run(world, sys.executable, "-m", *shlex.split(line.strip()))


def test_the_python_of_the_readme_runs(world):
    snippets = [code for language, code in blocks(PROJECT / "README.md") if language == "python"]
    assert snippets
    images = "import numpy as np\nimages = np.zeros((2, 3, 12, 12), np.float32)\n"
    for code in snippets:
        run(world, sys.executable, "-c", images + code)


def test_the_typed_example_runs(world):
    script = PROJECT / "examples/typed_use.py"
    run(world, sys.executable, str(script), "resnet50.onnx", "photos")
