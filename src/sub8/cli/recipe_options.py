"""A recipe from a TOML file and single options, the options going before the file; a budget from
its option.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sub8.errors import InputError

if TYPE_CHECKING:
    from sub8.mixed.budget import Budget
    from sub8.recipe import Recipe


@dataclass(frozen=True)
class WeightOptions:
    """How weights are stored."""

    weights: Annotated[
        str | None,
        typer.Option(
            metavar="KIND", help="int8 (default), int4 or ternary: smaller, and less accurate."
        ),
    ] = None
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="N|all", help="Input channels that share a scale. Default: 4; int8: all."
        ),
    ] = None
    recipe_file: Annotated[
        str | None,
        typer.Option(
            "--recipe", metavar="FILE.toml", help="A recipe; the other options go before it."
        ),
    ] = None

    def recipe(self) -> "Recipe":
        """The file's (default: ``Recipe()``) with every given option in its place. Raises
        InputError.
        """
        from sub8.recipe import Recipe, weight_format

        recipe = Recipe() if self.recipe_file is None else Recipe.load(self.recipe_file)
        chosen = recipe.weights if self.weights is None else weight_format(self.weights)
        if self.cluster is not None:
            chosen = replace(chosen, cluster=_cluster(self.cluster))
        return replace(recipe, weights=chosen)


@dataclass(frozen=True)
class RecipeOptions(WeightOptions):
    """The whole recipe."""

    method: Annotated[
        str | None,
        typer.Option(
            metavar="SOLVER",
            help="auto (default): the best that --minutes and what is installed allow; hessian,"
            " optimal, paper, or reconstruct (best, slowest; needs PyTorch).",
        ),
    ] = None
    steps: Annotated[
        int | None,
        typer.Option(metavar="S", help="Of reconstruct and auto, per block. Default: 600."),
    ] = None
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="Of auto. Default: 10. Ctrl-C, too, keeps the best so far."),
    ] = None
    exponent: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Activation exponents: static (default) or dynamic."),
    ] = None
    calibration_method: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="Static exponents by mse (default), max or percentile."),
    ] = None
    percentile: Annotated[
        float | None,
        typer.Option(metavar="P", help="For the rule percentile, above 50 and up to 100."),
    ] = None

    def recipe(self) -> "Recipe":
        from sub8.recipe import Dfp8

        recipe = super().recipe()
        reconstruction = _given(steps=self.steps, minutes=self.minutes)
        activations = _given(
            exponent=self.exponent,
            calibration=self.calibration_method,
            percentile=self.percentile,
        )
        made = replace(
            recipe,
            reconstruction=replace(recipe.reconstruction, **reconstruction),
            activations=Dfp8(**{**vars(recipe.activations), **activations}),
            **_given(method=self.method),
        )
        if self.steps is not None and made.method not in ("reconstruct", "auto"):
            raise InputError("--steps belongs to --method reconstruct or auto")
        if self.minutes is not None and made.method != "auto":
            raise InputError("--minutes belongs to --method auto")
        if self.percentile is not None and made.activations.calibration != "percentile":
            raise InputError("--percentile belongs to --calibration-method percentile")
        return made


@dataclass(frozen=True)
class BudgetOptions:
    """What a choice of every layer's weights may cost."""

    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="Choose each layer's weights: fewest bits that lose at most so much top-1.",
        ),
    ] = None
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What --max-drop is measured in, beside the float network: top1 (default), snr"
            " (dB), miou, map50, text, cosine (per cent), error, or FILE.py:function of both"
            " networks' outputs.",
        ),
    ] = None
    mean_bits: Annotated[
        float | None,
        typer.Option(metavar="B", help="Choose each layer's weights: so many bits on average."),
    ] = None
    max_latency_ratio: Annotated[
        float | None,
        typer.Option(
            metavar="R", help="Choose each layer's weights: at most R times the latency of int8."
        ),
    ] = None

    def budget(self, fixed: WeightOptions) -> "Budget | None":
        """The one that is given, None where none is. Raises InputError for two, or beside
        ``fixed`` weights.
        """
        from sub8.metrics.find import TOP1
        from sub8.mixed.budget import Budget, MaxDrop, MaxLatencyRatio, MeanBits

        budgets: list[Budget] = []
        if self.max_drop is not None:
            budgets.append(MaxDrop(self.max_drop, self.metric or TOP1))
        elif self.metric is not None:
            raise InputError("--metric says what --max-drop is measured in; give that too")
        if self.mean_bits is not None:
            budgets.append(MeanBits(self.mean_bits))
        if self.max_latency_ratio is not None:
            budgets.append(MaxLatencyRatio(self.max_latency_ratio))
        if len(budgets) > 1:
            raise InputError("give one of --max-drop, --mean-bits and --max-latency-ratio")
        if budgets and (fixed.weights, fixed.cluster) != (None, None):
            raise InputError(
                "a budget chooses the weights of every layer; leave --weights and --cluster out"
                " (a recipe's overrides stay)"
            )
        return budgets[0] if budgets else None


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _cluster(text: str) -> Any:
    if text == "all":
        return "all"
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"cluster {text!r} must be a whole number of at least 1, or 'all'"
        ) from None
