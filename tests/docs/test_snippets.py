"""Commands that the documents mention are ones that the program takes; which of them run, and how:
test_commands.py.
"""

import re
import shlex

import pytest
from code_blocks import DOCUMENTS, PROJECT, commands

from sub8.cli.main import app
from sub8.cli.switches import with_switches


def calls() -> list[tuple[str, str]]:
    found = [
        (document.relative_to(PROJECT).as_posix(), line)
        for document in DOCUMENTS
        for line in [
            *commands(document),
            *re.findall(r"`(sub8 \w+[^`]+)`", document.read_text("utf-8")),
        ]
        if line.startswith("sub8 ") and "…" not in line and "..." not in line
    ]
    return sorted(set(found))


@pytest.mark.parametrize(("document", "line"), calls())
def test_commands_are_taken(document: str, line: str) -> None:
    """Names of commands and options; a mention in running text may leave out what is needed."""
    words = shlex.split(line, comments=True)[1:]
    words = words[: words.index(">")] if ">" in words else words
    command = with_switches(app)
    if words and words[0].startswith("-"):
        assert any(words[0] in option.opts for option in command.params), line
        return
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, line
        command, words = command.commands[words[0]], words[1:]
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    known |= {"-h", "--help"}
    assert {word for word in words if re.match("-{1,2}[a-z]", word)} <= known, line
