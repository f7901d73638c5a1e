"""The native core's weight formats are Python's."""

from sub8.native import _core
from sub8.numerics.weight_format import WEIGHT_FORMATS


def test_the_two_tables_say_the_same() -> None:
    native = {
        row.name: (row.bits, row.largest, row.codes_per_byte) for row in _core.weight_formats()
    }
    assert native == {
        row.name: (row.bits, row.largest, row.codes_per_byte) for row in WEIGHT_FORMATS.values()
    }
