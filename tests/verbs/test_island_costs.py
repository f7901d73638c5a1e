"""What ``inspect`` says of float islands: why each is one, and what it takes."""

from qdq_graphs import Graph

import sub8
from sub8.graph.write import write_model


def test_an_island_of_a_quantised_model_has_a_reason_and_a_time(tmp_path):
    g = Graph((1, 3, 8, 8))
    x = g.quantised("x", 2.0**-5, signed=True)
    y = g.quantised(g.node("Softmax", g.node("Sin", x), axis=1), 2.0**-8)
    y = g.quantised(g.node("LRN", y, size=3), 2.0**-8)
    write_model(g.model(y), tmp_path / "q.onnx")
    report = sub8.inspect(tmp_path / "q.onnx")
    reasons = [cost.reason for cost in report.island_costs]
    assert reasons == ["Softmax has no integer form", "LRN has no integer form"]
    assert all(cost.milliseconds > 0 for cost in report.island_costs)
    assert 0 < sum(cost.part for cost in report.island_costs) <= 1
    assert report.to_dict()["island_costs"][0]["reason"] == reasons[0]


def test_islands_of_a_float_model_have_a_reason(tmp_path):
    g = Graph((1, 3, 8, 8))
    w = g.constant([[[[0.5]], [[0.25]], [[1.0]]]] * 3, "float32")
    y = g.node("Conv", g.node("LRN", g.node("Conv", "x", w), size=3), w)
    write_model(g.model(y), tmp_path / "f.onnx")
    (cost,) = sub8.inspect(tmp_path / "f.onnx").island_costs
    assert cost.reason == "LRN has no integer form" and cost.milliseconds is None


def test_a_tensor_of_16_bits_is_told(tmp_path):
    g = Graph((1, 3, 8, 8))
    x = g.quantised("x", 2.0**-5, signed=True)
    wide = g.node("QuantizeLinear", x, g.constant(0.001, "float32"), g.constant(0, "int16"))
    y = g.node("DequantizeLinear", wide, g.constant(0.001, "float32"), g.constant(0, "int16"))
    write_model(g.model(g.quantised(y, 2.0**-5, signed=True)), tmp_path / "q.onnx")
    (cost,) = sub8.inspect(tmp_path / "q.onnx").island_costs
    assert "uint8 or int8" in cost.reason
