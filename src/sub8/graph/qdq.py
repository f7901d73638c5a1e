"""Write the artifact: an ordinary ONNX model in Q/DQ form that any ONNX runtime executes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.cluster import ClusteredWeight


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """What a quantiser decides about one weighted layer.

    terms: one ClusteredWeight, or several whose sum is the weight (residual ternary terms); values
        ``[O, I, *kernel]``, the layout of ``Group.weight``.
    bias: int32 ``[O]`` in units of ``2**bias_exponent``; with static exponents that is the accumulator's
        unit: the input's exponent plus the finest term's.
    """

    terms: tuple[ClusteredWeight, ...]
    bias: NDArray[np.int32]
    bias_exponent: int
