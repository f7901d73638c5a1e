import graphlib

import pytest

from sub8.graph.sorting import sort_topologically


def test_each_index_comes_behind_its_sources_and_ties_go_by_priority():
    sources = [[2], [], [], [1, 2], [1]]
    assert sort_topologically(sources, [0, 1, 2, 3, 4]) == [1, 2, 0, 3, 4]
    assert sort_topologically(sources, [0, -1, -2, -3, -4]) == [2, 1, 4, 3, 0]


def test_equal_priorities_keep_the_order_given():
    assert sort_topologically([[], [], [0]], [7, 7, 7]) == [0, 1, 2]


def test_a_circle_has_no_order():
    with pytest.raises(graphlib.CycleError):
        sort_topologically([[1], [0]], [0, 1])
