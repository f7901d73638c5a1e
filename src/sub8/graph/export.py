"""PyTorch modules as ONNX models."""

import io
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from sub8.errors import InputError, UnsupportedModelError, first_line
from sub8.extras import missing_extra

if TYPE_CHECKING:
    import torch

_EXPORT_OPSET = 20


def export_module(module: "torch.nn.Module", example_input: Any) -> ir.Model:
    """Export a module in evaluation mode by ``torch.export``; the batch axis stays open.

    example_input: a float32 tensor (or NumPy array) ``[B, ...]`` of the size the module is meant
    for. The model's input is ``image``, its first output ``logits``. The module's own mode is left
    as it was.

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
    example = torch.as_tensor(example_input)
    if example.ndim < 2 or example.dtype != torch.float32:
        raise InputError(
            f"the example input must be float32 [B, ...], got {example.dtype} {list(example.shape)}"
        )
    if example.shape[0] < 2:
        # torch.export treats an axis of size 1 as fixed.
        example = torch.cat([example, example])
    training = {child: child.training for child in module.modules()}
    module.eval()
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=_EXPORT_OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
    except Exception as error:
        raise UnsupportedModelError(
            f"torch.export cannot trace {type(module).__name__}: {first_line(error)}"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
        for child, mode in training.items():
            child.training = mode
    assert program is not None
    # Through protobuf, so that the model no longer shares memory with the module's parameters.
    return ir.from_proto(ir.to_proto(program.model))
