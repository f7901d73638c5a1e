"""The static memory plan."""

from hypothesis import given
from hypothesis import strategies as st

from sub8.engine.lower.memory import ALIGNMENT, APART, PAGE, Lifetime, plan_memory

lifetimes = st.builds(
    lambda size, first, length: Lifetime(size, first, first + length),
    st.integers(1, 5000),
    st.integers(0, 12),
    st.integers(0, 6),
)


def room(size):
    """Whole cache lines, but not whole pages."""
    lines = -(-size // ALIGNMENT) * ALIGNMENT
    return lines + APART * (lines % PAGE == 0)


@given(st.lists(lifetimes, max_size=30))
def test_buffers_alive_together_never_overlap(buffers):
    plan = plan_memory(buffers)
    for i, (a, offset_a) in enumerate(zip(buffers, plan.offsets, strict=True)):
        assert offset_a % ALIGNMENT == 0
        assert offset_a + a.size <= plan.size
        for b, offset_b in zip(buffers[:i], plan.offsets, strict=False):
            if a.meets(b):
                assert offset_a + a.size <= offset_b or offset_b + b.size <= offset_a


@given(st.lists(lifetimes, min_size=1, max_size=30))
def test_arena_lies_between_the_peak_and_the_sum(buffers):
    def alive(step):
        return sum(b.size for b in buffers if b.first <= step <= b.last)

    size = plan_memory(buffers).size
    assert max(alive(step) for step in range(20)) <= size
    assert size <= sum(room(b.size) for b in buffers)


@given(st.integers(1, 5000), st.integers(2, 40))
def test_a_chain_of_equals_takes_two_buffers(size, length):
    chain = [Lifetime(size, step, step + 1) for step in range(length)]
    assert plan_memory(chain).size == 2 * room(size)


def test_neighbours_of_whole_pages_do_not_lie_whole_pages_apart():
    plan = plan_memory([Lifetime(196 * PAGE, 0, 1), Lifetime(196 * PAGE, 0, 1)])
    assert abs(plan.offsets[0] - plan.offsets[1]) % PAGE == APART


def test_buffers_that_never_meet_share_memory():
    plan = plan_memory([Lifetime(1000, 0, 1), Lifetime(1000, 2, 3), Lifetime(1000, 4, 5)])
    assert plan.offsets == (0, 0, 0)
    assert plan.size == 1024
