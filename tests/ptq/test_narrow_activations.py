"""Activations of 6 and 7 bits: clipped in the file, in the engine a range of the same integers."""

import numpy as np
import pytest
from tests.conftest import SIZE, small_network

import sub8
from sub8.engine.compile import compile_plan
from sub8.engine.plan.operators import Layer
from sub8.errors import InputError


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).standard_normal((24, 3, SIZE, SIZE)).astype(np.float32)


def ranges(model):
    """Of every layer's 8-bit result, by name."""
    plan = compile_plan(model)
    return {
        step.name: (step.low, step.high)
        for step in plan.operators
        if isinstance(step, Layer) and plan.formats[step.out] is not None
    }


@pytest.mark.parametrize(("bits", "high"), [(6, 63), (7, 127), (8, 255)])
def test_a_layer_reads_few_bits_and_all_runtimes_agree(images, bits, high):
    recipe = sub8.Recipe(input_bits={"block.b": bits}, method="optimal")
    quantised = sub8.quantize(small_network(), images, recipe)
    found = ranges(quantised.model)
    assert found["block.a"] == (0, high) and found["stem"] == (0, 255)
    assert sub8.verify(quantised, images).mismatches == 0


def test_signed_results_are_clipped_on_both_sides(images):
    network = small_network()
    relu = next(node for node in network.graph if node.name == "a_relu")
    relu.op_type = "Identity"
    recipe = sub8.Recipe(input_bits={"block.b": 6}, method="optimal")
    quantised = sub8.quantize(network, 4 * images, recipe)
    assert ranges(quantised.model)["block.a"] == (-32, 31)
    assert sub8.verify(quantised, 9 * images).mismatches == 0


def test_what_is_trained_is_what_is_exported(images):
    train = pytest.importorskip("sub8.train", reason="needs the extra torch")
    torch = pytest.importorskip("torch")
    recipe = sub8.Recipe(sub8.Ternary(4), input_bits={"*": 6}, method="optimal")
    network = train.prepare(small_network(), recipe, images).freeze()
    network.eval()
    exported = train.export(network)
    found = ranges(exported.model)
    # The last one is read by a pooling.
    assert [found[name][1] for name in ("stem", "block.a", "block.b", "depthwise")] == [63] * 3 + [
        255
    ]
    x = 3 * images
    (name,) = sub8.Session(exported.model).outputs
    engine = sub8.Session(exported.model).run_all({"image": x})[name]
    assert np.array_equal(network(torch.from_numpy(x)).numpy(), engine)
    assert sub8.verify(exported, x).mismatches == 0


def test_recipes_with_bits_are_checked_and_kept(tmp_path):
    recipe = sub8.Recipe(input_bits={"layer*": 6})
    assert sub8.Recipe.from_dict(recipe.to_dict()) == recipe
    (tmp_path / "r.toml").write_text('[input_bits]\n"layer*" = 6\n')
    assert sub8.Recipe.load(tmp_path / "r.toml") == recipe
    with pytest.raises(InputError, match="'layer4': 5 must be 6, 7 or 8"):
        sub8.Recipe(input_bits={"layer4": 5})
    with pytest.raises(InputError, match="static"):
        sub8.Recipe(input_bits={"*": 6}, activations=sub8.Dfp8(exponent="dynamic"))
    with pytest.warns(sub8.errors.Sub8Warning, match="no layer or node .* matches 'nothing'"):
        x = np.zeros((2, 3, SIZE, SIZE), np.float32)
        x[1] = 1
        sub8.quantize(small_network(), x, sub8.Recipe(input_bits={"nothing": 6}, method="optimal"))
