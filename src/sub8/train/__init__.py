"""Low-precision retraining on PyTorch: what is trained is, to the bit, what the engine runs.

>>> network = prepare(module, recipe, calibration)  # doctest: +SKIP
>>> ...  # the user's own training loop on ``network``; ``network.freeze()`` for its last part
>>> export(network).save("model.onnx")  # doctest: +SKIP
"""

from sub8.train.export import export
from sub8.train.network import Network
from sub8.train.prepare import prepare

__all__ = ["Network", "export", "prepare"]
