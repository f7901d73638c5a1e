"""Plain data, as JSON holds it, read back into dataclasses, each value checked."""

import json
import math
import types
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sub8.errors import InputError
from sub8.files import read_text

LARGEST_JSON = 1 << 26  # bytes
_SHOWN = 60  # characters of a wrong value
T = TypeVar("T")


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises InputError: not readable, not JSON, or larger than 64 MiB."""
    try:
        return json.loads(read_text(path, LARGEST_JSON))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error


def from_plain(kind: type[T], data: Any, where: str) -> T:
    """A dataclass from a mapping of its fields, each checked against its type.

    Known types: str, bool, int, float (finite; whole numbers too), Literal, ``X | None``,
    ``tuple[X, ...]``, ``dict[str, X]``, ``Any``, and dataclasses of these. A field with a default
    may be left out. Raises InputError, which begins with ``where`` and names the field.
    """
    table = _mapping(data, where)
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    for name in table:
        if name not in known:
            raise InputError(f"{where}: unknown field {str(name)[:_SHOWN]!r}")
    values = {}
    for name, field in known.items():
        if name in table:
            values[name] = checked(hints[name], table[name], f"{where}: {name}")
        elif field.default is field.default_factory:  # both are "missing"
            raise InputError(f"{where}: {name} is missing")
    return kind(**values)


def checked(kind: Any, value: Any, where: str) -> Any:
    """``value`` as a type that ``from_plain`` knows; InputError where it is none."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _one_of(parts, value, where)
    if origin is Literal:
        if isinstance(value, (str, int)) and value in parts:
            return value
        raise InputError(f"{where} must be one of {', '.join(map(str, parts))}{_not(value)}")
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{where} must be a list{_not(value)}")
        return tuple(checked(parts[0], one, f"{where}: {i}") for i, one in enumerate(value))
    if origin is dict:
        table = _mapping(value, where)
        return {name: checked(parts[1], one, f"{where}: {name}") for name, one in table.items()}
    if kind is float:
        return _number(value, where)
    if kind in (str, bool, int):
        if type(value) is not kind or (kind is str and not _is_text(value)):
            raise InputError(f"{where} must be {_NAMES[kind]}{_not(value)}")
        return value
    return from_plain(kind, value, where)


_NAMES = {str: "text", bool: "true or false", int: "a whole number"}


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    errors = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return checked(kind, value, where)
        except InputError as error:
            errors.append(error)
    raise errors[-1]


def _number(value: Any, where: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise InputError(f"{where} must be a finite number{_not(value)}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(_is_text(name) for name in value):
        raise InputError(f"{where} must be a table of named values{_not(value)}")
    return value


def _is_text(value: Any) -> bool:
    """Text without lone surrogates, which JSON may hold and no file can."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool)) else type(value).__name__
    return f", not {text[:_SHOWN]}"
