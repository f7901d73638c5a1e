"""Mutants of data: arrays (npy, npz), Parquet, images, folders; refused in a line, or used."""

import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from judging import Mutant, Verdict, command
from mutants_of_models import problem_of
from mutations import NOTHING, changed_bytes
from small_models import small_model

SIDE = 9
IMAGES = ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm")
NUMBERS = (0.0, 1.0, -1.0, 1e38, -1e38, 1e39, -1e300, 1e-45, np.nan, np.inf, -np.inf)
SHAPES = (
    (0,), (2,), (), (1, 0), (0, 3, 6, 6), (2, 3, 6, 6), (2, 3, 0, 6), (2, 6, 6, 3), (2, 6, 6),
    (2, 4, 6, 6), (1, 3, 6, 6), (2, 3, 7, 5), (2, 1, 3, 6, 6), (1,) * 32, (2, 9, 9, 3), (2, 9, 9),
    (2, 3, 1, 1), (70000, 0), (2, 9, 9, 4),
)  # fmt: skip
TYPES = (
    "f4", "f8", "f2", "u1", "i1", "i4", "i8", "u8", "?", "c8", "U3", "S2", "M8[s]", ">f4", "g",
    "f4,i4", "V3",
)  # fmt: skip


@cache
def pixels() -> Any:
    return np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.uint8)


class Data:
    def mutant(self, random: Random, without: frozenset[int] = NOTHING) -> Mutant:
        kind = random.choice(tuple(KINDS))
        name, data = KINDS[kind](random)
        facts = (name, random.choice(("run", "evaluate", "verify", "quantize")))
        if kind.endswith("bytes"):
            data = changed_bytes(data, random, without)
        return Mutant(kind, data, facts)

    def judge(self, mutant: Mutant, folder: Path) -> Verdict:
        name, verb = mutant.facts
        for kind in ("conv", "int8"):
            if not (folder / f"{kind}.onnx").exists():
                (folder / f"{kind}.onnx").write_bytes(small_model(kind))
        data = folder / str(name)
        if data.is_dir():
            shutil.rmtree(data)
        if mutant.kind == "folder":
            unpack(mutant.data, data)
        else:
            data.write_bytes(mutant.data)
        written = folder / "q.onnx"
        written.unlink(missing_ok=True)
        match verb:
            case "quantize":
                arguments: tuple[object, ...] = (folder / "conv.onnx", "-c", data, "-o", written)
            case "verify":
                arguments = (folder / "int8.onnx", data, "--threads", 1)
            case _:
                arguments = (folder / "int8.onnx", data)
        done = command(verb, *arguments)
        problem = problem_of(done, warns=True)
        if problem is None and done.code == 1:
            problem = f"{verb}: {done.out}"
        if problem is None and verb == "quantize" and written.exists() != (done.code == 0):
            problem = f"exit code {done.code}, written: {written.exists()}"
        return Verdict("used" if done.code == 0 else "refused", problem)


def _array(random: Random) -> Any:
    shape, kind = random.choice(SHAPES), random.choice(TYPES)
    if random.random() < 0.5:
        shape, kind = random.choice(((2, 3, 6, 6), (2, 9, 9, 3))), random.choice(("f4", "f8", "u1"))
    values = np.random.default_rng(random.getrandbits(32)).integers(0, 256, shape)
    with np.errstate(all="ignore"):
        try:
            array = values.astype(kind)
        except (TypeError, ValueError):
            array = np.zeros(shape, kind)
    if array.dtype.kind == "f" and array.size and random.random() < 0.5:
        with np.errstate(all="ignore"):
            array.flat[random.randrange(array.size)] = random.choice(NUMBERS)
            array = array * array.dtype.type(random.choice((1, 1, 0, -1, 1e30, 1e-30)))
    return array


def _saved(array: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    return file.getvalue()


def _npy(random: Random) -> tuple[str, bytes]:
    return "d.npy", _saved(_array(random))


def _npy_header(random: Random) -> tuple[str, bytes]:
    """A header that says something else than what follows."""
    data = _saved(np.zeros((2, 3, 6, 6), np.float32))
    texts = (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 6, 6), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 3, 6, 6), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (-1, 3, 6, 6), }",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': 7, }",
        "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 6), 'more': 1}",
        "(" * 200, "[" * 5000, "{'a': " * 90, "", "\0", "__import__('os')", "9" * 5000,
    )  # fmt: skip
    text = random.choice(texts).encode().ljust(random.choice((10, 118, 70000))) + b"\n"
    version = random.choice((b"\1\0", b"\2\0", b"\3\0", b"\1\0", b"\4\0", b"\xff\xff"))
    length = struct.pack("<H" if version == b"\1\0" else "<I", min(len(text), 65535))
    return "d.npy", data[:6] + version + length + text + data[128:]


def _npz(random: Random) -> tuple[str, bytes]:
    file = io.BytesIO()
    names = random.sample(
        ("images", "labels", "x", "y", "data", "a/b", "../c", "\x1b[2J", "label"), 3
    )
    way = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(file, "w", way) as archive:
        for name in ("images", "labels") if random.random() < 0.6 else names:
            array = _array(random)
            if name == "labels" and random.random() < 0.8:
                array = np.array([random.choice((0, 1, 3, 4, -1, 2**40, 2**63 - 1))] * 2)
            held = _saved(array) if random.random() < 0.95 else b"nothing"
            archive.writestr(f"{name}.npy" if random.random() < 0.9 else name, held)
    return "d.npz", file.getvalue()


def _npz_of_zeros(random: Random) -> tuple[str, bytes]:
    """A few kilobytes that unpack to many megabytes, said or unsaid."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        count = random.choice((10, 2000))
        head = _saved(np.zeros((0, 3, 6, 6), np.float32))
        head = head.replace(b"(0, 3, 6, 6)", f"({count}, 3, 6, 6)".encode())
        archive.writestr("images.npy", head + bytes(random.choice((100, 1 << 20, 1 << 23))))
    return "d.npz", file.getvalue()


def _parquet(random: Random) -> tuple[str, bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = [_encoded("png", Random(n)) for n in range(3)]
    images = random.choice((
        pa.array(good), pa.array([{"bytes": one, "path": "a"} for one in good]),
        pa.array([good[0], None, b""]), pa.array(["text", "a", "b"]), pa.array([1, 2, 3]),
        pa.array([[good[0]], [], None]), pa.array([{"path": "a"}] * 3), pa.nulls(3),
        pa.array([{"bytes": None}] * 3), pa.array(good).dictionary_encode(),
        pa.array([b"not an image"] * 3), pa.array(good, pa.large_binary()),
        pa.array([{"bytes": "text"}] * 3),
    ))  # fmt: skip
    labels = random.choice((
        pa.array([0, 1, 2]), pa.array([0, None, 2]), pa.array([-1, 99, 2**62]),
        pa.array([0.5, 1, 2]), pa.array(["a", "b", "c"]), pa.array([True, False, True]),
        pa.array([2**64 - 1] * 3, pa.uint64()), pa.nulls(3), pa.array([[1]] * 3),
        pa.array([1, 2, 3]).dictionary_encode(),
    ))  # fmt: skip
    names = random.choice((["image", "label"],) * 6 + (["image", "image"], ["x\x1b[2J", "label"]))
    table = pa.Table.from_arrays([images, labels], names=list(names))
    table = table.slice(0, random.choice((3, 3, 3, 1, 0)))
    file = io.BytesIO()
    pq.write_table(table, file, compression=random.choice(("snappy", "zstd", "none", "gzip")))
    return random.choice(("d.parquet", "d.pq")), file.getvalue()


def _good_parquet(random: Random) -> tuple[str, bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"image": [_encoded("png", Random(n)) for n in range(3)], "label": [0, 1, 2]})
    file = io.BytesIO()
    pq.write_table(table, file, compression=random.choice(("snappy", "zstd", "none")))
    return "d.parquet", file.getvalue()


def _encoded(suffix: str, random: Random, odd: bool = False) -> bytes:
    from PIL import Image

    image = Image.fromarray(pixels()[random.randrange(4)])
    options: dict[str, Any] = {}
    if odd:
        image = image.convert(
            random.choice(("L", "1", "P", "CMYK", "I", "F", "LA", "RGBA", "I;16"))
        )
        image = image.resize((random.choice((1, 2, 9, 300)), random.choice((1, 3, 9))))
        if random.random() < 0.5:
            exif = Image.Exif()
            exif[0x0112] = random.choice((1, 3, 6, 8, 0, 9, 65535))
            options["exif"] = exif
    formats = {"jpg": "JPEG", "tif": "TIFF"}
    file = io.BytesIO()
    image.save(file, formats.get(suffix, suffix.upper()), **options)
    return file.getvalue()


def _image(random: Random) -> tuple[str, bytes]:
    suffix = random.choice(IMAGES)
    for _ in range(20):
        try:
            return f"d.{random.choice((suffix, 'png'))}", _encoded(suffix, random, odd=True)
        except (OSError, ValueError, KeyError):  # a mode that the format lacks
            continue
    return _good_image(random)


def _good_image(random: Random) -> tuple[str, bytes]:
    suffix = random.choice(IMAGES)
    return f"d.{suffix}", _encoded(suffix, random)


def _image_of_any_size(random: Random) -> tuple[str, bytes]:
    """A PNG whose header states other sizes, depths and kinds of colour than its data has."""
    data = bytearray(_encoded("png", random))
    sides = (0, 1, 9, 10, 9459, 9460, 65535, 2**31 - 1, 2**31)
    width, height = random.choice(sides), random.choice(sides)
    depth, colour = random.choice((8, 8, 16, 1, 3)), random.choice((2, 2, 0, 3, 6, 7))
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data[12:33] = head + struct.pack(">I", zlib.crc32(head))
    return "d.png", bytes(data)


def _folder(random: Random) -> tuple[str, bytes]:
    """A packed folder (``unpack``)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        classes = random.choice((
            ("class0", "class1"), ("0", "1", "7"), ("a", "b"), ("", "a"), ("n01440764", "x"),
            ("train", "val"), (".hidden", "a"), ("\x1b[2J", "[bold]b"), ("class0", "other"), ("",),
            ("é" * 80, "a\nb"), ("-1", "0"), ("1" * 200, "2"), ("a/b/c", "d"), (),
        ))  # fmt: skip
        for name in classes:
            for number in range(random.choice((1, 1, 2, 0))):
                suffix = random.choice((*IMAGES, "PNG", "txt", "npy", "eps", ""))
                data = _encoded(suffix, random) if suffix in IMAGES else b"text"
                if random.random() < 0.15:
                    data = changed_bytes(data, random)
                target = random.choice(
                    ("", "", "", "", "", "missing", ".", "/dev/zero", "/dev/full")
                )
                archive.writestr(f"{name}/{number}.{suffix}", target or data, int(not target) * 8)
    return "folder", file.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """Files, and links where an entry is stored without compression."""
    folder.mkdir()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for entry in archive.infolist():
            path = folder / entry.filename.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            data = archive.read(entry)
            if entry.compress_type == zipfile.ZIP_STORED:
                path.symlink_to(data.decode())
            else:
                path.write_bytes(data)


KINDS: dict[str, Callable[[Random], tuple[str, bytes]]] = {
    "npy": _npy, "npy header": _npy_header, "npy bytes": _npy, "npz": _npz, "npz bytes": _npz,
    "npz of zeros": _npz_of_zeros, "parquet": _parquet, "parquet bytes": _good_parquet,
    "image": _image, "image bytes": _good_image, "image size": _image_of_any_size,
    "folder": _folder,
}  # fmt: skip
