"""Pages of the site that are made from the program: the commands, the names of the package, the
schemas of JSON.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.append(str(Path(__file__).resolve().parents[1]))  # MkDocs loads this file alone

from tools.json_schemas import schemas, text_of

SCHEMAS = "<!-- the schemas: tools/mkdocs_hooks.py -->"
COMMANDS = "<!-- the commands: tools/mkdocs_hooks.py -->"
NAMES = "<!-- the names: tools/mkdocs_hooks.py -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls it with the text of every page."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_reference())
    if NAMES in markdown:
        markdown = markdown.replace(NAMES, name_reference())
    if SCHEMAS in markdown:
        markdown = markdown.replace(SCHEMAS, schema_reference())
    return markdown


def on_files(files: Files, *, config: Any, **_: Any) -> Files:
    """MkDocs calls it with all files of the site."""
    for name, schema in schemas().items():
        path = f"reference/schemas/{name}.json"
        files.append(File.generated(config, path, content=text_of(schema)))
    return files


def schema_reference() -> str:
    """Every schema with its keys, as a table."""
    rows = ["| schema | keys |", "|---|---|"]
    for name, schema in schemas().items():
        keys = [key for key in schema["properties"] if key not in ("schema", "version", "units")]
        rows.append(f"| [{name}](schemas/{name}.json) | {', '.join(f'`{key}`' for key in keys)} |")
    return "\n".join(rows)


def command_reference() -> str:
    """Every command with its arguments and options, as Markdown."""
    from sub8.cli.main import app
    from sub8.cli.switches import with_switches

    return "\n\n".join(_sections(with_switches(app), "sub8"))


def _sections(command: Any, name: str) -> Iterator[str]:
    for inner_name, inner in getattr(command, "commands", {}).items():
        yield from _sections(inner, f"{name} {inner_name}")
    if hasattr(command, "commands"):
        return
    rows = [
        f"| {_declared(one)} | {_cell(getattr(one, 'help', None) or '')} |"
        for one in command.params
    ]
    example = (command.epilog or "").removeprefix("Example:").strip()
    lines = "\n".join(f"    {line}" for line in example.split("\n\n") if line)
    parts = [f"## {name}", command.help or "", "\n".join(["| option | what |", "|---|---|", *rows])]
    yield "\n\n".join([*parts, lines] if lines else parts)


def _declared(parameter: Any) -> str:
    placeholder = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        return f"`{placeholder or parameter.name}`"
    flags = ", ".join(f"`{flag}`" for flag in [*parameter.opts, *parameter.secondary_opts])
    return flags if parameter.is_flag else f"{flags} `{placeholder}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def name_reference() -> str:
    """Every public name, by what it is, for mkdocstrings."""
    import sub8

    homes = {name: f"sub8.{home}" for name, home in sub8._HOMES.items()}
    homes |= dict.fromkeys(("InputError", "Sub8Error", "UnsupportedModelError"), "sub8.errors")
    verbs = sorted(name for name in homes if name[0].islower())
    types = sorted(name for name in homes if name[0].isupper())
    sections = (("Verbs", verbs), ("Types", types))
    return "\n\n".join(
        "\n\n".join([f"## {title}", *(f"::: {_home(homes[name], name)}" for name in names)])
        for title, names in sections
    )


def _home(module: str, name: str) -> str:
    """Where a name is defined, which rooms may pass on."""
    import importlib

    found = getattr(importlib.import_module(module), name)
    own = getattr(found, "__module__", module)
    return f"{own if own.startswith('sub8') else module}.{name}"
