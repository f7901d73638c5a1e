"""What ``--json`` prints, and the files that sub8 reads and writes, are as their published schemas
say: no key that a schema does not name, no figure of another type.
"""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from made_up_paper import made_up_paper
from tests.conftest import SIZE, Outcome, small_network
from tools.json_schemas import schemas, write

import sub8
from sub8.cli.json_output import schema_name
from sub8.cli.main import app
from sub8.cli.switches import with_switches
from sub8.record.canonical import canonical_bytes
from sub8.record.keys import PrivateKey

PROJECT = Path(__file__).resolve().parents[2]
SCHEMAS = schemas()
Run = Callable[..., Outcome]


def closed(part: Any) -> Any:
    """The schema without room for keys that it does not name. Published ones leave it: a key that
    is added is no new version.
    """
    if isinstance(part, list):
        return [closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    inner = {key: closed(value) for key, value in part.items()}
    if "properties" in part and "additionalProperties" not in part:
        inner["additionalProperties"] = False
    return inner


def check(document: Any, name: str) -> None:
    jsonschema.Draft202012Validator(closed(SCHEMAS[name])).validate(document)


def check_output(done: Outcome, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    assert done.code in codes, done.err
    document: dict[str, Any] = json.loads(done.out)
    _, verb, version = document["schema"].split("/")
    check(document, f"{verb}-{version}")
    return document


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("schemas")


@pytest.fixture(scope="module")
def at(small_files: Path, place: Path, sub8_command: Run) -> dict[str, Path]:
    """The small network's files by what they are; ``mixed`` and ``q`` are written by quantize."""
    found = {"model": small_files / "model.onnx", "data": small_files / "data.npz"}
    for name, options in {"q": (), "mixed": ("--mean-bits", "3", "--method", "hessian")}.items():
        found[name] = place / f"{name}.onnx"
        check_output(
            sub8_command(
                "quantize", found["model"], "-c", found["data"], *options, "-o", found[name],
                "--json",
            )
        )  # fmt: skip
    return found


def test_every_verb_has_a_schema_of_its_version() -> None:
    def verbs(command: Any, before: str = "") -> list[str]:
        inner = getattr(command, "commands", None)
        if inner is None:
            return [before]
        return [v for n, c in inner.items() for v in verbs(c, f"{before}-{n}".strip("-"))]

    expected = {*verbs(with_switches(app)), "cost", "sensitivity"}  # of inspect
    expected |= {"detect", "segment", "outputs", "score"}  # of run and evaluate
    named = {schema_name(verb).removeprefix("sub8/").replace("/", "-") for verb in expected}
    assert SCHEMAS.keys() == named | {"recipe-1", "study-1"}


def test_the_command_writes_schemas(tmp_path: Path) -> None:
    write(tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == SCHEMAS.keys()
    for path in tmp_path.iterdir():
        content = json.loads(path.read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(content)
        assert content["$id"] == "urn:sub8:" + ":".join(path.stem.rsplit("-", 1))


def test_measuring_verbs(at: dict[str, Path], sub8_command: Run) -> None:
    q, data = at["q"], at["data"]
    for command in (
        ("evaluate", q, data),
        ("verify", q, data),
        ("run", q, data),
        ("run", q, data, "--task", "outputs", "-o", q.parent / "outputs.npz"),
        ("inspect", q),
        ("inspect", at["model"]),
        ("inspect", at["mixed"]),
        ("inspect", at["mixed"], "--cost"),
        ("inspect", at["mixed"], "--sensitivity", data, "--float", at["model"]),
        ("benchmark", q, "--runs", "2", "--profile"),
        ("benchmark", at["model"], "--runs", "2"),
        ("compare", q, at["mixed"]),
        ("doctor",),
    ):
        check_output(sub8_command(*command, "--json"), codes=(0, 1))


def test_writing_verbs(at: dict[str, Path], place: Path, sub8_command: Run) -> None:
    plain = place / "plain.onnx"
    for command in (
        ("export", at["q"], "--target", "onnx-plain", "-o", plain, "--check"),
        ("zoo", "resnet18", "--size", "32", "-o", place / "zoo.onnx"),
        ("compile", at["q"], "-o", place / "q.s8"),
        (
            "quantize", at["model"], "-c", at["data"], "--target", "onnx-int8", "-o",
            place / "int8.onnx",
        ),
    ):  # fmt: skip
        check_output(sub8_command(*command, "--json"))


def test_finetune(at: dict[str, Path], place: Path, sub8_command: Run) -> None:
    pytest.importorskip("accelerate", reason="needs the extra train")
    check_output(
        sub8_command(
            "finetune", at["model"], "--train", at["data"], "--validation", at["data"],
            "--epochs", "1", "--batch", "8", "-o", place / "f.onnx", "--json",
        )
    )  # fmt: skip


def test_study(at: dict[str, Path], place: Path, sub8_command: Run) -> None:
    pytest.importorskip("altair", reason="needs the extra study")
    study = place / "study"
    check_output(
        sub8_command(
            "sweep", at["model"], "--data", at["data"], "-c", at["data"], "--weights", "int4",
            "--cluster", "all", "--method", "optimal", "--jobs", "1", "-o", study, "--json",
        )
    )  # fmt: skip
    check(json.loads((study / "study.json").read_text()), "study-1")
    check_output(sub8_command("report", study, "--json"))


def test_records(at: dict[str, Path], place: Path, sub8_command: Run) -> None:
    pytest.importorskip("cryptography", reason="needs the extra records")
    key, event, paper = place / "me.pem", place / "event.json", place / "paper.json"
    check_output(sub8_command("record", "keygen", "-o", key, "--json"))
    metrics = place / "metrics.json"
    metrics.write_text(sub8_command("evaluate", at["q"], at["data"], "--json").out)
    check_output(
        sub8_command(
            "record", "replicate", "--model", at["q"], "--metrics", metrics, "--data", at["data"],
            "--key", key, "-o", event, "--json",
        )
    )  # fmt: skip
    paper.write_bytes(canonical_bytes(made_up_paper("2001.00001", PrivateKey.load(key))))
    check_output(sub8_command("record", "merge", paper, event, "-o", place / "s.json", "--json"))
    check_output(sub8_command("record", "verify", paper, "--json"))


def test_quickstart(place: Path, sub8_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the small network, in the place of the packages' one; on their photographs."""
    pytest.importorskip("skimage", reason="needs the extra quickstart")
    import sub8.verbs.quickstart as verb

    monkeypatch.setattr(verb, "float_model", small_network)
    monkeypatch.setattr(
        verb, "PREPROCESS", sub8.Preprocess(size=SIZE, scale=1 / 128, mean=(1, 1, 1))
    )
    document = check_output(sub8_command("quickstart", "-o", place / "quickstart", "--json"))
    rows = {row["name"]: row for row in document["rows"]}
    assert list(rows) == ["float32", "int8", "int4 N=4", "ternary N=4"]
    assert rows["float32"]["agreement"] is None
    assert all(row["mismatches"] == 0 for name, row in rows.items() if name != "float32")
    assert rows["int8"]["agreement"] > 90


RECIPE = sub8.Recipe(
    weights=sub8.Ternary(cluster=4, terms=2),
    overrides={"layer4.*": sub8.Int4(cluster="all")},
    activations=sub8.Dfp8(calibration="percentile", percentile=99.9),
    method="reconstruct",
)


@pytest.mark.parametrize("recipe", [sub8.Recipe(), RECIPE])
def test_recipes(recipe: sub8.Recipe) -> None:
    check(json.loads(json.dumps(recipe.to_dict())), "recipe-1")


def test_the_recipe_of_the_page() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (PROJECT / "docs/recipes.md").read_text(), re.S)
    check(tomllib.loads(text), "recipe-1")
    assert sub8.Recipe.from_dict(tomllib.loads(text))


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": {"kind": "binary"}},
        {"weights": {"kind": "int4", "cluster": 0}},
        {"method": "gptq"},
        {"weight": {"kind": "int8"}},
        {"activations": {"calibration": "mean"}},
        {"overrides": {"a": "int8"}},
    ],
)
def test_what_a_recipe_refuses_its_schema_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(sub8.InputError):
        sub8.Recipe.from_dict(wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMAS["recipe-1"]).validate(wrong)
