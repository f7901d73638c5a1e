"""Packed weights give back exactly the integers that went in."""

import itertools

import numpy as np
import pytest
from layer_cases import KINDS, Case, Layer

from sub8.native import _core


@pytest.mark.parametrize("isa", _core.supported_isas())
@pytest.mark.parametrize("kind", KINDS)
def test_pack_and_unpack(isa: str, kind: str) -> None:
    for inputs, outputs, kernel, cluster in itertools.product(
        (1, 3, 8, 30, 64), (1, 16, 35), ((1, 1), (3, 3), (7, 7)), (1, 3, 4, 16, 1000)
    ):
        case = Case(
            inputs=inputs,
            outputs=outputs,
            kernel=kernel,
            size=(7, 7),
            kinds=(kind,),
            clusters=(cluster,),
        )
        layer = Layer(case)
        unpacked = np.frombuffer(layer.packed(isa).unpack(0), np.int8)
        np.testing.assert_array_equal(
            unpacked.reshape(layer.terms[0].values.shape), layer.terms[0].values
        )


@pytest.mark.parametrize("isa", _core.supported_isas())
def test_pack_and_unpack_groups_and_terms(isa: str) -> None:
    for groups, inputs, outputs in ((2, 8, 6), (40, 40, 40), (8, 8, 24)):
        case = Case(
            inputs=inputs, outputs=outputs, groups=groups, kernel=(3, 3), kinds=("ternary", "int8"),
            clusters=(1, 1), shifts=(0, 2), largest_alpha=9,
        )  # fmt: skip
        layer = Layer(case)
        packed = layer.packed(isa)
        for term, position in ((1, 0), (0, 1)):
            unpacked = np.frombuffer(packed.unpack(position), np.int8)
            np.testing.assert_array_equal(
                unpacked.reshape(layer.terms[term].values.shape), layer.terms[term].values
            )
