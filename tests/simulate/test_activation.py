"""Activations in PyTorch as the artifact has them."""

import numpy as np
import pytest

from sub8.numerics.dfp import Format, dequantize, quantize

torch = pytest.importorskip("torch")
from sub8.simulate.activation import ActivationQuantiser  # noqa: E402


@pytest.mark.parametrize("fmt", [Format.dfp(True, -4), Format.dfp(False, -4, 40)])
def test_rounds_and_saturates_as_the_format_says(fmt):
    x = np.linspace(-20, 20, 1001, dtype=np.float32)
    expected = dequantize(quantize(x, fmt), fmt)
    quantiser = ActivationQuantiser(fmt)
    assert quantiser.format() == fmt
    for kind in (torch.float32, torch.float64):
        np.testing.assert_array_equal(quantiser(torch.from_numpy(x).to(kind)).numpy(), expected)


def test_another_exponent_reaches_as_far_below_0():
    quantiser = ActivationQuantiser(Format.dfp(False, -4, 40))
    x = torch.linspace(-2, 30, 10_000)
    quantiser.track(x)  # up to 13.4 until now
    assert quantiser.format() == Format.dfp(False, -3, 20)
