"""A few random networks; ``run_fuzz.py`` goes through as many as one likes."""

import pytest
from agreement import disagreement
from random_networks import sample


@pytest.mark.parametrize("seed", range(8))
def test_engine_reference_and_onnx_runtime_agree(seed):
    network = sample(seed)
    assert disagreement(network) is None, network.describe()
