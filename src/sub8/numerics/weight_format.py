"""What integers a weight may hold and how a file stores them: one row a format, the only place that
names them.

>>> [fmt.name for fmt in WEIGHT_FORMATS.values()]
['ternary', 'int4', 'int8']
>>> WEIGHT_FORMATS["int4"].stored_bytes(7)
4
>>> smallest_format(largest=5, stored_bits=2).name
'int4'
"""

from dataclasses import dataclass

from sub8.numerics.rounding import divide_up


@dataclass(frozen=True)
class IntegerFormat:
    """Integers in ``[-largest, largest]``.

    bits: of one stored integer. onnx_type: its element type in an ONNX file, the name in
    TensorProto.DataType.
    codes_per_byte: integers in a byte of that type.
    largest_alpha: the largest scale that solvers give a cluster; a file's may reach 255. Ternary's
        keeps alpha times integer within int8, so that the products are plain 8-bit dot products
        where a CPU has them.
    """

    name: str
    bits: int
    largest: int
    onnx_type: str
    codes_per_byte: int
    largest_alpha: int = 255

    @property
    def multiplies(self) -> bool:
        """Whether a product with an activation is more than its sign."""
        return self.largest > 1

    @property
    def eight_bit(self) -> bool:
        """Whether the integers are as wide as activations: nothing is lost that corrections could
        bring back.
        """
        return self.bits == 8

    def stored_bytes(self, count: int) -> int:
        """Bytes of ``count`` integers in a file."""
        return divide_up(count, self.codes_per_byte)


# From the fewest bits to the most; what is not listed here does not exist. The native core's rows
# are in native/weights/format.cpp.
WEIGHT_FORMATS = {
    row.name: row
    for row in (
        IntegerFormat("ternary", 2, 1, "INT2", 4, largest_alpha=127),
        IntegerFormat("int4", 4, 7, "INT4", 2),
        IntegerFormat("int8", 8, 127, "INT8", 1),
    )
}


def smallest_format(largest: int, stored_bits: int) -> IntegerFormat:
    """The first format that holds magnitudes up to ``largest`` in no fewer bits than
    ``stored_bits``; else the widest."""
    rows = list(WEIGHT_FORMATS.values())
    fitting = (row for row in rows if row.largest >= largest and row.bits >= stored_bits)
    return next(fitting, rows[-1])
