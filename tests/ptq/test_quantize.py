"""The verb: what it accepts, what it writes, how well real networks survive."""

import json

import numpy as np
import onnx_ir as ir
import pytest

import sub8
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError, Sub8Warning, UnsupportedModelError
from sub8.model_file import ModelFile
from sub8.oracle import OnnxRuntime
from sub8.recipe import Dfp8, Int8, Recipe, Ternary
from sub8.verbs.evaluate import evaluate
from sub8.verbs.quantize import quantize


def logits(model: ir.Model, x: np.ndarray) -> np.ndarray:
    return OnnxRuntime(ir.to_proto(model).SerializeToString(), threads=1, optimise=False).run(x)


def test_artifact_holds_its_history_and_runs(network, images, tmp_path):
    calls = []
    quantised = quantize(
        network,
        images,
        Recipe(weights=Int8()),
        threads=1,
        progress=lambda *step: calls.append(step),
    )
    quantised.save(tmp_path / "q.onnx")
    metadata = ModelFile.open(tmp_path / "q.onnx").metadata
    assert metadata["sub8.version"] == sub8.__version__
    assert Recipe.from_dict(json.loads(metadata["sub8.recipe"])) == Recipe(weights=Int8())
    summary = json.loads(metadata["sub8.calibration"])
    assert summary["images"] == 24
    assert set(summary["signal_to_noise"]) == {layer.name for layer in quantised.layers}
    assert len(metadata["sub8.source_sha256"]) == 64
    assert {call[0] for call in calls} == {"activations", "layers"} and calls[-1][1] == calls[-1][2]
    expected = logits(network, images)
    error = logits(quantised.model, images) - expected
    assert np.square(error).sum() < 0.01 * np.square(expected).sum()


def test_batches_arrays_and_images_of_bytes_agree(network, images):
    whole = quantize(network, images, threads=1)
    in_batches = quantize(network, [images[:10], images[10:]], threads=1)
    np.testing.assert_array_equal(logits(whole.model, images), logits(in_batches.model, images))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    prepared = Preprocess(size=8, scale=1 / 64, mean=(2.0,) * 3)
    by_bytes = quantize(network, pixels, preprocess=prepared, threads=1)
    assert Preprocess.from_metadata(by_bytes.model.metadata_props["preprocess"]) == prepared


def test_the_source_model_stays_as_it_was(network, images):
    before = ir.to_proto(network).SerializeToString(deterministic=True)
    quantize(network, images, threads=1)
    assert ir.to_proto(network).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("empty", [[], np.zeros((0, 3, 8, 8), np.float32)])
def test_no_images_are_refused(network, empty):
    with pytest.raises(InputError, match="no images"):
        quantize(network, empty)


def test_one_image_needs_statistics_correction_off(network, images):
    with pytest.raises(InputError, match="one image"):
        quantize(network, images[:1])
    quantize(network, images[:1], Recipe(correct_statistics=False), threads=1)


def test_wrong_shape_and_type_are_refused(network, images):
    with pytest.raises(InputError, match="takes"):
        quantize(network, images[:, :2])
    with pytest.raises(InputError, match="differ"):
        quantize(network, [images, images[:, :, :4]])
    with pytest.raises(InputError, match="calibration must be"):
        quantize(network, 7)
    with pytest.raises(InputError, match="a model must be"):
        quantize(7, images)


def test_a_quantised_model_is_refused(network, images):
    done = quantize(network, images, threads=1)
    with pytest.raises(InputError, match="already quantised"):
        quantize(done.model, images)


@pytest.mark.parametrize("method", ["paper", "optimal"])
def test_a_lone_linear_layer(net, method):
    weight = np.random.default_rng(0).standard_normal((24, 16)).astype(np.float32) / 8
    model = net("y = MatMul(x, w)", x="b,24", w=weight)
    x = np.random.default_rng(1).standard_normal((8, 24)).astype(np.float32)
    recipe = Recipe(weights=Ternary(8), first=Int8(), last=Int8(), method=method)
    result = quantize(model, x, recipe).model
    error = logits(result, x) - x @ weight
    assert np.abs(error).max() < 0.1


def test_a_model_without_layers_is_refused(net):
    with pytest.raises(UnsupportedModelError, match="no Conv"):
        quantize(net("y = Relu(x)"), np.ones((2, 3, 8, 8), np.float32))


def test_a_fixed_batch_size_is_kept(net, images):
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    model = net("a = Conv(x, w) y = Relu(a)", x="5,3,8,8", w=weight)

    def used(calibration):
        done = quantize(model, calibration, threads=1)
        return json.loads(done.model.metadata_props["sub8.calibration"])["images"]

    with pytest.warns(Sub8Warning, match="4 of 24 images are left out"):
        assert used(images) == 20
    assert used(images[:3]) == 3  # two of them twice


@pytest.mark.parametrize(
    ("recipe", "images", "least"),
    [
        (Recipe(weights=Int8()), 64, 85.0),
        (Recipe(weights=Int8(), activations=Dfp8(exponent="dynamic")), 64, 85.0),
        (Recipe(weights=Ternary(4), method="hessian"), 128, 70.0),
    ],
    ids=["int8", "dynamic", "ternary"],
)
def test_resnet20_survives(shared, recipe, images, least):
    model = quantize(
        shared("models/cifar10-resnet20.onnx"),
        shared("data/cifar10-train.parquet"),
        recipe,
        images=images,
    )
    result = evaluate(model, shared("data/cifar10-test.parquet"), images=500, threads=1)
    assert result.top1 >= least


def test_nodes_that_a_recipe_keeps_in_float():
    recipe = Recipe(keep_float=("relu_*", "no such node"))
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(InputError, match="keep_float"):
        Recipe(keep_float="relu")
    assert recipe.unmatched([], ["relu_1"]) == ["no such node"]
