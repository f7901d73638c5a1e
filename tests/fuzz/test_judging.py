"""What judges mutants."""

from typing import Any

from judging import command, parser_made_once

from sub8.cli import main
from sub8.cli.switches import with_switches


def test_commands_share_one_parser_that_stays_as_it_is() -> None:
    def options(program: Any) -> list[str]:
        return [str(option.name) for option in program.commands["inspect"].params]

    for _ in range(3):
        assert command("inspect", "absent.onnx").code == 2
    with parser_made_once():
        kept = main.with_switches(main.app)
        assert kept is main.with_switches(main.app)
    assert options(kept) == options(with_switches(main.app))
