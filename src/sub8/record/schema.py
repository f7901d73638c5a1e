"""The JSON Schemas of events and states, compiled once from the package's ``schemas`` folder."""

import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from sub8.errors import InputError
from sub8.record.extra import need_extra

SchemaName = Literal["event", "state"]

_LONGEST_MESSAGE = 300


def check(value: Any, schema: SchemaName, name: str) -> None:
    """InputError that names the offending part where ``value`` does not fit; ``name`` says whose
    value it is.
    """
    problem = mismatch(value, schema)
    if problem is not None:
        raise InputError(f"{name}: {problem}")


def mismatch(value: Any, schema: SchemaName) -> str | None:
    """What does not fit the schema, in one line; None where everything does."""
    validate, errors = _compiled(schema)
    try:
        validate(value)
    except errors as error:
        return str(error)[:_LONGEST_MESSAGE]  # it may quote all keys of an object
    return None


def _is_time(text: str) -> bool:
    """Whether UTC text of the schema's pattern is a date of the calendar and a time of day."""
    try:
        datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return False
    return True


@cache
def _compiled(schema: SchemaName) -> tuple[Callable[[Any], Any], type[Exception]]:
    try:
        import fastjsonschema
    except ImportError as error:
        raise need_extra("fastjsonschema") from error
    text = files("sub8.record").joinpath("schemas", f"{schema}.schema.json").read_text("utf-8")
    compiled = fastjsonschema.compile(json.loads(text), formats={"date-time": _is_time})
    return compiled, fastjsonschema.JsonSchemaValueException
