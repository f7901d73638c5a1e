"""Records as FlatBuffers. What a field becomes follows from its annotation."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import flatbuffers
import numpy as np

from sub8.engine.description.records import Enumeration, Struct, Table

ALIGNMENT = 64  # of blobs: a cache line

Place = Callable[["Writer", Any], int]  # writes a value, gives its offset
Numbers = Callable[[Any], tuple[Any, ...]]


def write(record: Table) -> bytes:
    """A buffer whose root the record is. ValueError where a number does not fit its type."""
    writer = Writer()
    writer.Finish(writer.table(record))
    return bytes(writer.Output())


class Writer(flatbuffers.Builder):
    """A builder that takes records; equal small blobs are stored once."""

    def __init__(self) -> None:
        super().__init__(1024)
        self._blobs: dict[bytes, int] = {}

    def table(self, record: Table) -> int:
        """The offset of a record with all that it refers to."""
        slots = _slots(type(record))  # type: ignore[arg-type]  # a type is hashable
        values = [getattr(record, slot.name) for slot in slots]
        places = [
            slot.place(self, value) if slot.place is not None and value is not None else 0
            for slot, value in zip(slots, values, strict=True)
        ]
        self.StartObject(slots[-1].number + 1 if slots else 0)
        for slot, value, place in zip(slots, values, places, strict=True):
            if value is None:
                continue
            if slot.alternatives is not None:
                code = 1 + slot.alternatives.index(type(value))
                self._inline(slot.number - 1, _number("B"), (code,))
            if slot.packed is None:
                self.PrependUOffsetTRelativeSlot(slot.number, place, 0)
            elif slot.numbers is not None:
                self._inline(slot.number, slot.packed, slot.numbers(value))
            elif value:  # 0 is what a reader finds where nothing is stored
                self._inline(slot.number, slot.packed, (value,))
        return int(self.EndObject())

    def _inline(self, number: int, packed: "_Packed", values: tuple[Any, ...]) -> None:
        size = packed.form.size
        self.Prep(packed.alignment, size - packed.alignment)
        self.head -= size
        try:
            packed.form.pack_into(self.Bytes, self.head, *values)
        except struct.error as error:
            raise ValueError(f"{values}: {error}") from error
        self.Slot(number)

    def blob(self, array: Any) -> int:
        data = np.ascontiguousarray(array).tobytes()
        kept = len(data) <= 1 << 16
        if kept and data in self._blobs:
            return self._blobs[data]
        self.StartVector(1, len(data), ALIGNMENT)
        self.head -= len(data)
        self.Bytes[self.head : self.head + len(data)] = data
        place = int(self.EndVector())
        if kept:
            self._blobs[data] = place
        return place

    def numbers(self, values: Any, dtype: type) -> int:
        return int(self.CreateNumpyVector(np.ascontiguousarray(values, dtype)))

    def offsets(self, places: Sequence[int]) -> int:
        self.StartVector(4, len(places), 4)
        for place in reversed(places):
            self.PrependUOffsetTRelative(place)
        return int(self.EndVector())


class _Packed:
    """Numbers as they lie within a table: each aligned to its own size, all to the largest."""

    def __init__(self, codes: Sequence[str]) -> None:
        sizes = [struct.calcsize(f"<{code}") for code in codes]
        form, end = "<", 0
        for code, size in zip(codes, sizes, strict=True):
            form += "x" * (-end % size) + code
            end += -end % size + size
        self.alignment = max(sizes)
        self.form = struct.Struct(form + "x" * (-end % self.alignment))


class _Slot:
    """A field of a table. place: writes what is stored elsewhere; packed: how what is not.

    numbers: those of a struct. alternatives: the records of a union, in order."""

    def __init__(self, name: str, number: int, annotation: Any) -> None:
        self.name = name
        self.place: Place | None = None
        self.packed: _Packed | None = None
        self.numbers: Numbers | None = None
        self.alternatives: tuple[type, ...] | None = None
        kinds = [kind for kind in _alternatives(annotation) if kind is not NoneType]
        if len(kinds) > 1:
            self.alternatives = tuple(kinds)
            number += 1  # the slot before says which
            self.place = Writer.table
        else:
            self._of(kinds[0])
        self.number = number

    def _of(self, kind: Any) -> None:
        if isinstance(kind, type) and issubclass(kind, Struct):
            self.packed, self.numbers = _struct(kind)  # type: ignore[arg-type]
        elif isinstance(kind, type) and issubclass(kind, Enumeration):
            self.packed = _number(_code(kind))
        elif isinstance(kind, type) and issubclass(kind, Table):
            self.place = Writer.table
        elif kind is str:
            self.place = Writer.CreateSharedString
        elif get_origin(kind) is Annotated:
            self._of_annotated(get_args(kind)[1])
        else:
            (element,) = get_args(kind)
            one: Place = Writer.CreateSharedString if element is str else Writer.table
            self.place = lambda writer, values: writer.offsets([one(writer, v) for v in values])

    def _of_annotated(self, stored: Any) -> None:
        if isinstance(stored, str):
            self.packed = _number(stored)
        elif stored is np.uint8:
            self.place = Writer.blob
        else:
            self.place = lambda writer, values: writer.numbers(values, stored)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    is_union = get_origin(annotation) in (Union, UnionType)
    return get_args(annotation) if is_union else (annotation,)


@cache
def _slots(record: type[Any]) -> tuple[_Slot, ...]:
    slots: list[_Slot] = []
    hints = get_type_hints(record, include_extras=True)
    for item in fields(record):
        number = slots[-1].number + 1 if slots else 0
        slots.append(_Slot(item.name, number, hints[item.name]))
    return tuple(slots)


@cache
def _number(code: str) -> _Packed:
    return _Packed([code])


@cache
def _struct(record: type[Any]) -> tuple[_Packed, Numbers]:
    hints = get_type_hints(record, include_extras=True)
    names = [item.name for item in fields(record)]
    codes = [_code(hints[name]) for name in names]
    return _Packed(codes), lambda value: tuple(getattr(value, name) for name in names)


def _code(kind: Any) -> str:
    """How the module struct writes a number."""
    is_enumeration = isinstance(kind, type) and issubclass(kind, Enumeration)
    return "B" if is_enumeration else get_args(kind)[1]
