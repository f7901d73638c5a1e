"""Every layer's integers by the method that a recipe names."""

from sub8.progress import Progress
from sub8.ptq.calibration_pass import CalibrationResult, calibration_pass
from sub8.ptq.prepare import PreparedNetwork
from sub8.ptq.quantiser import LayerQuantiser
from sub8.recipe import Recipe


def solve_layers(
    network: PreparedNetwork,
    recipe: Recipe,
    *,
    one_exponent: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> CalibrationResult:
    """Solve all layers on the network's calibration inputs. recipe: may differ from the one
    prepared with in its weights. one_exponent: see ``LayerQuantiser``."""
    parts = (network.graph, network.groups, network.formats, network.inputs)
    if recipe.method != "reconstruct":
        return calibration_pass(
            *parts,
            LayerQuantiser(recipe, one_exponent=one_exponent),
            threads=threads,
            progress=progress,
        )
    from sub8.reconstruct.network import reconstruct

    return reconstruct(
        *parts, recipe, one_exponent=one_exponent, threads=threads, progress=progress
    )
