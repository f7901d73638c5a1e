"""Mutants of compiled models (``.s8``): refused in a line, or run, within their memory."""

import math
import struct
import tempfile
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from judging import Mutant, Verdict
from mutations import NOTHING, changed_bytes
from small_models import QUANTISED_KINDS, small_model

import sub8
from sub8.engine.compiled_model import sealed
from sub8.files import COMPILED_HEADER

MOST_ELEMENTS = 1 << 20  # of an input; what a mutant asks for beyond it is not run
SHAPES = (1, 3)  # images
NUMBERS = (
    0, 1, 2, 3, 4, 7, 8, 9, 63, 64, 65, 127, 128, 255, 256, 65535, 2**20, 2**31 - 1, 2**31,
    2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 2,
)  # fmt: skip


@cache
def compiled() -> dict[str, bytes]:
    """Small models by kind, without those that have float islands."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "q.onnx", Path(folder) / "q.s8"
        for kind in QUANTISED_KINDS:
            source.write_bytes(small_model(kind))
            try:
                sub8.compile(source, target)
            except sub8.Sub8Error:
                continue
            found[kind] = target.read_bytes()
    return found


class Compiled:
    def mutant(self, random: Random, without: frozenset[int] = NOTHING) -> Mutant:
        whole = compiled()[random.choice(sorted(compiled()))]
        body = whole[COMPILED_HEADER.size :]
        match random.randrange(5):
            case 0:
                return Mutant("file", changed_bytes(whole, random, without))
            case 1:
                return Mutant("bytes", sealed(changed_bytes(body, random, without)))
            case _:
                return Mutant("numbers", sealed(_changed_numbers(body, random, without)))

    def judge(self, mutant: Mutant, folder: Path) -> Verdict:
        (folder / "mutant.s8").write_bytes(mutant.data)
        try:
            session = sub8.Session(folder / "mutant.s8", threads=1 + len(mutant.data) % 2)
            for images in SHAPES:
                shapes = {
                    info.name: [images if size is None else size for size in info.shape or ()]
                    for info in session.get_inputs()
                }
                if any(math.prod(shape) > MOST_ELEMENTS for shape in shapes.values()):
                    return Verdict("too large to run")
                feed = {
                    name: np.ones(shape, session._declared[name].dtype)
                    for name, shape in shapes.items()
                }
                session.run_all(feed)
        except sub8.InputError as error:
            text = str(error)
            problem = None if text.isprintable() and text else f"not one line: {text!r}"
            return Verdict("refused", problem)
        except MemoryError:
            return Verdict("no memory")
        return Verdict("ran")


def _changed_numbers(body: bytes, random: Random, without: frozenset[int]) -> bytes:
    """One to four numbers, of 1 to 8 bytes in their place, with others that are likely wrong."""
    changed = bytearray(body)
    for number in range(random.choice((1, 1, 2, 4))):
        own = Random(random.getrandbits(64))
        size = own.choice((1, 2, 4, 4, 8))
        place = own.randrange(0, len(body) - 8) // size * size
        value = own.choice(NUMBERS)
        if own.random() < 0.4:  # a little more or less
            value = int.from_bytes(body[place : place + size], "little") + own.randint(-8, 8)
        if number not in without:
            packed = struct.pack("<Q", value % 2**64)
            changed[place : place + size] = packed[:size]
    return bytes(changed)
