"""Commands that something outside ends: kills, interrupts, full disks, folders that are not
writable.

A command is run in a fork of this process, which has loaded the libraries and run nothing, so that
a moment drawn at random falls into its work and not into imports.
"""

import atexit
import ctypes
import fcntl
import importlib
import json
import os
import pkgutil
import pty
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jsonschema
from every_verb import Verb, check_whole, files, result, verbs, write_inputs
from tests.conftest import SIZE, small_network
from tools.json_schemas import schemas

import sub8.engine
import sub8.targets
import sub8.verbs.quickstart

LIBRARIES = (
    *("onnxruntime", "typer.main", "rich.table", "fastjsonschema", "PIL.PngImagePlugin"),
    *("pydantic.type_adapter", "pydantic.json_schema", "pydantic.functional_validators"),
)
# What may stand before an error: how far it was, as a stage tells that takes seconds on a busy
# machine, and warnings.
_BESIDES = re.compile(r"^sub8: (warning: |[a-z ]+: \d+ of \d+\b).*\n", re.MULTILINE)
SUB8 = (sys.executable, "-m", "sub8")


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (less than 0: the signal), stderr, seconds."""

    code: int
    err: str
    seconds: float

    @property
    def error(self) -> str:
        """stderr without what may stand before an error, or without one."""
        return _BESIDES.sub("", self.err)

    def told(self) -> str | None:
        """What is wrong with how it tells of an error, if anything."""
        lines = self.error.splitlines()
        if len(lines) > 1 or (lines and not lines[0].startswith("sub8: ")):
            return f"more than a line: {self.err[-600:]}"
        return None


def load(training: bool) -> None:
    """What the commands import, so that their forks need not."""
    for package in (sub8.engine, sub8.targets, sub8.verbs):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in ("sub8.cli.main", "sub8.cli.start", "sub8.study.compare", "sub8.zoo", *LIBRARIES):
        importlib.import_module(name)
    # The packages' network would take minutes.
    sub8.verbs.quickstart.float_model = small_network
    sub8.verbs.quickstart.PREPROCESS = sub8.Preprocess(size=SIZE, scale=1 / 128, mean=(1, 1, 1))
    if training:
        for name in ("vl_convert", "sub8.study.sweep", "sub8.train.finetune"):
            importlib.import_module(name)


def start(arguments: list[str], out: int, err: int, first: Callable[[], None]) -> int:
    """The process of a command, in a session of its own, once it is there: a signal before would
    end what is still the parent's code. first: called in it before the rest.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        return child
    code: object = 1
    try:  # nothing may go on from here as if it were the parent
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        first()
        # This process's own may be a file, and would be asked where in it they are.
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        from sub8.cli.start import main

        sys.argv = ["sub8", *arguments]
        os.close(reading)
        os.close(writing)
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        # What the interpreter does at its end; the parent's own clean-up is the parent's to do.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(int(code or 0))  # type: ignore[call-overload]


def run(
    arguments: list[str],
    after: float | None = None,
    number: int = signal.SIGKILL,
    group: bool = False,
    out: Path = Path(os.devnull),
    first: Callable[[], None] = lambda: None,
) -> Ended:
    """A command to its end, or to a signal after so many seconds (to its whole group, as a terminal
    sends it).
    """
    reading, writing = os.pipe()  # a file would have to do with limits and disks
    with open(reading, "rb") as err, open(out, "w") as stdout:
        began = time.monotonic()
        child = start(arguments, stdout.fileno(), writing, first)
        os.close(writing)
        status, end = 0, 0
        while not end:
            end, status = os.waitpid(child, os.WNOHANG)
            passed = time.monotonic() - began
            if not end and after is not None and passed >= after:
                after = None
                with_group = os.killpg if group else os.kill
                with_group(child, number)
            time.sleep(0.002)
        told = err.read().decode("utf-8", "replace")
        return Ended(os.waitstatus_to_exitcode(status), told, passed)


def output_of(arguments: list[str]) -> str:
    """stdout of a command that must succeed."""
    with folder() as place:
        ended = run(arguments, out=place / "stdout")
        assert ended.code == 0, (arguments, ended)
        return (place / "stdout").read_text()


def _whole(folder: Path) -> list[str]:
    faults = []
    for path in files(folder):
        try:
            check_whole(path)
        except Exception as error:
            faults.append(f"half-written: {path.relative_to(folder)}: {error!r}"[:300])
    return faults


def _finishes(verb: Verb, folder: Path, expected: str) -> list[str]:
    """Faults of a run to the end in a folder where others were ended; none where no run leaves
    anything.
    """
    if not verb.writes:
        return []
    if verb.once:
        for path in list(files(folder)):
            path.unlink()
    ended = run(verb.command(folder))
    if ended.code != 0:
        return [f"does not go on: {ended}"]
    if verb.fixed and result(folder) != expected:
        return ["another result than that of a run that nobody ended"]
    return []


class Endings:
    """inputs: a folder for what the commands read. seed: of the moments. chosen: names of verbs."""

    def __init__(self, inputs: Path, seed: int, chosen: list[str]):
        load(not chosen or bool({"finetune", "sweep", "report"} & set(chosen)))
        write_inputs(inputs, output_of, study=not chosen or "report" in chosen)
        for path in inputs.rglob("*"):  # also for a user without rights
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.verbs = [verb for verb in verbs(inputs) if not chosen or verb.name in chosen]
        self.inputs = inputs
        self.random = random.Random(seed)
        self._references: dict[str, tuple[float, str]] = {}

    def reference(self, verb: Verb) -> tuple[float, str]:
        """Seconds of a run that nobody ends, and its result."""
        if verb.name not in self._references:
            self._references[verb.name] = self._undisturbed(verb)
        return self._references[verb.name]

    def _undisturbed(self, verb: Verb) -> tuple[float, str]:
        with folder() as out:
            ended = run(verb.command(out))
            assert ended.code == 0, (verb.name, ended)
            faults = _whole(out)
            assert not faults and bool(list(files(out))) == verb.writes, (verb.name, faults)
            return ended.seconds, result(out)

    def kill(self, verb: Verb, times: int, chain: int = 5) -> list[str]:
        """SIGKILL at random moments, ``chain`` runs in the same folder, then one to the end."""
        seconds, expected = self.reference(verb)
        faults = []
        for first in range(0, times, chain):
            with folder() as out:
                for _ in range(min(chain, times - first)):
                    if verb.once:
                        for path in list(files(out)):
                            path.unlink()
                    run(verb.command(out), after=self.random.uniform(0, seconds))
                    faults += _whole(out)
                faults += _finishes(verb, out, expected)
        return faults

    def interrupt(self, verb: Verb, times: int, number: int = signal.SIGINT) -> list[str]:
        """SIGINT or SIGTERM at random moments: the code and the line, and nothing left."""
        seconds, expected = self.reference(verb)
        code = 128 + number
        word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
        faults = []
        with folder() as out:
            for _ in range(times):
                moment = self.random.uniform(0, seconds)
                ended = run(
                    verb.command(out), moment, number, group=number == signal.SIGINT, first=_default
                )
                if verb.once:
                    for path in list(files(out)):
                        path.unlink()
                finished = ended.code == 0  # before its moment came
                if not finished and (ended.code, ended.error) != (code, f"sub8: error: {word}\n"):
                    faults.append(f"after {moment:.3f} s: {ended}")
                faults += _whole(out)
            faults += _finishes(verb, out, expected)
        return faults

    def full_disk(self, verb: Verb, limits: tuple[int, ...]) -> list[str]:
        """No file may grow past a limit: one line, exit code 2, nothing half-written."""
        _, expected = self.reference(verb)
        faults = []
        for limit in limits:
            with folder() as out:
                verb.command(out)  # copies what it works on
                ended = run(verb.command(out), first=lambda limit=limit: _file_limit(limit))  # type: ignore[misc]
                faults += self._refused(ended, out, f"{limit} bytes")
                faults += _finishes(verb, out, expected)
        return faults

    def full_file_system(self, verb: Verb, sizes: tuple[int, ...]) -> list[str]:
        """A file system with so many bytes left (needs the right to mount)."""
        _, expected = self.reference(verb)
        faults = []
        for size in sizes:
            with mounted(64 << 20) as disk:
                out = disk / "out"
                out.mkdir()
                verb.command(out)
                ballast = disk / ".ballast"
                with ballast.open("wb") as file:
                    free = os.statvfs(disk)
                    os.posix_fallocate(
                        file.fileno(), 0, max(1, free.f_bavail * free.f_bsize - size)
                    )
                ended = run(verb.command(out))
                ballast.unlink()
                faults += self._refused(ended, out, f"{size} bytes left")
                faults += _finishes(verb, out, expected)
        return faults

    def read_only(self, verb: Verb) -> list[str]:
        """A folder in which nothing may be made."""
        with folder() as out:
            verb.command(out)
            out.chmod(0o555)
            for path in out.rglob("*"):
                path.chmod(0o555 if path.is_dir() else 0o444)
            before = {path: path.read_bytes() for path in files(out)}
            ended = run(verb.command(out), first=_without_capabilities)
            out.chmod(0o755)
            faults = [] if ended.code == 2 else [f"read-only: {ended}"]
            if told := ended.told():
                faults.append(told)
            if before != {path: path.read_bytes() for path in files(out)}:
                faults.append("read-only: files have changed")
            return faults

    def no_room_for_stdout(self, verb: Verb) -> list[str]:
        """stdout to /dev/full: not 0, one line at most."""
        with folder() as out:
            ended = run(verb.command(out), out=Path("/dev/full"))
            faults = _whole(out)
            if ended.code == 0 or ended.told():
                faults.append(f"/dev/full: {ended}")
            return faults

    def no_reader(self, verb: Verb) -> list[str]:
        """stdout to a pipe that nobody reads, as of ``| true``: silence, and the shell's code."""
        with folder() as out:
            ended = run(verb.command(out), first=_pipe_without_reader)
            faults = _whole(out)
            if (ended.code, ended.error) not in ((141, ""), (0, "")):
                faults.append(f"pipe: {ended}")
            return faults

    def as_json(self, verb: Verb) -> list[str]:
        """One document, as its schema says; on stderr nothing but warnings and how far it is."""
        with folder() as place:
            target = place / "stdout"
            ended = run([*verb.command(place), "--json"], out=target)
            if ended.code not in (0, 1):
                return [f"--json: {ended}"]
            if ended.error:
                return [f"--json: {ended.error[-600:]}"]
            document = json.loads(target.read_bytes())
            _, name, version = document["schema"].split("/")
            validator = jsonschema.Draft202012Validator(schemas()[f"{name}-{version}"])
            return [f"--json: {error.message[:300]}" for error in validator.iter_errors(document)]

    def narrow(self, verb: Verb) -> list[str]:
        """On a terminal of 80 columns: no table is wider, and no control characters but those
        that rich draws with.
        """
        with folder() as place:
            shown = _on_terminal(verb.command(place), columns=80)
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
        wide = [
            line for line in plain.splitlines() if set(line.strip()) == {"─"} and len(line) > 80
        ]
        strange = {c for c in plain if not c.isprintable() and c not in "\r\n"}
        return [f"80 columns: {what!r}" for what in (wide, strange) if what]

    def interrupt_start(self, verb: Verb, times: int, within: float) -> list[str]:
        """SIGINT within the first seconds of a process of its own: while libraries are imported."""
        faults = []
        for _ in range(times):
            with folder() as out:
                process = subprocess.Popen(
                    [*SUB8, *verb.command(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
                )
                _wait_for_answers(process.pid)
                moment = self.random.uniform(0, within)
                time.sleep(moment)
                process.send_signal(signal.SIGINT)
                err = process.communicate(timeout=120)[1].decode()
                code = process.returncode
                if code and (code, err) != (130, "sub8: error: interrupted\n"):
                    faults.append(f"after {moment:.3f} s: {code} {err[-600:]}")
        return faults

    def _refused(self, ended: Ended, out: Path, where: str) -> list[str]:
        faults = _whole(out)
        if ended.code not in (0, 2):
            faults.append(f"{where}: {ended}")
        elif ended.code == 2 and not ended.err:
            faults.append(f"{where}: exit code 2 without a word")
        if told := ended.told():
            faults.append(f"{where}: {told}")
        left = [path.name for path in out.rglob(".*")]
        if left:
            faults.append(f"{where}: leaves {left}")
        return faults


def _wait_for_answers(pid: int) -> None:
    """Until a Python process answers SIGINT by a function of its own: before, the interpreter
    itself starts, and prints a traceback.
    """
    status = Path(f"/proc/{pid}/status")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            (line,) = [x for x in status.read_text().splitlines() if x.startswith("SigCgt")]
        except (OSError, ValueError):
            return
        caught = int(line.split()[1], 16)
        if caught >> (signal.SIGTERM - 1) & 1:  # Python leaves this one alone; sub8 does not
            return
        time.sleep(0.001)


def _pipe_without_reader() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)
    os.close(writing)


def _on_terminal(arguments: list[str], columns: int) -> str:
    """All that a command shows on a terminal."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = start(arguments, end, end, lambda: None)
    os.close(end)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # Linux's way to say that nobody holds the other end
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    os.waitpid(child, 0)
    return shown.decode("utf-8", "replace")


def _default() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _file_limit(most: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def _without_capabilities() -> None:
    """Root may write anywhere by its capabilities; without them modes hold for it too, and what is
    installed in folders of root's own can still be imported (as another user could not).
    """
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    none = (ctypes.c_uint32 * 6)()  # two times effective, permitted, inheritable
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder that any user may enter, gone at the end (of this process, not of a fork)."""
    name = Path(tempfile.mkdtemp(prefix="endings-"))
    try:
        name.chmod(0o755)
        (name / "out").mkdir()
        yield name / "out"
    finally:
        shutil.rmtree(name)


@contextmanager
def mounted(size: int) -> Iterator[Path]:
    with folder() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", "-l", place], check=True)
