"""The import-linter contract that is docs/architecture.md's table of rooms: each imports only what
its row names.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING_ABOVE = "all above"


@dataclass(frozen=True)
class Row:
    """members: modules right below the package (``graph``, ``recipe``, "" for the package
    itself).
    """

    members: tuple[str, ...]
    may_import: str


def read_rows(document: str) -> list[Row]:
    """The rows of the table headed ``| room | job | may import |``; one without a room goes on from
    the one above.
    """
    lines = iter(document.splitlines())
    for line in lines:
        if re.fullmatch(r"\| *room *\| *job *\| *may import *\|", line):
            break
    next(lines, None)  # the rule below the heading
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        room, _, may_import = (cell.strip() for cell in line[1:].rstrip("|").split("|"))
        members = tuple(_module(name) for name in re.findall(r"`([^`]+)`", room))
        may_import = may_import.replace("`", "")
        if line.startswith("| |"):
            above = rows.pop()
            members, may_import = (
                above.members,
                ", ".join(filter(None, (above.may_import, may_import))),
            )
        rows.append(Row(members, may_import))
    return rows


def _module(name: str) -> str:
    return "" if name == "__init__.py" else name.removesuffix(".py")


def complaints(rows: list[Row], package: str, graph: ImportGraph) -> Iterator[str]:
    """Lines that say where table and imports disagree. The first row is there for everyone."""
    place = {member: index for index, row in enumerate(rows) for member in row.members}
    rooms = {module.removeprefix(f"{package}.") for module in graph.find_children(package)}
    rooms.add("")
    yield from (f"{name or '__init__.py'} has no row" for name in sorted(rooms - place.keys()))
    yield from (f"{name} has a row, but there is no such module" for name in place.keys() - rooms)
    allowed = []
    for index, row in enumerate(rows):
        names = set() if row.may_import == "–" else set(row.may_import.split(", "))
        if row.may_import == EVERYTHING_ABOVE:
            names = {member for above in rows[:index] for member in above.members}
        names = {_module(name) for name in names}
        for name in sorted(names):
            if place.get(name, index) >= index:
                yield f"row of {row.members[0]}: {name!r} is no room of a row above it"
        allowed.append(names | set(row.members) | set(rows[0].members))
    for importer in sorted(graph.modules):
        source = _room(importer, package)
        if source not in place:
            continue
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            target = _room(imported, package)
            if target != source and target in place and target not in allowed[place[source]]:
                yield f"{importer} imports {imported}"


def _room(module: str, package: str) -> str:
    return "" if module == package else module.removeprefix(f"{package}.").partition(".")[0]


class ArchitectureContract(Contract):
    """document: the file with the table, from the project's root. package: whose modules it is
    about.
    """

    type_name = "architecture"

    document = fields.StringField()
    package = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        rows = read_rows((ROOT / str(self.document)).read_text("utf-8"))
        found = list(complaints(rows, str(self.package), graph))
        return ContractCheck(kept=bool(rows) and not found, metadata={"complaints": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["complaints"] or ["the table is missing"]:
            output.print_error(line)
