"""Low-precision retraining on PyTorch: what is trained is, to the bit, what the engine runs.

Between ``prepare`` and ``export`` goes the user's own training loop, ``freeze`` before its last
part.

>>> network = prepare(module, recipe, calibration)  # doctest: +SKIP
>>> network.freeze()  # doctest: +SKIP
>>> export(network).save("model.onnx")  # doctest: +SKIP
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sub8.train.artifact import export
    from sub8.train.network import Network
    from sub8.train.preparation import prepare

__all__ = ["Network", "export", "prepare"]

# Imported on first use: the command line must not wait for PyTorch, nor need it.
_HOMES = {"Network": "network", "export": "artifact", "prepare": "preparation"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sub8.train' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"sub8.train.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
