"""Where the points of a sweep are measured: processes on this machine, or a Ray cluster."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

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
