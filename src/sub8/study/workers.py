"""Where the points of a sweep are measured: processes on this machine, or a Ray cluster."""

import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import ModuleType
from urllib.parse import urlsplit

from sub8.errors import InputError, Sub8Warning
from sub8.extras import missing_extra
from sub8.study.point import Point, Task, measure_point


def measure_locally(tasks: list[Task], jobs: int) -> Iterator[tuple[Point, bytes]]:
    """Finished points as they come, ``jobs`` processes at a time.

    The processes end at once where this one ends, however, and where no more points are asked for.
    Raises InputError where one of them is ended from outside.
    """
    context = get_context("spawn")  # ONNX Runtime's and oneTBB's threads do not survive a fork
    watched, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with, initargs=(watched,))
    try:
        with _interrupts_held(), _main_module_hidden():
            points = [pool.submit(_measured, task) for task in tasks]
        for point in as_completed(points):
            yield _told(point.result())
    except BrokenProcessPool as error:
        raise InputError(
            "a process of the sweep was ended from outside, perhaps for want of memory; finished "
            "points are kept: run the command again, with fewer --jobs"
        ) from error
    except BaseException:  # such as an interrupt; what is under way would take minutes
        held.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        held.close()
        watched.close()


def _measured(task: Task) -> tuple[Point, bytes, list[str]]:
    """In a worker: ``measure_point``, and what it warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")  # of libraries
        warnings.simplefilter("always", Sub8Warning)
        point, artifact = measure_point(task)
    return point, artifact, [f"{task.setting.label}: {warning.message}" for warning in told]


def _told(measured: tuple[Point, bytes, list[str]]) -> tuple[Point, bytes]:
    """The worker's warnings, told here."""
    point, artifact, told = measured
    for message in told:
        warnings.warn(message, Sub8Warning, stacklevel=3)
    return point, artifact


def _end_with(watched: Connection) -> None:
    """In a worker: end with the other end of the pipe, which is closed when its process is gone,
    killed or not.
    """

    def wait() -> None:
        with suppress(EOFError, OSError):
            watched.recv_bytes()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """An interrupt comes at the end; processes started inside never see the terminal's, which are
    this process's to answer (Windows has no such thing).
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Processes started inside do not run the caller's script again, as spawned ones do to find
    what is defined there: tasks hold nothing of it, and a script without ``if __name__ ==
    "__main__"`` would start the sweep anew in each.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def measure_on_ray(tasks: list[Task], address: str) -> Iterator[tuple[Point, bytes]]:
    """Finished points from a Ray cluster, one task per point, ``threads`` processors each.

    The model and the data must be found under the same paths on every node.
    Raises InputError where Ray is missing or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise missing_extra("ray", "ray", "--ray") from error
    if address != "auto":
        _reach(address)
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster at {address}: {error}") from error
    try:
        remote = ray.remote(_measured)
        waiting = [remote.options(num_cpus=task.threads).remote(task) for task in tasks]
        while waiting:
            finished, waiting = ray.wait(waiting)
            yield _told(ray.get(finished[0]))
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """InputError where nothing listens at HOST:PORT; Ray itself would go on trying for minutes."""
    try:
        parts = urlsplit(address if "://" in address else f"ray://{address}")
        if parts.hostname is None or parts.port is None:
            raise ValueError("not HOST:PORT")
        socket.create_connection((parts.hostname, parts.port), timeout=10).close()
    except (OSError, ValueError) as error:
        raise InputError(f"no Ray cluster at {address}: {error}") from error
