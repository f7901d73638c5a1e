"""The JSON Schemas of events and states, compiled once from the package's ``schemas`` folder."""

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from sub8.errors import InputError
from sub8.record.extra import need_extra

SchemaName = Literal["event", "state"]


def check(value: Any, schema: SchemaName, name: str) -> None:
    """InputError that names the offending part where ``value`` does not fit; ``name`` says whose value it is."""
    problem = mismatch(value, schema)
    if problem is not None:
        raise InputError(f"{name}: {problem}")


def mismatch(value: Any, schema: SchemaName) -> str | None:
    """What does not fit the schema, in one line; None where everything does."""
    validate, errors = _compiled(schema)
    try:
        validate(value)
    except errors as error:
        return str(error)
    return None


@cache
def _compiled(schema: SchemaName) -> tuple[Callable[[Any], Any], type[Exception]]:
    try:
        import fastjsonschema
    except ImportError as error:
        raise need_extra("fastjsonschema") from error
    text = files("sub8.record").joinpath("schemas", f"{schema}.schema.json").read_text("utf-8")
    return fastjsonschema.compile(json.loads(text)), fastjsonschema.JsonSchemaValueException
