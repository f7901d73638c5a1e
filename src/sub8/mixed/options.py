"""What a layer may become."""

from collections.abc import Mapping, Sequence

from sub8.recipe import Int4, Int8, Recipe, Ternary, WeightFormat

# From the coarsest to the most exact one.
OPTIONS: tuple[WeightFormat, ...] = (
    Ternary(64), Ternary(16), Ternary(4), Ternary(64, terms=2), Int4(64), Int4(4), Int8()
)  # fmt: skip


def options_of(recipe: Recipe, name: str, inputs: int) -> tuple[WeightFormat, ...]:
    """What a layer with so many input channels (of one group) may become: what the recipe's
    overrides say of it, else every one of ``OPTIONS`` that differs from those before it."""
    fixed = recipe.override(name)
    if fixed is not None:
        return (fixed,)
    different: dict[tuple[str, int, int], WeightFormat] = {}
    for fmt in OPTIONS:
        different.setdefault((fmt.kind, fmt.channels(inputs), fmt.terms), fmt)
    return tuple(different.values())


def worthwhile(
    options: Sequence[WeightFormat], costs: Mapping[WeightFormat, float]
) -> list[WeightFormat]:
    """The options that cost less than every more exact one; the others need no measuring."""
    kept: list[WeightFormat] = []
    for fmt in reversed(options):
        if not kept or costs[fmt] < costs[kept[0]]:
            kept.insert(0, fmt)
    return kept
