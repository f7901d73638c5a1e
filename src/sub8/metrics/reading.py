"""Texts beside the true ones."""

from collections.abc import Hashable, Sequence

from sub8.extras import missing_extra


def character_accuracy(
    truth: Sequence[Sequence[Hashable]], found: Sequence[Sequence[Hashable]]
) -> float:
    """Per cent: 100 less the character error rate, the fewest characters that are to be put in,
    left out or exchanged, per true character; at least 0.

    Raises InputError where rapidfuzz is missing.
    """
    try:
        from rapidfuzz.distance import Levenshtein
    except ModuleNotFoundError as error:
        raise missing_extra("tasks", error.name, "character accuracy") from error
    errors = sum(Levenshtein.distance(a, b) for a, b in zip(truth, found, strict=True))
    characters = sum(map(len, truth))
    if not characters:
        return 0.0 if errors else 100.0
    return max(0.0, 100.0 * (1.0 - errors / characters))
