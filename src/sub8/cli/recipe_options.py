"""A recipe from a TOML file and single options, the options going before the file; a budget from
its option.
"""

from dataclasses import replace
from typing import Any

from sub8.errors import InputError
from sub8.mixed.budget import Budget, MaxDrop, MaxLatencyRatio, MeanBits
from sub8.mixed.metric import TOP1
from sub8.recipe import METHODS, Dfp8, Recipe, weight_format


def recipe_from_options(
    path: str | None = None,
    *,
    weights: str | None = None,
    cluster: str | None = None,
    method: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    exponent: str | None = None,
    calibration: str | None = None,
    percentile: float | None = None,
) -> Recipe:
    """The recipe of ``path`` (default: ``Recipe()``) with every given option in its place. Raises
    InputError.
    """
    recipe = Recipe() if path is None else Recipe.load(path)
    chosen = recipe.weights
    if weights is not None:
        chosen = weight_format(weights)
    if cluster is not None:
        chosen = replace(chosen, cluster=_cluster(cluster))
    activations: dict[str, Any] = {
        key: value
        for key, value in (
            ("exponent", exponent),
            ("calibration", calibration),
            ("percentile", percentile),
        )
        if value is not None
    }
    if method is not None and method not in METHODS:
        raise InputError(f"method {method!r} unknown; use {', '.join(METHODS)}")
    reconstruction = recipe.reconstruction
    if steps is not None:
        reconstruction = replace(reconstruction, steps=steps)
    if minutes is not None:
        reconstruction = replace(reconstruction, minutes=minutes)
    made = replace(
        recipe,
        weights=chosen,
        reconstruction=reconstruction,
        activations=Dfp8(**{**vars(recipe.activations), **activations}),
        method=recipe.method if method is None else method,  # type: ignore[arg-type]
    )
    if steps is not None and made.method not in ("reconstruct", "auto"):
        raise InputError("--steps belongs to --method reconstruct or auto")
    if minutes is not None and made.method != "auto":
        raise InputError("--minutes belongs to --method auto")
    if percentile is not None and made.activations.calibration != "percentile":
        raise InputError("--percentile belongs to --calibration-method percentile")
    return made


def budget_from_options(
    *,
    max_drop: float | None = None,
    metric: str | None = None,
    mean_bits: float | None = None,
    max_latency_ratio: float | None = None,
    weights: str | None = None,
    cluster: str | None = None,
) -> Budget | None:
    """The one budget that is given, None where none is. Raises InputError for two, or beside fixed
    weights.
    """
    budgets: list[Budget] = []
    if max_drop is not None:
        budgets.append(MaxDrop(max_drop, metric or TOP1))
    elif metric is not None:
        raise InputError("--metric says what --max-drop is measured in; give that too")
    if mean_bits is not None:
        budgets.append(MeanBits(mean_bits))
    if max_latency_ratio is not None:
        budgets.append(MaxLatencyRatio(max_latency_ratio))
    if len(budgets) > 1:
        raise InputError("give one of --max-drop, --mean-bits and --max-latency-ratio")
    if budgets and (weights, cluster) != (None, None):
        raise InputError(
            "a budget chooses the weights of every layer; leave --weights and --cluster out"
            " (a recipe's overrides stay)"
        )
    return budgets[0] if budgets else None


def _cluster(text: str) -> Any:
    if text == "all":
        return "all"
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"cluster {text!r} must be a whole number of at least 1, or 'all'"
        ) from None
