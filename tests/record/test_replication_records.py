"""Replication records of models and studies, and the whole way through the command line."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import CliRunner, Result

from sub8.cli.record import record_app
from sub8.errors import InputError, Sub8Error
from sub8.files import path_sha256
from sub8.record.defaults import PAPER
from sub8.record.keys import PrivateKey, generate_key_files
from sub8.record.replicate import replicate_model, replicate_study

RECIPE = {"weights": {"kind": "ternary", "cluster": 4}, "activations": {"percentile": 99.99}}


def run(*arguments: object, **options: Any) -> Result:
    """As the main command line does: a deliberate error is one line and exit code 2."""
    result = CliRunner().invoke(record_app, [str(argument) for argument in arguments], **options)
    if isinstance(result.exception, Sub8Error):
        assert "\n" not in str(result.exception)
        result.exit_code = 2
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def model(tmp_path: Path) -> Path:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "graph",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    proto = onnx.helper.make_model(graph)
    metadata = {
        "sub8.version": "0.1.0",
        "sub8.recipe": json.dumps(RECIPE),
        "sub8.source_sha256": "ab" * 32,
    }
    onnx.helper.set_model_props(proto, metadata)
    path = tmp_path / "resnet-t4.onnx"
    onnx.save(proto, path)
    return path


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"top1": 87.94, "top5": 99.5, "images": 5000}))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "test.parquet"
    path.write_bytes(b"images")
    return path


def test_record_of_a_model(model: Path, metrics: Path, data: Path, key: PrivateKey) -> None:
    event = replicate_model(model, metrics, key, data=data)
    payload = event.fields["payload"]
    (point,) = payload["claim"]["points"]
    assert point == {
        "model": "resnet-t4",
        "setting": {"weights": RECIPE["weights"], "activations": {"percentile": "99.99"}},
        "sha256": {
            "artifact": path_sha256(model),
            "data": path_sha256(data),
            "source": "ab" * 32,
        },
    }
    assert payload["measured"] == [{"top1": "87.94", "top5": "99.5", "images": 5000}]
    assert set(payload["claim"]["machine"]) == {"platform", "cpu", "cores"}
    assert payload["claim"]["tool"] == {"name": "sub8", "version": "0.1.0"}
    assert event.subject == PAPER


def test_the_same_measurement_gives_the_same_event(
    model: Path, metrics: Path, data: Path, key: PrivateKey
) -> None:
    first = replicate_model(model, metrics, key, data=data)
    assert replicate_model(model, metrics, key, data=data).data == first.data
    os.utime(metrics, (0, 0))
    assert replicate_model(model, metrics, key, data=data).fields["created_at"] == (
        "1970-01-01T00:00:00Z"
    )


def test_data_named_in_the_metrics(model: Path, metrics: Path, data: Path, key: PrivateKey) -> None:
    expected = replicate_model(model, metrics, key, data=data).fields["payload"]
    for naming in ({"data": data.name}, {"data_sha256": path_sha256(data)}):
        document = {"top1": 87.94, "top5": 99.5, "images": 5000, **naming}
        metrics.write_text(json.dumps({**document, "measured_at": "2026-01-31T10:28:37Z"}))
        event = replicate_model(model, metrics, key)
        assert event.fields["payload"] == expected
        assert event.fields["created_at"] == "2026-01-31T10:28:37Z"


def test_hash_of_a_folder_does_not_depend_on_its_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "cat").mkdir(parents=True)
        (tmp_path / name / "cat" / "1.png").write_bytes(b"1")
        (tmp_path / name / "b.png").write_bytes(b"2")
    assert path_sha256(tmp_path / "one") == path_sha256(tmp_path / "two")
    (tmp_path / "two" / "b.png").rename(tmp_path / "two" / "c.png")
    assert path_sha256(tmp_path / "one") != path_sha256(tmp_path / "two")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_data_that_has_no_end_or_no_name(model: Path, metrics: Path, key: PrivateKey) -> None:
    os.mkfifo(metrics.parent / "pipe")
    for name, message in (
        ("pipe", "neither a file"),
        ("/dev/zero", "neither a file"),
        ("a\0b", "read"),
    ):
        metrics.write_text(json.dumps({"top1": 1, "data": name}))
        with pytest.raises(InputError, match=message):
            replicate_model(model, metrics, key)


def test_folder_with_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"image")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert len(path_sha256(tmp_path)) == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "at least one figure"),
        ('{"top1": "87.9"}', "'top1' must be a number"),
        ('{"top1": true}', "'top1' must be a number"),
        ('{"top1": NaN}', "NaN"),
        ('{"top1": 1, "top1": 2}', "appears twice"),
        ("[1]", "must be a JSON object"),
        ('{"top1": 1, "measured_at": 3}', "measured_at"),
        ('{"top1": 1, "measured_at": "today"}', "created_at"),
    ],
)
def test_bad_metrics(
    model: Path, metrics: Path, data: Path, key: PrivateKey, content: str, message: str
) -> None:
    metrics.write_text(content)
    with pytest.raises(InputError, match=message):
        replicate_model(model, metrics, key, data=data)


def test_bad_models(model: Path, metrics: Path, data: Path, key: PrivateKey) -> None:
    with pytest.raises(InputError, match="give --data"):
        replicate_model(model, metrics, key)
    whole = model.read_bytes()
    for content, message in ((whole[:-5], "damaged"), (b"", "'sub8.version' is missing")):
        model.write_bytes(content)
        with pytest.raises(InputError, match=message):
            replicate_model(model, metrics, key, data=data)
    model.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        replicate_model(model, metrics, key, data=data)


def study_document() -> dict[str, Any]:
    points = [
        {
            "model": "resnet20",
            "setting": {"weights": "ternary", "cluster": cluster},
            "sha256": {"source": "01" * 32, "artifact": f"{cluster:064x}", "data": "03" * 32},
            "metrics": {"top1": 85.5 + cluster},
            "file": "points are free to hold more",
        }
        for cluster in (1, 4)
    ]
    return {"sub8_version": "0.1.0", "measured_at": "2026-01-31T10:28:37Z", "points": points}


def test_record_of_a_study(tmp_path: Path, key: PrivateKey) -> None:
    (tmp_path / "study.json").write_text(json.dumps(study_document()))
    payload = replicate_study(tmp_path, key).fields["payload"]
    assert [point["setting"]["cluster"] for point in payload["claim"]["points"]] == [1, 4]
    assert payload["measured"] == [{"top1": "86.5"}, {"top1": "89.5"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda study: study.pop("sub8_version"), "sub8_version"),
        (lambda study: study.update(points=[]), "at least one point"),
        (lambda study: study["points"][1].pop("setting"), r"points\[1\]: 'setting' is missing"),
        (lambda study: study["points"][1]["sha256"].update(data="x"), "sha256"),
        (lambda study: study["points"][0].update(metrics={"top1": None}), "'top1' must be"),
    ],
)
def test_bad_studies(tmp_path: Path, key: PrivateKey, change: Any, message: str) -> None:
    document = study_document()
    change(document)
    (tmp_path / "study.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        replicate_study(tmp_path, key)


def test_from_key_to_verified_state(
    model: Path, metrics: Path, data: Path, tmp_path: Path, state: dict[str, Any]
) -> None:
    paper, secret = tmp_path / "paper.json", tmp_path / "me.pem"
    event, output = tmp_path / "event.json", tmp_path / "state.json"
    paper.write_text(json.dumps(state))
    assert run("keygen", "-o", secret).exit_code == 0
    arguments = ["--model", model, "--metrics", metrics, "--data", data, "--key", secret]
    arguments += ["--subject", state["pith_number"], "--claim", "Ternary weights, N=4."]
    assert run("replicate", *arguments, "-o", event).exit_code == 0
    merged = json.loads(run("merge", event, paper, event, "-o", output, "--json").stdout)
    assert (merged["applied"], merged["invalid"], merged["repeated"]) == (1, {}, 1)
    assert run("verify", output).exit_code == 0
    report = json.loads(run("verify", output, "--json").stdout)
    assert report["valid"]
    result = json.loads(output.read_bytes())
    (record,) = result["current"]["replication_records"]
    record["payload"]["measured"][0]["top1"] = "99.94"
    output.write_text(json.dumps(result))
    altered = run("verify", output)
    assert altered.exit_code == 1
    assert "invalid        signed event" in altered.stdout


def test_the_papers_record_takes_one_and_shows_later_changes(
    shared: Callable[[str], Path], model: Path, metrics: Path, tmp_path: Path, key: PrivateKey
) -> None:
    paper, secret = shared("paper/pith-1701.08978.json"), tmp_path / "me.pem"
    event, output = tmp_path / "event.json", tmp_path / "state.json"
    generate_key_files(secret)
    data = shared("data/cifar10-test.parquet")
    arguments = ["--model", model, "--metrics", metrics, "--data", data, "--key", secret]
    assert run("replicate", *arguments, "-o", event).exit_code == 0
    assert run("merge", paper, event, "-o", output).exit_code == 0
    assert run("verify", output).exit_code == 0
    text = output.read_bytes()
    for old, new in ((b'"top1":"87.94"', b'"top1":"88.94"'), (b'"images":5000', b'"images":5001')):
        assert old in text
        output.write_bytes(text.replace(old, new))
        assert run("verify", output).exit_code == 1


def test_protected_key(
    tmp_path: Path, model: Path, metrics: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "me.pem"
    asked = run("keygen", "-o", secret, "--passphrase", input="sesame\nsesame\n")
    assert asked.exit_code == 0
    arguments = ["--model", model, "--metrics", metrics, "--data", data, "--key", secret]
    monkeypatch.setenv("SUB8_KEY_PASSPHRASE", "wrong")
    assert run("replicate", *arguments, "-o", tmp_path / "event.json").exit_code == 2
    monkeypatch.setenv("SUB8_KEY_PASSPHRASE", "sesame")
    assert run("replicate", *arguments, "-o", tmp_path / "event.json").exit_code == 0


def test_bad_commands_end_with_code_2(tmp_path: Path, state: dict[str, Any]) -> None:
    assert run("verify", tmp_path / "absent.json").exit_code == 2
    (tmp_path / "paper.json").write_text(json.dumps(state))
    assert run("verify", tmp_path / "paper.json", "--key", tmp_path / "absent").exit_code == 2
    secret = tmp_path / "me.pem"
    assert run("keygen", "-o", secret).exit_code == 0
    assert run("keygen", "-o", secret).exit_code == 2
    for choice in ([], ["--model", "m.onnx"], ["--study", tmp_path, "--metrics", "m.json"]):
        assert run("replicate", *choice, "--key", secret, "-o", tmp_path / "e").exit_code == 2
    nowhere = tmp_path / "absent" / "state.json"
    assert run("merge", tmp_path / "paper.json", "-o", nowhere).exit_code == 2


@pytest.mark.parametrize("verb", ["verify", "merge", "replicate", "keygen"])
def test_every_verb_shows_an_example(verb: str) -> None:
    text = run(verb, "--help").stdout
    assert f"sub8 record {verb}" in text
    assert "--json" in text
