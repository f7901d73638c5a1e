"""The weights that a layer should have on quantised inputs."""

from typing import NamedTuple

import numpy as np
import pytest
from inputs_of import given

from sub8.graph.groups import find_groups
from sub8.graph.qdq import QuantizedLayer
from sub8.numerics.dfp import Format
from sub8.progress import Work
from sub8.ptq import patches
from sub8.ptq.calibrated_network import CalibratedNetwork
from sub8.ptq.calibration_pass import CalibratedLayer, calibration_pass
from sub8.ptq.quantiser import LayerQuantiser
from sub8.ptq.regression import Regression, regress
from sub8.recipe import Recipe, Ternary


class Case(NamedTuple):
    """A grouped layer whose input is coarsely quantised, and its regressions."""

    layer: CalibratedLayer
    found: Regression
    pulled: Regression
    in_small_blocks: Regression
    columns: np.ndarray
    targets: np.ndarray


@pytest.fixture(scope="module")
def case(net) -> Case:
    weight = np.random.default_rng(3).normal(size=(6, 2, 3, 3)).astype(np.float32)
    images = np.random.default_rng(4).normal(size=(12, 4, 8, 8)).astype(np.float32)
    model = net("y = Conv <group = 2, pads = [1,1,1,1]> (x, w)", x="b,4,8,8", w=weight)
    seen = []

    def visit(layer: CalibratedLayer) -> QuantizedLayer:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(patches, "BLOCK_ELEMENTS", 1)
            in_small_blocks = regress(layer)
        columns = patches.patches(layer.group.layer, next(layer.inputs()))
        targets = np.moveaxis(layer.float_accumulators[0], 1, 0).reshape(6, -1)
        pulled = regress(layer, ridge=1e6)
        seen.append(Case(layer, regress(layer), pulled, in_small_blocks, columns, targets))
        return LayerQuantiser(Recipe(weights=Ternary(4), method="hessian"))(layer)

    calibration_pass(
        CalibratedNetwork(
            model, find_groups(model), {"x": Format.dfp(True, 0)}, given(model, [images])
        ),
        visit,
        work=Work(threads=1),
    )
    return seen[0]


def test_regressed_weights_beat_the_float_ones_on_quantised_inputs(case):
    def error(weight):
        rows = weight.reshape(2, 3, 18)
        return np.var((rows @ case.columns).reshape(6, -1) - case.targets, axis=1).sum()

    assert error(case.found.weight) < 0.95 * error(case.layer.weight)


def test_a_strong_pull_gives_the_float_weights_back(case):
    np.testing.assert_allclose(case.pulled.weight, case.layer.weight, atol=1e-4)


def test_covariance_is_that_of_the_patches(case):
    expected = np.stack([np.cov(part, bias=True) for part in case.columns.astype(np.float64)])
    np.testing.assert_allclose(case.found.covariance, expected, atol=1e-5)


def test_blocks_add_up(case):
    np.testing.assert_allclose(case.in_small_blocks.covariance, case.found.covariance, atol=1e-6)
    np.testing.assert_allclose(case.in_small_blocks.weight, case.found.weight, atol=1e-5)
