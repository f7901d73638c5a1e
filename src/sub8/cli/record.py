"""``sub8 record``: check, merge and extend open-graph records.

What a command needs is imported when it runs: ``--help`` is quick."""

import os
from typing import Annotated

import typer

from sub8.cli import options, terminal
from sub8.cli.json_output import print_json
from sub8.errors import InputError
from sub8.files import write_file
from sub8.record.defaults import PAPER, STATEMENT

PASSPHRASE_VARIABLE = "SUB8_KEY_PASSPHRASE"

record_app = typer.Typer(
    name="record",
    no_args_is_help=True,
    help="Open-graph records of a paper: check one, merge signed events into it, publish a"
    " replication record.",
)


@record_app.command(epilog="Example:\n\nsub8 record verify paper.json --key registry.pub")
def verify(
    state: Annotated[
        str, typer.Argument(metavar="STATE.json", help="A state.", show_default=False)
    ],
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="PUBKEY",
            help="The registry's public key: a PEM file, or the raw key in hexadecimal or base64.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Recompute what a state says of itself, a line per check. Exit code 1 where anything is
    invalid.
    """
    from sub8.record.verify import verify_file

    checks = verify_file(state, key)
    valid = all(check.outcome != "invalid" for check in checks)
    if as_json:
        print_json(
            "record-verify", {"valid": valid, "checks": [check.to_dict() for check in checks]}
        )
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            terminal.print_line(f"{check.outcome:13}  {check.name:{width}}  {check.detail}")
    if not valid:
        raise typer.Exit(1)


@record_app.command(
    epilog="Example:\n\nsub8 record merge paper.json event.json others.json -o state.json"
)
def merge(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="BUNDLE...", help="States (at least one) and event bundles.", show_default=False
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="STATE.json", help="To write.")],
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Merge signed events into a record: any order, any duplication, the same bytes."""
    from sub8.record.merge import merge_files

    merged = merge_files(bundles, options.output_path(output, force=force), overwrite=force)
    if as_json:
        print_json("record-merge", {"output": output, **merged.to_dict()})
        return
    combined = merged.combined
    terminal.print_line(
        f"{output}: {combined.applied} signed events applied, {merged.repeated} repetitions"
    )
    if combined.equivocations:
        terminal.print_line(
            f"not applied: {combined.equivocating} events in {combined.equivocations} equivocations"
        )
    for reason, count in combined.invalid.items():
        terminal.print_line(f"not applied: {count} invalid ({reason})")
    terminal.print_line(f"state {merged.state['state_sha256']}")


@record_app.command(
    epilog="Example:\n\nsub8 evaluate q.onnx test.parquet --json > m.json"
    "\n\nsub8 record replicate --model q.onnx --metrics m.json --data test.parquet --key me.pem -o "
    "event.json"
)
def replicate(
    key: Annotated[str, typer.Option("--key", metavar="KEY.pem", help="Your private key.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="EVENT.json", help="The bundle to write.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", metavar="Q.onnx", help="A model that sub8 quantised.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="M.json", help="Its figures: name, number.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="DATA", help="The file or folder measured on.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option("--study", metavar="FOLDER", help="A study's folder, instead of one model."),
    ] = None,
    claim: Annotated[
        str, typer.Option("--claim", metavar="TEXT", help="What you state, in words.")
    ] = STATEMENT,
    subject: Annotated[
        str, typer.Option("--subject", metavar="PITH", help="The paper's Pith number.")
    ] = PAPER,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Sign a replication record: setting, figures, sha256 of source, artifact and data, machine.

    Run it on the machine that measured. A protected key's passphrase is asked for, or taken from
    SUB8_KEY_PASSPHRASE.
    """
    from sub8.record.bundles import pack
    from sub8.record.keys import PrivateKey, is_encrypted
    from sub8.record.replicate import replicate_model, replicate_study

    single = model is not None and metrics is not None and study is None
    several = study is not None and model is None and metrics is None and data is None
    if not (single or several):
        raise InputError("give --model and --metrics (and --data), or --study alone")
    target = options.output_path(output, force=force)
    private = PrivateKey.load(key, _passphrase(confirm=False) if is_encrypted(key) else None)
    if study is not None:
        event = replicate_study(study, private, statement=claim, subject=subject)
    else:
        assert model is not None and metrics is not None
        event = replicate_model(
            model, metrics, private, data=data, statement=claim, subject=subject
        )
    write_file(target, pack([event.data]), overwrite=force)
    if as_json:
        print_json(
            "record-replicate",
            {"output": output, "event_id": event.event_id, "event": event.fields},
        )
    else:
        terminal.print_line(f"{output}: {event.event_id}, signed by {private.public.fingerprint}")


@record_app.command(epilog="Example:\n\nsub8 record keygen -o me.pem")
def keygen(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="KEY.pem",
            help="To write; the public key goes to KEY.pem.pub.",
        ),
    ],
    passphrase: Annotated[
        bool,
        typer.Option("--passphrase", help="Protect it: asks, or takes SUB8_KEY_PASSPHRASE."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Make an Ed25519 key. An existing file is never replaced, and there is no --force."""
    from sub8.record.keys import generate_key_files

    public = generate_key_files(output, _passphrase(confirm=True) if passphrase else None)
    if as_json:
        paths = {"private_key": output, "public_key": f"{output}.pub"}
        print_json("record-keygen", {**paths, "fingerprint": public.fingerprint})
    else:
        terminal.print_line(
            f"{output} (keep it secret), {output}.pub: fingerprint {public.fingerprint}"
        )


def _passphrase(confirm: bool) -> str:
    text = os.environ.get(PASSPHRASE_VARIABLE) or typer.prompt(
        "Passphrase", hide_input=True, confirmation_prompt=confirm, err=True
    )
    return str(text)
