"""A weight format is one row, and everything that depends on it follows from the row."""

import pickle

import numpy as np
import onnx_ir as ir
import pytest

import sub8
from sub8.numerics.weight_format import WEIGHT_FORMATS, smallest_format
from sub8.recipe import weight_format

CLASSES = {"ternary": sub8.Ternary, "int4": sub8.Int4, "int8": sub8.Int8}


@pytest.mark.parametrize("row", WEIGHT_FORMATS.values(), ids=WEIGHT_FORMATS)
def test_a_file_holds_every_integer_of_a_format(row):
    stored = ir.DataType[row.onnx_type]
    integers = np.arange(-row.largest, row.largest + 1)
    np.testing.assert_array_equal(integers.astype(stored.numpy()).astype(int), integers)
    assert stored.bitwidth * row.codes_per_byte == 8
    assert row.bits <= stored.bitwidth


def test_formats_stand_from_the_fewest_bits_to_the_most():
    rows = [(row.bits, row.largest) for row in WEIGHT_FORMATS.values()]
    assert rows == sorted(rows) and len(set(rows)) == len(rows)


@pytest.mark.parametrize(
    ("largest", "stored", "name"),
    [
        (1, 2, "ternary"),
        (2, 2, "int4"),
        (1, 4, "int4"),
        (7, 0, "int4"),
        (8, 4, "int8"),
        (3, 32, "int8"),
    ],
)
def test_the_smallest_format_that_holds_integers(largest, stored, name):
    assert smallest_format(largest, stored).name == name


@pytest.mark.parametrize("kind", CLASSES)
def test_formats_of_recipes_are_types_and_values(kind):
    default = CLASSES[kind]()
    assert isinstance(default, sub8.WeightFormat)
    assert weight_format(kind) == default
    assert type(weight_format(kind, 8)) is CLASSES[kind]
    general = sub8.WeightFormat(kind, default.cluster)
    assert general == default and hash(general) == hash(default)
    assert default != CLASSES[kind](cluster=5)
    assert pickle.loads(pickle.dumps(default)) == default
    recipe = sub8.Recipe.from_dict(sub8.Recipe(weights=default).to_dict())
    assert isinstance(recipe.weights, CLASSES[kind]) and recipe.weights == default


def test_kinds_are_not_instances_of_each_other():
    assert not isinstance(sub8.Int4(), sub8.Ternary)
    assert sub8.Int4(4) != sub8.Ternary(4)
