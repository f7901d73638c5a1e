"""The command doctor."""

import typer

from sub8.cli import options, terminal
from sub8.cli.json_output import print_json


def doctor(as_json: options.Json = False) -> None:
    """Show what this installation runs on and what it lacks; for bug reports too.

    Exit code 1 where something is wrong."""
    from sub8.verbs.doctor import doctor as diagnose

    found = diagnose()
    if as_json:
        print_json("doctor", found.to_dict())
    else:
        rows = [
            ("sub8", f"{found.versions['sub8']} in {found.package}"),
            ("python", f"{found.versions['python']}, {found.platform}"),
            ("processor", f"{found.processor}, {found.processors} processors for this process"),
            ("features", ", ".join(found.cpu_features) or "not told by this system"),
            ("kernels", f"{found.chosen} (of {', '.join(found.instruction_sets) or 'none'})"),
            ("threads", f"{found.processors} by default (--threads)"),
        ]
        others = [(n, v) for n, v in found.versions.items() if n not in ("sub8", "python")]
        rows.append(("packages", ", ".join(f"{name} {version}" for name, version in others)))
        for name, text in rows:
            terminal.print_line(f"{name:<10} {text}")
        for extra in found.extras:
            state = f"lacks {', '.join(extra.missing)}: {extra.install}" if extra.missing else "ok"
            terminal.print_line(f"{extra.name:<10} {extra.brings}: {state}")
        for problem in found.problems:
            terminal.print_line(f"{'problem':<10} {problem}")
    if found.problems:
        raise typer.Exit(1)


# With examples of their use.
COMMANDS = {
    doctor: ("sub8 doctor",),
}
