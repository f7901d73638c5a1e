"""Colours and marks of the weight formats: Okabe and Ito's palette, told apart with any colour
vision.
"""

from sub8.numerics.weight_format import WEIGHT_FORMATS

# In the formats' order. Marks repeat what the colours say.
COLOURS = dict(zip(WEIGHT_FORMATS, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), strict=False))
MARKS = dict(zip(WEIGHT_FORMATS, ("circle", "square", "triangle-up", "diamond"), strict=False))
# Readable on white and on black.
NEUTRAL = "#7f7f7f"
# The recommended setting, on white and on black, beside all of the above.
CHOSEN = "#d81b7a"
_TWO_TERMS = ("#56B4E9", "#E69F00", "#F0E442", "#999999")


def colour(kinds: str) -> str:
    """Of ``ternary``, or of ``ternary+ternary``."""
    kind, *more = kinds.split("+")
    return _TWO_TERMS[list(COLOURS).index(kind)] if more else COLOURS[kind]
