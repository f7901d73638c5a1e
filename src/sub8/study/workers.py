"""Where the points of a sweep are measured: processes on this machine, or a Ray cluster."""

import socket
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from urllib.parse import urlsplit

from sub8.errors import InputError
from sub8.study.point import Point, Task, measure_point


def measure_locally(tasks: list[Task], jobs: int) -> Iterator[tuple[Point, bytes]]:
    """Finished points as they come, ``jobs`` processes at a time."""
    # spawn: ONNX Runtime's and oneTBB's threads do not survive a fork.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        for future in as_completed([pool.submit(measure_point, task) for task in tasks]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def measure_on_ray(tasks: list[Task], address: str) -> Iterator[tuple[Point, bytes]]:
    """Finished points from a Ray cluster, one task per point, ``threads`` processors each.

    The model and the data must be found under the same paths on every node.
    Raises InputError where Ray is missing or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray needs the package ray; install: pip install 'sub8[ray]'") from error
    if address != "auto":
        _reach(address)
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster at {address}: {error}") from error
    try:
        remote = ray.remote(measure_point)
        waiting = [remote.options(num_cpus=task.threads).remote(task) for task in tasks]
        while waiting:
            finished, waiting = ray.wait(waiting)
            yield ray.get(finished[0])
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
