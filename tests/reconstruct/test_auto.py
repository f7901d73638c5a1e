"""Method "auto": reconstruction as far as time, the user and what is installed let it."""

import importlib.util
import warnings
from dataclasses import replace

import numpy as np
import pytest
from inputs_of import calibrated
from solved_layers import same_layers, second_order

import sub8
from sub8.errors import InputError, Sub8Warning
from sub8.progress import Work
from sub8.ptq.quantiser import LayerQuantiser
from sub8.recipe import Dfp8, Int8, Recipe, Reconstruction, Ternary

pytest.importorskip("torch", reason="reconstruction needs PyTorch")

from sub8.reconstruct.network import reconstruct

QUICK = Reconstruction(steps=120, batch=16)
AUTO = Recipe(weights=Ternary(4), method="auto", reconstruction=QUICK)
PLAIN = Recipe(weights=Ternary(4), method="hessian")


def run(network, images, recipe, progress=None):
    work = Work(threads=1, progress=progress)
    return reconstruct(calibrated(network, [images]), recipe, LayerQuantiser(recipe), work).layers


@pytest.fixture(scope="module")
def solved(network, images):
    """The second-order layers."""
    return second_order(calibrated(network, [images]), PLAIN)


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


def _same(model, plain, images) -> None:
    np.testing.assert_array_equal(
        model.session(threads=1).run(images), plain.session(threads=1).run(images)
    )


def test_without_pytorch_a_line_tells_what_it_would_add(network, images, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *of: None if name == "torch" else find(name, *of),
    )
    with pytest.warns(Sub8Warning) as told:
        model = sub8.quantize(network, images, AUTO, threads=1)
    assert [str(one.message).count("[torch]") for one in told if "auto" in str(one.message)] == [1]
    _same(model, sub8.quantize(network, images, PLAIN, threads=1), images)


@pytest.mark.parametrize(
    "changes", [{"weights": Int8()}, {"activations": Dfp8(exponent="dynamic")}], ids=str
)
def test_where_blocks_are_not_fitted_it_is_the_second_order_solution(network, images, changes):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*auto")
        model = sub8.quantize(network, images, replace(AUTO, **changes), threads=1)
    plain = sub8.quantize(network, images, replace(PLAIN, **changes), threads=1)
    _same(model, plain, images)


@pytest.mark.parametrize("minutes", [0, -1.0, True, "10"])
def test_minutes_are_a_number_above_zero(minutes):
    with pytest.raises(InputError, match="minutes"):
        Reconstruction(minutes=minutes)
