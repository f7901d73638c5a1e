"""``export``: a trained network as the artifact of post-training quantisation."""

from sub8.errors import InputError
from sub8.graph.qdq import write_qdq
from sub8.quantized_model import QuantizedModel, layer_summaries
from sub8.train.network import Network


def export(network: Network) -> QuantizedModel:
    """The Q/DQ model of exactly the integers that the network computes with in evaluation mode.

    network: what ``prepare`` returned (of a wrapper such as DistributedDataParallel, its
    ``module``). Raises InputError for anything else. The layers' signal-to-noise ratios are those
    before training."""
    if not isinstance(network, Network):
        raise InputError(f"export takes what prepare returned, not {type(network).__name__}")
    layers = network.integers()
    model = write_qdq(network.model, layers, network.formats(), network.metadata, network.groups)
    return QuantizedModel(model, layer_summaries(layers, network.signal_to_noise))
