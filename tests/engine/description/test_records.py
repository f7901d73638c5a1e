"""The records are the tables of the schema that the native core reads."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from sub8.engine.compiled_model import VERSION
from sub8.engine.description import records
from sub8.engine.description.write import write

SCHEMA = Path(__file__).parents[3] / "src" / "sub8" / "native" / "description" / "model.fbs"
# What a field is in the schema by how the records store it.
STORED: dict[Any, str] = {
    "B": "ubyte", "i": "int", "I": "uint", "q": "long", "Q": "ulong", "f": "float", "d": "double",
    "?": "bool",
    np.int64: "[long]", np.uint64: "[ulong]", np.float32: "[float]", np.uint8: "[ubyte]",
    np.uint32: "[uint]",
}  # fmt: skip


def declared() -> Iterator[tuple[str, str, str]]:
    """Kind, name and body of every declaration."""
    text = re.sub(r"//.*", "", SCHEMA.read_text())
    yield from re.findall(r"(table|struct|enum|union) (\w+)[^{]*\{([^}]*)\}", text)


def schema_type(annotation: Any) -> str:
    alternatives = [kind for kind in get_args(annotation) if kind is not type(None)]
    if hasattr(annotation, "__metadata__"):
        return STORED[annotation.__metadata__[0]]
    if annotation is str:
        return "string"
    if isinstance(annotation, type):
        return annotation.__name__
    if len(alternatives) > 1:
        return next(
            name for name in ("Result", "Operation") if getattr(records, name) == annotation
        )
    inner = schema_type(alternatives[0])
    return inner if type(None) in get_args(annotation) else f"[{inner}]"


def test_another_schema_is_another_version() -> None:
    """Files that runtimes of the version before would misread must not say that version. Whoever
    changes the schema raises VERSION (compiled_model.py, runtime/model.cpp) and this pair.
    """
    words = " ".join(re.sub(r"//.*", "", SCHEMA.read_text()).split())
    known = (2, "7d5bdd9605a50826")
    assert (VERSION, hashlib.sha256(words.encode()).hexdigest()[:16]) == known


@pytest.mark.parametrize(
    ("kind", "name", "body"), list(declared()), ids=lambda text: text[:20].strip()
)
def test_records_are_those_of_the_schema(kind: str, name: str, body: str) -> None:
    items = [item.strip() for item in re.split("[;,]", body) if item.strip()]
    record = getattr(records, name)
    if kind == "union":
        assert items == [alternative.__name__ for alternative in get_args(record)]
    elif kind == "enum":
        assert items == [member.name.lower() for member in record]
    else:
        hints = get_type_hints(record, include_extras=True)
        assert items == [f"{item.name}: {schema_type(hints[item.name])}" for item in fields(record)]
        assert issubclass(record, records.Table if kind == "table" else records.Struct)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2147483648"):
        write(records.Fill(records.Buffer.arena(0, 1), 2**31))
    with pytest.raises(ValueError, match="-1"):
        write(records.Fill(records.Buffer.arena(0, -1), 0))


def test_blobs_are_aligned_and_stored_once() -> None:
    data = np.arange(100, dtype=np.uint8)
    one, two = (
        write(records.Program(0, [], [], [records.Constant(data)] * count, [])) for count in (1, 2)
    )
    assert len(two) < len(one) + 64
    assert two.index(data.tobytes()) % 64 == 0
