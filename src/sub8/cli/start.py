"""The entry point: answers signals before the rest of the command line is loaded."""

import sys

from sub8.cli import signals


def main() -> None:
    """Run the command line and end the process with its exit code (``cli.main.main``), 130 where it
    is interrupted, 143 where it is terminated.
    """
    signals.answer()
    try:
        from sub8.cli.main import main as run

        run()
    except KeyboardInterrupt:
        code = signals.INTERRUPTED
    except signals.Terminated:
        code = signals.TERMINATED
    finally:
        signals.ignore()
    signals.tell(code)
    sys.exit(code)
