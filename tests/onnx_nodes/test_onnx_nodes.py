"""A sample of ONNX's node tests; ``run_onnx_nodes.py`` goes through all of them."""

import pytest
from node_models import cases_of, node_tests
from node_outcomes import EXACT, FAULTS, ISLAND, outcome_of

MODULES = (
    "add", "averagepool", "clip", "compress", "concat", "conv", "identity", "if_", "loop",
    "maxpool", "nonmaxsuppression",
    "nonzero", "pad", "reducemean", "sequenceinsert", "softmax", "split", "topk", "where",
)  # fmt: skip


@pytest.fixture(scope="module")
def outcomes():
    found = {}
    for place, case in enumerate(c for test in node_tests(MODULES) for c in cases_of(test)):
        if place % 5 == 0:
            found[case.name, case.way] = outcome_of(case)
    return found


def test_no_node_test_is_wrong_or_raises_anything_but_a_clear_error(outcomes):
    assert {key: found for key, found in outcomes.items() if found[0] in FAULTS} == {}


def test_most_run_and_many_between_layers_are_integers_only(outcomes):
    kinds = [kind for kind, _ in outcomes.values()]
    assert kinds.count(EXACT) > 5
    assert kinds.count(EXACT) + kinds.count(ISLAND) > len(kinds) / 2
