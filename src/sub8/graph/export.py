"""PyTorch modules as ONNX models."""

import inspect
import io
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from sub8.errors import InputError, UnsupportedModelError, first_line, innermost
from sub8.extras import missing_extra
from sub8.graph.library_logs import quiet

if TYPE_CHECKING:
    import torch

_EXPORT_OPSET = 20


def parameters(module: "torch.nn.Module", arrays: Mapping[str, Any]) -> list[str]:
    """Those of the arrays that are named as a parameter of the module's ``forward``, in its
    order."""
    return [name for name in inspect.signature(module.forward).parameters if name in arrays]


def export_module(module: "torch.nn.Module", example_input: Any) -> ir.Model:
    """Export a module in evaluation mode by ``torch.export``; the batch axis stays open.

    example_input: a float32 tensor (or NumPy array) ``[B, ...]`` of the size the module is meant
    for, the model's input ``image``; or a dict of tensors of any type by the names of the module's
    arguments, in their order, those of the model's inputs too. The first output is ``logits``. The
    module's own mode is left as it was.

    Raises InputError where PyTorch is missing or the example does not fit, and
    UnsupportedModelError where torch.export cannot trace the module.
    """
    try:
        import torch
    except ImportError as error:
        raise missing_extra("torch", error.name, "a module as a model") from error
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"a module to export must be a torch.nn.Module, not {type(module).__name__}"
        )
    if isinstance(example_input, Mapping):
        examples = {key: torch.as_tensor(value) for key, value in example_input.items()}
    else:
        example = torch.as_tensor(example_input)
        if example.ndim < 2 or example.dtype != torch.float32:
            raise InputError(
                f"the example input must be float32 [B, ...], got {example.dtype} "
                f"{list(example.shape)}"
            )
        examples = {"image": example}
    # torch.export treats an axis of size 1 as fixed.
    arguments = tuple(
        torch.cat([one, one]) if one.ndim and len(one) == 1 else one for one in examples.values()
    )
    _check_arguments(module, arguments)
    batch = torch.export.Dim("batch")
    training = {child: child.training for child in module.modules()}
    module.eval()
    try:
        with (
            warnings.catch_warnings(),
            quiet("torch", "onnxscript", "onnx_ir"),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                arguments,
                dynamo=True,
                opset_version=_EXPORT_OPSET,
                input_names=list(examples),
                output_names=["logits"],
                dynamic_shapes=tuple({0: batch} if one.ndim else None for one in arguments),
                verbose=False,
            )
    except Exception as error:
        raise UnsupportedModelError(
            f"torch.export cannot trace {type(module).__name__}: {first_line(innermost(error))}"
        ) from error
    finally:
        for child, mode in training.items():
            child.training = mode
    assert program is not None
    # Through protobuf, so that the model no longer shares memory with the module's parameters.
    return ir.from_proto(ir.to_proto(program.model))


def _check_arguments(module: "torch.nn.Module", arguments: Sequence["torch.Tensor"]) -> None:
    try:
        forward = inspect.signature(module.forward)
    except ValueError:  # of a ScriptModule, which torch.export refuses by name
        return
    try:
        forward.bind(*arguments)
    except TypeError as error:
        raise InputError(
            f"{type(module).__name__}.forward{forward} does not take {len(arguments)} "
            f"{'array' if len(arguments) == 1 else 'arrays'} ({error}); give a dict with an array "
            "for every argument by its name"
        ) from error
