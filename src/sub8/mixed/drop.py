"""How much accuracy a quantised network loses, from unlabelled images.

The float network's own probabilities stand in for labels. Where quantisation turns the likeliest
class a into b, the expected loss of top-1 is p(a) - p(b); everywhere else it is 0. Networks are
overconfident on images that are new to them, which makes that difference, and so the estimate, too
large rather than too small.

Few images change their answer, so that the mere mean over some hundred images scatters widely. The
error of an image's logits might as well have been somewhat larger or smaller, or of the other sign:
the loss is therefore averaged over the measured error times a normal factor whose magnitude is 1 on
average. Every image near a boundary then counts in part, which halves the scatter. Losses that grow
in proportion to the errors keep their mean; where errors are small and losses grow with their
square, the mean is too large rather than too small."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# One-sided 95 % of a normal distribution.
CONFIDENCE = 1.645
# Nodes and weights for means over a normal factor of mean magnitude 1.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
_FACTORS = _NODES * math.sqrt(math.pi / 2)


@dataclass(frozen=True)
class Drop:
    """Expected loss of top-1, in per cent, its standard error, and the per cent of changed
    answers.
    """

    mean: float
    standard_error: float
    changed: float

    @property
    def bound(self) -> float:
        """What the loss exceeds with a probability of 5 %."""
        return self.mean + CONFIDENCE * self.standard_error


def expected_drop(reference: NDArray[np.floating], logits: NDArray[np.floating]) -> Drop:
    """reference, logits: of the float and the quantised network for the same images, ``[B,
    classes]``.
    """
    shifted = reference.astype(np.float64) - reference.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    rows = np.arange(len(reference))
    before = reference.argmax(axis=1)
    error = logits.astype(np.float64) - reference
    losses = np.zeros(len(reference))
    for factor, weight in zip(_FACTORS, _WEIGHTS / _WEIGHTS.sum(), strict=True):
        after = (reference + factor * error).argmax(axis=1)
        losses += weight * (probabilities[rows, before] - probabilities[rows, after])
    return Drop(
        mean=100.0 * float(losses.mean()),
        standard_error=100.0 * float(losses.std()) / math.sqrt(len(losses)),
        changed=100.0 * float((before != logits.argmax(axis=1)).mean()),
    )
