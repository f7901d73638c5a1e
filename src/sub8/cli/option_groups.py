"""Options that belong together, declared once: a dataclass whose fields are the options."""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, get_type_hints


def with_single_options(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as Typer takes it: in the place of each parameter that is a group, its options."""
    hints = get_type_hints(verb, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind)}

    @wraps(verb)
    def command(**given: Any) -> None:
        for name, group in groups.items():
            options = {field.name: given.pop(field.name) for field in fields(group)}
            given[name] = group(**options)  # type: ignore[operator]  # a class
        verb(**given)

    parameters = [
        option
        for parameter in signature(verb).parameters.values()
        for option in (
            _options(groups[parameter.name])
            if parameter.name in groups
            else [_option(parameter.name, hints[parameter.name], parameter.default)]
        )
    ]
    command.__signature__ = signature(verb).replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _options(group: Any) -> Iterator[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = Parameter.empty if field.default is MISSING else field.default
        yield _option(field.name, hints[field.name], default)


def _option(name: str, kind: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=default)
