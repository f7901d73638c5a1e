"""Checkpoints: network, optimiser and random state in one safetensors file."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sub8.errors import InputError
from sub8.files import write_file

_NETWORK, _OPTIMIZER, _RANDOM = "network.", "optimizer.", "random"
_DIGEST = "sha256"


def save_checkpoint(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    record: dict[str, Any],
) -> None:
    """Write beside, then rename. record: plain data that goes along. Raises InputError."""
    tensors = {_NETWORK + name: value for name, value in network.state_dict().items()}
    header = {"record": json.dumps(record)}
    if optimizer is not None:
        state = optimizer.state_dict()
        plain: dict[str, dict[str, Any]] = {}
        for index, values in state["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"{_OPTIMIZER}{index}.{key}"] = value
                else:
                    plain.setdefault(str(index), {})[key] = value
        header["optimizer"] = json.dumps({"plain": plain, "groups": state["param_groups"]})
        tensors[_RANDOM] = torch.get_rng_state()
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header[_DIGEST] = _digest(stored, header)
    write_file(path, save(stored, header))


def read_record(path: Path) -> dict[str, Any]:
    """The plain data of a checkpoint. Raises InputError for a file that is none, or is damaged."""
    _, header = _read(path)
    record: dict[str, Any] = json.loads(header["record"])
    return record


def load_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Take over everything that ``save_checkpoint`` wrote. Raises InputError where it does not
    fit.
    """
    tensors, header = _read(path)
    own = {
        name.removeprefix(_NETWORK): value
        for name, value in tensors.items()
        if name.startswith(_NETWORK)
    }
    try:
        network.load_state_dict(own)
        if optimizer is None:
            return
        told = json.loads(header["optimizer"])
        state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in told["plain"].items()}
        for name, value in tensors.items():
            if name.startswith(_OPTIMIZER):
                index, key = name.removeprefix(_OPTIMIZER).split(".", 1)
                state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": told["groups"]})
        torch.set_rng_state(tensors[_RANDOM])
    except Exception as error:  # of another network or optimiser, PyTorch raises what it pleases
        raise InputError(f"{path}: does not fit this training ({error})") from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not a checkpoint of this program ({error})") from error
    if header.get(_DIGEST) != _digest(tensors, header):
        raise InputError(
            f"{path}: damaged, or not a checkpoint of this version; remove it to begin anew"
        )
    return tensors, header


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """SHA-256 of all that a checkpoint holds."""
    found = hashlib.sha256()
    for key in sorted(header.keys() - {_DIGEST}):
        found.update(repr((key, header[key])).encode())
    for name in sorted(tensors):
        value = tensors[name]
        found.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        found.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
