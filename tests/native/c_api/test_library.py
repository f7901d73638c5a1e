"""libsub8 from C and C++: the examples give the engine's numbers, and whatever is wrong is told."""

import ctypes
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import SIZE, small_network

import sub8
from sub8.native import _core

PROJECT = Path(__file__).resolve().parents[3]
HEADER = PROJECT / "src" / "sub8" / "native" / "c_api"
SHAPE = (1, 3, SIZE, SIZE)
# A module that pip has built may have brought its own oneTBB.
OWN = str(Path(_core.__file__).parent)
LIBRARIES = os.pathsep.join([OWN, os.environ.get("LD_LIBRARY_PATH", "")])


def libraries() -> list[Path]:
    """Built beside the module, in place or by pip, the newest last."""
    found = PROJECT.glob("build/[ci][pn]*/library/libsub8.so")  # cp312..., in-place
    return sorted(found, key=lambda path: path.stat().st_mtime)


pytestmark = pytest.mark.skipif(
    not libraries() or not shutil.which("cc"),
    reason="needs build/*/library/libsub8.so and a compiler",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a compiled model, ``model.s8``."""
    folder = tmp_path_factory.mktemp("library")
    images = np.random.default_rng(1).normal(0, 1, (8, *SHAPE[1:])).astype(np.float32)
    quantised = sub8.quantize(
        small_network(), images, sub8.Recipe(weights=sub8.Ternary(cluster=4), method="hessian")
    )
    sub8.compile(quantised, folder / "model.s8")
    return folder


def call(*command: str | Path, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "LD_LIBRARY_PATH": LIBRARIES}
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment, cwd=folder
    )


def built(*command: str | Path) -> None:
    done = call(*command)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def classify(folder: Path) -> Path:
    program, library = folder / "classify", libraries()[-1].parent
    built(
        "cc", "-std=c99", "-O1", "-Wall", "-Wextra", "-pedantic", "-Werror",
        PROJECT / "examples" / "c" / "classify.c", f"-I{HEADER}", f"-L{library}", "-lsub8",
        f"-Wl,-rpath,{library}", "-o", program,
    )  # fmt: skip
    return program


def test_a_photograph_in_c(folder: Path, classify: Path) -> None:
    random = np.random.default_rng(3)
    pixels = random.integers(0, 256, (SIZE, SIZE + 4, 3), dtype=np.uint8)
    photo = folder / "photo.ppm"
    photo.write_bytes(b"P6 %d %d 255\n" % (SIZE + 4, SIZE) + pixels.tobytes())
    (folder / "labels.txt").write_text("".join(f"class {i}\n" for i in range(6)))
    done = call(classify, folder / "model.s8", photo, folder / "labels.txt")
    assert (done.returncode, done.stderr) == (0, "")
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    image = (pixels[:, 2:-2] / np.float32(255) - mean) / deviation
    x = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
    scores = sub8.Session(folder / "model.s8").run(x)[0]
    lines = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    assert [np.float32(score) for _, score in lines] == sorted(scores, reverse=True)[:5]
    assert lines[0][0] == f"{scores.argmax()} class {scores.argmax()}"


def test_what_the_example_in_c_refuses(folder: Path, classify: Path) -> None:
    damaged = folder / "damaged.s8"
    damaged.write_bytes((folder / "model.s8").read_bytes()[:-1])
    for model, message in (
        (damaged, "damaged: its length is not the one that it tells"),
        (folder / "none.s8", "No such file or directory"),
        (folder, "Invalid argument"),
    ):
        done = call(classify, model, folder / "none.ppm")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"classify: model: {model}: {message}\n"


def test_find_package_and_pkg_config(folder: Path) -> None:
    prefix, build = folder / "prefix", folder / "build"
    whole = libraries()[-1].parents[1]
    built("cmake", "--install", whole, "--component", "runtime", "--prefix", prefix)
    example = PROJECT / "examples" / "cpp"
    built("cmake", "-S", example, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
    built("cmake", "--build", build)
    x = np.random.default_rng(4).normal(0, 1, (3, *SHAPE[1:])).astype(np.float32)
    (folder / "x.raw").write_bytes(x.tobytes())
    done = call(build / "run", "model.s8", "x.raw", "y.raw", "2", *map(str, x.shape), folder=folder)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "3 6 \n")
    expected = sub8.Session(folder / "model.s8").run(x)
    y = np.frombuffer((folder / "y.raw").read_bytes(), np.float32).reshape(3, 6)
    np.testing.assert_array_equal(y, expected)
    (pc,) = prefix.glob("lib*/**/sub8.pc")
    assert f"Version: {sub8.__version__}\n" in pc.read_text()
    assert sorted(path.name for path in (prefix / "include").iterdir()) == ["sub8.h"]


class Array(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("rank", ctypes.c_int),
        ("sizes", ctypes.c_int64 * 8),
    )  # fmt: skip

    @classmethod
    def of(cls, array: NDArray) -> "Array":
        return cls(array.ctypes.data, array.nbytes, array.ndim, (ctypes.c_int64 * 8)(*array.shape))


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(libraries()[-1]))
    for name in ("open", "open_memory", "session_create"):
        getattr(library, f"sub8_{name}").restype = ctypes.c_void_p
    for name in ("version", "last_error"):
        getattr(library, f"sub8_{name}").restype = ctypes.c_char_p
    library.sub8_session_create.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
    library.sub8_close.argtypes = library.sub8_session_free.argtypes = (ctypes.c_void_p,)
    arrays = (ctypes.c_void_p, ctypes.POINTER(Array), ctypes.c_size_t)
    library.sub8_run.argtypes = (*arrays, *arrays[1:])
    return library


def test_what_is_wrong_is_told(folder: Path, library: ctypes.CDLL) -> None:
    assert library.sub8_version().decode() == sub8.__version__
    model = library.sub8_open(str(folder / "model.s8").encode())
    session = library.sub8_session_create(model, 1, b"scalar")
    library.sub8_close(model)  # the session goes on

    x, y = np.zeros(SHAPE, np.float32), np.zeros((1, 6), np.float32)
    hollow = x.copy()
    hollow[0, 1, 2, 3] = np.nan
    nothing = Array.of(x)
    nothing.data = None
    short = Array.of(x)
    short.bytes -= 4
    aside = Array.of(x)
    aside.data += 1
    deep = Array.of(x)
    deep.rank = 9

    def run(given: Array, made: Array, inputs: int = 1, outputs: int = 1) -> tuple[int, str]:
        status = library.sub8_run(session, given, inputs, made, outputs)
        return status, library.sub8_last_error().decode()

    assert run(Array.of(x), Array.of(y))[0] == 0
    for given, message in (
        (Array.of(hollow), "input 'image' holds NaN, which has no 8-bit form"),
        (nothing, "the data of 'image' is NULL"),
        (short, "input 'image' of these sizes has 1728 bytes, not 1724"),
        (aside, "the data of 'image' is not aligned"),
        (deep, "an array has 0 to 8 axes"),
        (
            Array.of(x[..., :-1].copy()),
            "not compiled for inputs of shape [1, 3, 12, 11]; it takes [any, 3, 12, 12]",
        ),
    ):
        assert run(given, Array.of(y)) == (1, message)
    assert (
        run(Array.of(x), Array.of(y[:, 1:].copy()))[1] == "output 'logits' needs 24 bytes, has 20"
    )
    assert run(Array.of(x), Array.of(y), inputs=2)[1] == "the model takes 1 inputs, not 2"
    assert run(Array.of(x), Array.of(y), outputs=0)[1] == "the model has 1 outputs, not 0"
    assert library.sub8_run(None, Array.of(x), 1, Array.of(y), 1) == 1
    assert library.sub8_session_create(None, 1, None) is None
    library.sub8_session_free(session)
    library.sub8_session_free(None)


def test_one_session_in_many_threads(folder: Path, library: ctypes.CDLL) -> None:
    data = (folder / "model.s8").read_bytes()
    model = library.sub8_open_memory(data, len(data))
    session = library.sub8_session_create(model, 2, None)
    random = np.random.default_rng(5)
    inputs = [random.normal(0, 1, (1 + i % 3, *SHAPE[1:])).astype(np.float32) for i in range(6)]
    outputs = [np.zeros((len(x), 6), np.float32) for x in inputs]
    wrong: list[bytes] = []

    def work(number: int) -> None:
        for _ in range(20):
            if library.sub8_run(session, Array.of(inputs[number]), 1, Array.of(outputs[number]), 1):
                wrong.append(library.sub8_last_error())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    python = sub8.Session(folder / "model.s8")
    for x, y in zip(inputs, outputs, strict=True):
        np.testing.assert_array_equal(y, python.run(x))
    library.sub8_session_free(session)
    library.sub8_close(model)
