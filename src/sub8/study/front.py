"""Pareto fronts and the recommended point."""

from collections.abc import Callable, Sequence

from sub8.study.point import Point


def pareto_front(points: Sequence[Point], gain: Callable[[Point], float]) -> list[Point]:
    """Points that no other beats in both top-1 and ``gain`` (higher is better), by rising gain."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (-gain(p), -p.top1)):
        if not front or point.top1 > front[-1].top1:
            front.append(point)
    return front[::-1]


def choose(points: Sequence[Point], float_top1: float, max_drop: float) -> Point:
    """The smallest file that loses at most ``max_drop`` points of top-1; where none does, the most
    accurate.
    """
    accurate = [point for point in points if point.top1 >= float_top1 - max_drop]
    if accurate:
        return min(accurate, key=lambda point: (point.bytes, -point.top1))
    return max(points, key=lambda point: point.top1)
