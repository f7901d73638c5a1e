"""Detection, segmentation, reading and embedding from images to figures, of networks made by hand:
one that finds bright squares, one that marks bright pixels.
"""

import json

import numpy as np
import pytest
from made_up_detector import made_up_detector, saved
from PIL import Image

import sub8
from sub8.errors import InputError, MissingPreprocessError

pytest.importorskip("pycocotools")
pytest.importorskip("rapidfuzz")
PLAIN = sub8.Preprocess(size=(16, 24), scale=1 / 255)
MARKER = "g (float[n,3,16,24] x) => (float[n,1,16,24] y) { c = Conv(x, w) y = Sub(c, half) }"


@pytest.fixture
def detector(tmp_path):
    return made_up_detector(tmp_path / "detector.onnx")


@pytest.fixture
def marker(tmp_path):
    w, half = np.full((1, 3, 1, 1), 1 / 3, np.float32), np.array(0.5, np.float32)
    return saved(MARKER, tmp_path / "marker.onnx", w=w, half=half)


@pytest.fixture
def folder(tmp_path):
    """Two black images, twice and four times as large as the networks' input, with a white
    square.
    """
    place = tmp_path / "images"
    place.mkdir()
    for name, scale, row, column in (("a", 2, 4, 8), ("b", 4, 8, 0)):
        pixels = np.zeros((16 * scale, 24 * scale, 3), np.uint8)
        pixels[row * scale : (row + 4) * scale, column * scale : (column + 4) * scale] = 255
        Image.fromarray(pixels).save(place / f"{name}.png")
    return place


def test_boxes_lie_in_the_images(detector, folder):
    a, b = sub8.detect(detector, folder, threshold=0.8, preprocess=PLAIN)
    assert a.labels == b.labels == ("square",)
    corners = [[box.left, box.top, box.right, box.bottom] for box in (*a.boxes, *b.boxes)]
    assert corners == [[16, 8, 24, 16], [0, 32, 16, 48]]
    assert np.asarray(a.picture()).shape == (32, 48, 3)
    with pytest.raises(MissingPreprocessError):
        sub8.detect(detector, folder)
    with pytest.raises(InputError, match="threshold"):
        sub8.detect(detector, folder, threshold=2, preprocess=PLAIN)


def test_boxes_beside_labels(detector, folder, tmp_path):
    labels = tmp_path / "coco.json"
    document = {
        "categories": [{"id": 7, "name": "square"}],
        "images": [{"id": 1, "file_name": "x/a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"image_id": 1, "category_id": 7, "bbox": [16, 8, 8, 8]},
            {"image_id": 2, "category_id": 7, "bbox": [0, 32, 16, 16]},
        ],
    }
    labels.write_text(json.dumps(document))
    found = sub8.score(detector, folder, "map50", labels, preprocess=PLAIN)
    assert (found.value, found.parts["map"]) == (pytest.approx(100), pytest.approx(100))
    document["images"].pop()
    document["annotations"].pop()
    labels.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"says nothing of 'b\.png'"):
        sub8.score(detector, folder, "map50", labels, preprocess=PLAIN)
    labels.write_text('{"images": 3}')
    with pytest.raises(InputError, match="COCO"):
        sub8.score(detector, folder, "map50", labels, preprocess=PLAIN)


def test_maps_of_images_and_arrays(marker, folder, tmp_path):
    a, _ = sub8.segment(marker, folder, preprocess=PLAIN)
    assert a.classes.shape == (32, 48)
    assert a.parts["1"] == pytest.approx(1 / 24)
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in folder.iterdir():
        Image.open(path).convert("L").point(lambda x: x > 127).save(masks / path.name)
    assert sub8.score(marker, folder, "miou", masks, preprocess=PLAIN).value == pytest.approx(100)
    (masks / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png: no such file"):
        sub8.score(marker, folder, "miou", masks, preprocess=PLAIN)
    x = np.random.default_rng(0).random((5, 3, 16, 24), np.float32)
    truth = (x.mean(axis=1) > 0.5).astype(np.uint8)
    np.save(tmp_path / "truth.npy", truth)
    found = sub8.score(marker, x, "miou", tmp_path / "truth.npy", images="1:4")
    assert (found.value, found.images) == (100.0, 3)


def test_embeddings_and_regressions(marker, tmp_path):
    x = np.random.default_rng(0).random((4, 3, 16, 24), np.float32)
    truth = x.mean(axis=1, keepdims=True) - 0.5
    np.save(tmp_path / "truth.npy", truth + 0.25)
    error = sub8.score(marker, x, "error", tmp_path / "truth.npy")
    assert error.value == pytest.approx(0.25, rel=1e-4)
    np.save(tmp_path / "truth.npy", truth * 3)
    assert sub8.score(marker, x, "cosine", tmp_path / "truth.npy").value == pytest.approx(100)


def test_texts(tmp_path):
    text = "g (float[n,7,4] x) => (float[n,7,4] y) { y = Add(x, zero) }"
    path = saved(text, tmp_path / "reader.onnx", [("character", "a\nb")], zero=np.float32(0))
    x = np.eye(4, dtype=np.float32)[[[1, 1, 0, 1, 2, 0, 0], [2, 3, 1, 0, 0, 0, 0]]]
    np.save(tmp_path / "x.npy", x)
    labels = tmp_path / "texts.txt"
    labels.write_text("x.npy: row 0\taab\nx.npy: row 1\tb b\n")
    found = sub8.score(path, tmp_path / "x.npy", "text", labels)
    assert found.value == pytest.approx(100 * 5 / 6)
    assert found.parts == {"lines": 50.0}


def test_commands(detector, folder, tmp_path, sub8_command):
    setting = tmp_path / "preprocess.json"
    setting.write_text(json.dumps({"size": [16, 24], "scale": 1 / 255}))
    how = ("--preprocess", setting)
    done = sub8_command(
        "run", detector, folder, "--task", "detect", "--threshold", "0.8", *how, "-o",
        tmp_path / "found", "--json",
    )  # fmt: skip
    document = json.loads(done.out)
    assert document["schema"] == "sub8/detect/1"
    assert [one["boxes"][0]["left"] for one in document["found"]] == [16, 0]
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["a.png", "b.png"]
    refused = sub8_command("evaluate", detector, folder, "--metric", "map50", *how)
    assert (refused.code, "needs --labels" in refused.err) == (2, True)


def test_all_outputs_of_several_inputs(tmp_path, sub8_command):
    text = "g (float[n,3] a, int64[n] b) => (float[n,3] y, int64[n] z) { y = Neg(a) z = Neg(b) }"
    path = saved(text, tmp_path / "two.onnx")
    a, b = np.arange(15, dtype=np.float32).reshape(5, 3), np.arange(5)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    done = sub8_command(
        "run", path, "--input", f"a={tmp_path / 'a.npy'}", "--input", f"b={tmp_path / 'b.npy'}",
        "--task", "outputs", "-o", tmp_path / "out.npz",
    )  # fmt: skip
    assert done.code == 0, done.err
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["y"], -a)
        np.testing.assert_array_equal(found["z"], -b)


def test_calls_in_files(tmp_path):
    """A state ``[2, n, 3]`` has other rows than the samples, so each call is a file."""
    body = "t = ReduceSum<keepdims=0>(s, a) y = Add(x, t)"
    text = f"g (float[n,3] x, float[2,n,3] s) => (float[n,3] y) {{ {body} }}"
    path = saved(text, tmp_path / "state.onnx", a=np.array([0]))
    calls = tmp_path / "calls"
    calls.mkdir()
    x, s = np.ones((4, 3), np.float32), np.ones((2, 4, 3), np.float32)
    for place in range(3):
        np.savez(calls / f"{place}.npz", x=x * place, s=s)
    found = sub8.predict(path, calls)
    assert found[:, 0].tolist() == [2.0, 3.0, 4.0]


def test_a_state_has_the_batch_of_the_samples(tmp_path):
    body = "c = Conv(x, w) t = ReduceSum<keepdims=0>(s, a) y = Add(c, t)"
    text = f"g (float[n,4,6,6] x, float[2,n,4,6,6] s) => (float[n,4,6,6] y) {{ {body} }}"
    w = np.random.default_rng(0).normal(size=(4, 4, 1, 1)).astype(np.float32)
    path = saved(text, tmp_path / "state.onnx", a=np.array([0]), w=w)
    calls = [
        {"x": np.ones((3, 4, 6, 6), np.float32) * n, "s": np.ones((2, 3, 4, 6, 6), np.float32)}
        for n in range(4)
    ]
    made = sub8.quantize(path, calls)
    assert sub8.inspect(made).input_shapes == {"x": (1, 4, 6, 6), "s": (2, 1, 4, 6, 6)}
    assert sub8.benchmark(made, runs=1, batch=2).input_shapes["s"] == (2, 2, 4, 6, 6)
    assert sub8.verify(made, calls).mismatches == 0
