"""The command line: one thin command per public verb. Results go to stdout, everything else to
stderr.
"""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

import sub8
from sub8.cli import (
    benchmark,
    compile,
    doctor,
    evaluate,
    export,
    finetune,
    inspect,
    quantize,
    run,
    signals,
    study,
    terminal,
    zoo,
)
from sub8.cli.option_groups import with_single_options
from sub8.cli.record import record_app
from sub8.cli.switches import with_switches
from sub8.errors import MissingPreprocessError, Sub8Error

# Of wrong options and arguments. Typer gives this class no public name, only some that derive from
# it.
_WRONG_USE: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

_NO_READER = 141  # as a shell says it of a process ended by SIGPIPE
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}

app = typer.Typer(
    name="sub8",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ternary, 4-bit and 8-bit networks on a CPU: quantise without training, run in integers,"
    " prove it exact.",
)


def _version(show: bool) -> None:
    if show:
        terminal.print_line(f"sub8 {sub8.__version__}")
        raise typer.Exit()


@app.callback()
def _sub8(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None: ...


for _verbs in (
    quantize,
    evaluate,
    run,
    inspect,
    benchmark,
    zoo,
    export,
    compile,
    doctor,
    study,
    finetune,
):
    for _verb, _examples in _verbs.COMMANDS.items():
        app.command(epilog="\n\n".join(("Example:", *_examples)))(with_single_options(_verb))
app.add_typer(record_app)


def main() -> None:
    """The command line; ``cli.start`` calls it and answers signals.

    Exit codes: 0, 1 (verify found differences), 2 (bad input), 141 (whoever read stdout has gone,
    as a shell gives it).
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started sub8
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # of characters that the terminal lacks
    with terminal.collected_warnings() as told:
        code = _run()
    if code in (0, 1):  # an error stands alone
        for message in told:
            terminal.print_warning(message)
    sys.exit(code)


def _run() -> int:
    streams = sys.stdout, sys.stderr
    try:
        terminal.set_verbosity(terminal.Verbosity.NORMAL)
        code = int(with_switches(app)(prog_name="sub8", standalone_mode=False) or 0)
        if code == signals.INTERRUPTED:  # Typer's answer to an interrupt
            raise KeyboardInterrupt
        with terminal.writing_stdout():
            sys.stdout.flush()  # what cannot be written is to be told
        return code
    except MissingPreprocessError as error:
        message = (
            f"{error.data}: the model does not say how images are prepared; give the preprocessing "
            "(--preprocess 'resize=256 size=224 scale=1/255 mean=0.485,0.456,0.406 "
            "std=0.229,0.224,0.225')"
        )
    except Sub8Error as error:
        message = str(error)
    except ImportError as error:  # a shared library or a package that the installation lacks
        message = f"{error} (sub8 doctor tells what is missing)"
    except MemoryError:
        message = "out of memory; use a smaller batch, fewer images or a smaller input"
    except (
        BrokenPipeError,
        SystemExit,
    ):  # of `sub8 ... | head`; the second is Typer's answer to the first
        sys.stdout, sys.stderr = streams
        _drop_stdout()
        return _NO_READER
    except OSError as error:
        message = str(error)
        _drop_stdout()
        if error.filename is None and error.errno in _UNWRITABLE:
            message = f"a file or standard output cannot be written: {error.strerror}"
    except terminal.StdoutError as error:
        message = f"standard output cannot be written: {error}"
        _drop_stdout()
    except typer.Abort:  # of a prompt
        raise KeyboardInterrupt from None
    except _WRONG_USE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return 2
        context = getattr(error, "ctx", None)
        program = "sub8" if context is None else context.command_path
        message = f"{error.format_message()} ({program} --help)"
    except Exception as error:
        if os.environ.get("SUB8_TRACEBACK"):
            raise
        message = (
            f"unexpected {type(error).__name__}: {str(error)[:300]}; a fault of sub8: please"
            " report it with what SUB8_TRACEBACK=1 shows"
        )
    terminal.print_error(message)
    return 2


def _drop_stdout() -> None:
    """Where stdout cannot be written, drop the rest: the interpreter would complain at its exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
