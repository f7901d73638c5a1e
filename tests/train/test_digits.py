"""A user's own training loop: ternary clusters of 16 lose at most half a point on scikit-learn's
digits.
"""

import importlib.util
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")
pytest.importorskip("sklearn", reason="the example's data come with scikit-learn")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits.py"


def test_ternary_clusters_of_16_lose_at_most_half_a_point(tmp_path):
    spec = importlib.util.spec_from_file_location("digits_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    # One thread gives the same figures on every machine of one kind, and no contention.
    torch.set_num_threads(1)
    full, ternary = example.run(str(tmp_path / "digits.onnx"))
    assert full > 98.0
    assert ternary >= full - 0.5
