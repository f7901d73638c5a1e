"""Method "auto": reconstruction as far as time, the user and what is installed let it."""

import importlib.util

import numpy as np
import pytest
from inputs_of import calibrated
from solved_layers import same_layers, second_order

import sub8
from sub8.errors import InputError, Sub8Warning
from sub8.progress import Work
from sub8.ptq.quantiser import LayerQuantiser
from sub8.recipe import Dfp8, Recipe, Reconstruction, Ternary

pytest.importorskip("torch", reason="reconstruction needs PyTorch")

from sub8.reconstruct.network import reconstruct

QUICK = Reconstruction(steps=120, batch=16)
AUTO = Recipe(weights=Ternary(4), method="auto", reconstruction=QUICK)
SECOND_ORDER = Recipe(weights=Ternary(4))


def run(network, images, recipe, progress=None):
    work = Work(threads=1, progress=progress)
    return reconstruct(calibrated(network, [images]), recipe, LayerQuantiser(recipe), work).layers


@pytest.fixture(scope="module")
def solved(network, images):
    """The second-order layers."""
    return second_order(calibrated(network, [images]), SECOND_ORDER)


@pytest.fixture(scope="module")
def whole(network, images):
    """The layers of "auto" that nothing stops."""
    return run(network, images, AUTO)


def test_without_time_it_is_the_second_order_method(network, images, solved):
    recipe = Recipe(weights=Ternary(4), method="auto", reconstruction=Reconstruction(minutes=1e-9))
    assert same_layers(run(network, images, recipe), solved)


def test_with_time_it_is_reconstruction(network, images, solved, whole):
    recipe = Recipe(weights=Ternary(4), method="reconstruct", reconstruction=QUICK)
    assert same_layers(whole, run(network, images, recipe)) and not same_layers(whole, solved)


@pytest.mark.parametrize("fitted", [0, 1])
def test_an_interrupt_keeps_the_blocks_that_are_done(network, images, solved, whole, fitted):
    begun = set()

    def interrupted(at: str, done: int, total: int) -> None:
        if done % QUICK.steps == 5:
            begun.add(done // QUICK.steps)
            if len(begun) > fitted:
                raise KeyboardInterrupt

    layers = run(network, images, AUTO, interrupted)
    assert layers.keys() == solved.keys()
    assert len(begun) == fitted + 1
    assert same_layers(layers, solved) == (fitted == 0)
    assert not same_layers(layers, whole)
    assert same_layers({"w2": layers["w2"]}, {"w2": whole["w2"]}) == (fitted == 1)


def test_a_second_interrupt_ends_it(network, images):
    def interrupted(at: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(network, images, AUTO, interrupted)


def test_reconstruct_itself_is_interrupted(network, images):
    def interrupted(at: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    recipe = Recipe(weights=Ternary(4), method="reconstruct", reconstruction=QUICK)
    with pytest.raises(KeyboardInterrupt):
        run(network, images, recipe, interrupted)


@pytest.mark.parametrize("lacking", ["torch", "static exponents"])
def test_what_auto_lacks_is_told_in_a_line(network, images, monkeypatch, lacking):
    recipe = AUTO
    if lacking == "torch":
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *of: None if name == "torch" else find(name, *of),
        )
    else:
        recipe = Recipe(weights=Ternary(4), method="auto", activations=Dfp8(exponent="dynamic"))
    with pytest.warns(Sub8Warning) as told:
        model = sub8.quantize(network, images, recipe, threads=1)
    lines = [str(one.message) for one in told if "auto" in str(one.message)]
    assert len(lines) == 1
    assert ("[torch]" in lines[0]) == (lacking == "torch")
    plain = sub8.quantize(
        network, images, Recipe(weights=Ternary(4), activations=recipe.activations), threads=1
    )
    np.testing.assert_array_equal(
        model.session(threads=1).run(images), plain.session(threads=1).run(images)
    )


@pytest.mark.parametrize("minutes", [0, -1.0, True, "10"])
def test_minutes_are_a_number_above_zero(minutes):
    with pytest.raises(InputError, match="minutes"):
        Reconstruction(minutes=minutes)
