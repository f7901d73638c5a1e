from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from made_up_studies import made_up_study

from sub8.study.front import choose, pareto_front

POINT = made_up_study().points[0]
POINTS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 20)).map(
        lambda pair: replace(POINT, top1=float(pair[0]), bytes=pair[1])
    ),
    min_size=1,
    max_size=30,
)


def smallness(point):
    return -point.bytes


@given(POINTS)
def test_every_point_is_on_the_front_or_beaten_by_one_that_is(points):
    front = pareto_front(points, smallness)
    for point in points:
        assert any(other.top1 >= point.top1 and other.bytes <= point.bytes for other in front)
    for one in front:
        assert not any(
            other is not one and other.top1 >= one.top1 and other.bytes <= one.bytes
            for other in front
        )


@given(POINTS, st.floats(0, 20))
def test_the_chosen_point_is_the_smallest_within_the_drop(points, float_top1):
    chosen = choose(points, float_top1, max_drop=1.0)
    within = [point for point in points if point.top1 >= float_top1 - 1.0]
    if within:
        assert chosen in within
        assert chosen.bytes == min(point.bytes for point in within)
    else:
        assert chosen.top1 == max(point.top1 for point in points)
