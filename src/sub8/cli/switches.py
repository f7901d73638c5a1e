"""Switches that every command has, in whatever place they are given: -v, -q, -h."""

from typing import Annotated, Any

import typer

from sub8.cli.terminal import Verbosity, set_verbosity

HELP_NAMES = ["-h", "--help"]


def with_switches(app: typer.Typer) -> Any:
    """The program, each of its commands with the switches."""
    program = typer.main.get_command(app)
    _add(_switches(), program)
    return program


def _add(switches: list[Any], command: Any) -> None:
    command.context_settings["help_option_names"] = HELP_NAMES
    inner = getattr(command, "commands", None)
    if inner is None:
        command.params += switches
        return
    for one in inner.values():
        _add(switches, one)


def _verbose(given: bool) -> None:
    if given:
        set_verbosity(Verbosity.VERBOSE)


def _quiet(given: bool) -> None:
    if given:
        set_verbosity(Verbosity.QUIET)


def _switches() -> list[Any]:
    template = typer.Typer(add_completion=False)

    @template.command()
    def _of_all(
        verbose: Annotated[
            bool,
            typer.Option(
                "--verbose",
                "-v",
                callback=_verbose,
                expose_value=False,
                help="Tell every stage, with its time.",
            ),
        ] = False,
        quiet: Annotated[
            bool,
            typer.Option(
                "--quiet",
                "-q",
                callback=_quiet,
                expose_value=False,
                help="Nothing but results and errors.",
            ),
        ] = False,
    ) -> None: ...

    return [p for p in typer.main.get_command(template).params if p.name in ("verbose", "quiet")]
