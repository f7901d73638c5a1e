"""A few random networks; ``run_fuzz.py`` goes through as many as one likes."""

import pytest
from agreement import disagreement
from random_networks import WIDEST, sample


@pytest.mark.parametrize("seed", range(8))
def test_engine_reference_and_onnx_runtime_agree(seed):
    network = sample(seed)
    assert disagreement(network) is None, network.describe()


def test_no_dense_layer_is_so_wide_that_its_network_takes_minutes():
    for seed in range(30, 50):
        network = sample(seed)
        constants = network.model.graph.initializers
        for node in network.model.graph:
            if node.op_type in ("Gemm", "MatMul") and node.inputs[1].name in constants:
                weight = constants[node.inputs[1].name]
                assert max(weight.shape) <= WIDEST, network.describe()
