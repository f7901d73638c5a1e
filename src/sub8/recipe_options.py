"""A recipe from a TOML file and single options, the options going before the file."""

from dataclasses import replace
from typing import Any

from sub8.errors import InputError
from sub8.recipe import METHODS, Dfp8, Recipe, WeightFormat


def recipe_from_options(
    path: str | None = None,
    *,
    weights: str | None = None,
    cluster: str | None = None,
    method: str | None = None,
    exponent: str | None = None,
    calibration: str | None = None,
    percentile: float | None = None,
) -> Recipe:
    """The recipe of ``path`` (default: ``Recipe()``) with every given option in its place. Raises InputError."""
    recipe = Recipe() if path is None else Recipe.load(path)
    chosen = recipe.weights
    if weights is not None:
        kind: Any = weights
        chosen = WeightFormat(kind, "all" if kind == "int8" else 4)
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
    return replace(
        recipe,
        weights=chosen,
        activations=Dfp8(**{**vars(recipe.activations), **activations}),
        method=recipe.method if method is None else method,  # type: ignore[arg-type]
    )


def _cluster(text: str) -> Any:
    if text == "all":
        return "all"
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"cluster {text!r} must be a whole number of at least 1, or 'all'"
        ) from None
