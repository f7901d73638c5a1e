"""Every layer's integers by the method that a recipe names."""

import importlib.util
import warnings

from sub8.errors import InputError, Sub8Warning
from sub8.extras import install_command, missing_extra
from sub8.progress import Work
from sub8.ptq.calibration_pass import CalibrationResult, calibration_pass
from sub8.ptq.prepare import PreparedNetwork
from sub8.ptq.quantiser import LayerQuantiser
from sub8.recipe import Recipe


def check_method(recipe: Recipe) -> None:
    """Raises InputError, which names the remedy, where the recipe's method cannot be had here."""
    if recipe.method != "reconstruct":
        return
    if recipe.activations.exponent != "static":
        raise InputError(
            "method 'reconstruct' needs static activation exponents; use method 'hessian' with "
            "dynamic ones"
        )
    if not _has_torch():
        raise missing_extra("torch", "torch", "method 'reconstruct' (others need none)")


def solve_layers(
    network: PreparedNetwork,
    recipe: Recipe,
    *,
    one_exponent: bool = False,
    work: Work = Work(),
) -> CalibrationResult:
    """Solve all layers on the network's calibration inputs. recipe: may differ from the one
    prepared with in its weights. one_exponent: see ``LayerQuantiser``.

    Method "auto" is "reconstruct" where blocks can be fitted (``Recipe.fits_blocks``), else
    "hessian"; without PyTorch it warns (Sub8Warning, one line) of what that would add."""
    quantiser = LayerQuantiser(recipe, one_exponent=one_exponent)
    if recipe.fits_blocks and _torch_to_fit_with():
        from sub8.reconstruct.network import reconstruct

        return reconstruct(network, recipe, quantiser, work)
    return calibration_pass(network, quantiser, work)


def _torch_to_fit_with() -> bool:
    """Whether PyTorch is there; tells what it would add."""
    if _has_torch():
        return True
    warnings.warn(
        f"method 'auto' stops at 'hessian': with PyTorch ({install_command('torch')}) it fits the "
        "layers of each block together, which wins back part of what few bits lose",
        Sub8Warning,
        stacklevel=3,
    )
    return False


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None
