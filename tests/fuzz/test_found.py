"""Files that mutants once found taken wrongly, each made by its change; judged as mutants are."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
from judging import Done, Mutant, command
from model_mutations import changed_model
from mutants_of_models import RECIPES, Models
from onnx import helper, numpy_helper
from small_models import QUANTISED_KINDS, small_model, weights_beside

Model = onnx.ModelProto


def _node(model: Model, *operators: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type in operators)


def _attribute_of_no_function(model: Model) -> None:
    node = next(n for n in model.graph.node if any(a.name == "axis" for a in n.attribute))
    next(a for a in node.attribute if a.name == "axis").ref_attr_name = "outer"


def _padded_past_32_bits(model: Model) -> None:
    _node(model, "Conv").attribute[0].CopyFrom(helper.make_attribute("pads", [1, 2**31 - 1, 1, 1]))


def _location_too_long(model: Model) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="W" * 65536)


def _numbers_said_to_be_text(model: Model) -> None:
    model.graph.initializer[0].data_type = onnx.TensorProto.STRING


def _scale_computed(model: Model) -> None:
    """A constant quantised by a scale that follows from the input."""
    last = [node for node in model.graph.node if node.op_type == "QuantizeLinear"][-1]
    first = model.graph.input[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 4), np.float32), "ones"))
    axes = numpy_helper.from_array(np.array([0, 1, 2, 3]), "axes")
    model.graph.initializer.append(axes)
    scale = helper.make_node("ReduceL2", [first, "axes"], ["length"], keepdims=0)
    model.graph.node.insert(0, scale)
    last.input[0], last.input[1] = "ones", "length"


def _size_of_the_data(model: Model) -> None:
    """A branch whose two ends have different shapes, before a layer."""
    value = helper.make_tensor_value_info("inner", onnx.TensorProto.FLOAT, None)
    bodies = [
        helper.make_graph([helper.make_node(operator, ["flat"], ["inner"])], "body", [], [value])
        for operator in ("Relu", "Identity")
    ]
    model.graph.initializer.append(numpy_helper.from_array(np.bool_(True), "which"))
    gemm = _node(model, "Gemm")
    gemm.input[0] = "put"
    place = list(model.graph.node).index(gemm)
    branch = helper.make_node(
        "If", ["which"], ["put"], then_branch=bodies[0], else_branch=bodies[1]
    )
    model.graph.node.insert(place, branch)


def _branch_that_reads_the_pooled(model: Model) -> None:
    """A branch on a constant, which no folding resolves as its ends are branches again."""
    flatten = _node(model, "Flatten", "Reshape")
    read = flatten.input[0]

    def body(depth: int) -> onnx.GraphProto:
        name = f"inner{depth}"
        node = helper.make_node("Relu", [read], [name])
        if depth:
            branches = {"then_branch": body(depth - 1), "else_branch": body(depth - 1)}
            node = helper.make_node("If", ["which"], [name], **branches)
        result = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        return helper.make_graph([node], f"body{depth}", [], [result])

    model.graph.initializer.append(numpy_helper.from_array(np.array([True, False]), "which"))
    branch = helper.make_node("If", ["which"], ["put"], then_branch=body(2), else_branch=body(0))
    flatten.input[0] = "put"
    model.graph.node.insert(list(model.graph.node).index(flatten), branch)


def _quantised_in_float16(model: Model) -> None:
    model.opset_import[0].version = 25
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            node.attribute.append(helper.make_attribute("precision", onnx.TensorProto.FLOAT16))


def _weight_of_one_axis(model: Model) -> None:
    node = _node(model, "Conv")
    values = numpy_helper.from_array(np.ones(2, np.float32), node.input[1])
    next(t for t in model.graph.initializer if t.name == node.input[1]).CopyFrom(values)


def _function_of_fewer_inputs(model: Model) -> None:
    node = _node(model, "Conv")
    node.domain = "local"
    body = [helper.make_node("Relu", ["a"], ["b"])]
    imports = [helper.make_opsetid("", model.opset_import[0].version)]
    function = helper.make_function("local", "Conv", ["a"], ["b"], body, imports)
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))


def _bias_near_infinity(model: Model) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "fc.b")
    tensor.CopyFrom(numpy_helper.from_array(np.full(4, 1e38, np.float32), "fc.b"))


def _names_that_a_terminal_obeys(model: Model) -> None:
    for node in model.graph.node:
        node.name = "\x1b[2J[bold]\nsub8: error: forged" + "A" * 5000


def _metadata_of_another_form(model: Model) -> None:
    for entry in model.metadata_props:
        entry.value = "[" * 3000


def _untouched(model: Model) -> None:
    """A float bias, which other tools' integers hold to half a unit."""
    model.producer_name = "another"


def _unknown_fact_of_external_data(model: Model) -> None:
    tensor = next(t for t in model.graph.initializer if t.external_data)
    tensor.external_data.add(key="langth", value="1")


def _one_weight_of_10_to_the_26(model: Model) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "conv2.w")
    values = numpy_helper.to_array(tensor).copy()
    values[0, 0, 0, 0] = 1e26
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _set_scale(model: Model, node: onnx.NodeProto, scale: float) -> None:
    name = f"scale{len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(scale), name))
    node.input[1] = name


def _input_scale_of_2_to_the_95(model: Model) -> None:
    """Every input is rounded to zero: what is left are the biases, 2**-100 times as fine."""
    for operator in ("QuantizeLinear", "DequantizeLinear"):
        _set_scale(model, _node(model, operator), 2.0**95)


def _weight_scale_past_float32(model: Model) -> None:
    node = next(n for n in model.graph.node if n.output[0].endswith("weight.scale"))
    _set_scale(model, node, 2.0**125)


def _one_scale_of_minus_10_to_the_38(model: Model) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "scale_deep.w")
    scales = numpy_helper.to_array(tensor).copy()
    scales[0] = -1e38
    tensor.CopyFrom(numpy_helper.from_array(scales, tensor.name))


def _weight_scales_of_minus_1(model: Model) -> None:
    for node in model.graph.node:
        if node.output[0].endswith("weight.scale"):
            _set_scale(model, node, -1.0)


def _roots_of_negative_numbers(model: Model) -> None:
    relu = _node(model, "Relu")
    root = helper.make_node("Sqrt", [relu.input[0]], ["root"], name="root")
    model.graph.node.insert(list(model.graph.node).index(relu), root)
    relu.input[0] = "root"


def _times_infinity(model: Model) -> None:
    _node(model, "Gemm").attribute.append(helper.make_attribute("alpha", float("-inf")))


def _past_the_largest_float(model: Model) -> None:
    gemm = _node(model, "Gemm")
    gemm.attribute.append(helper.make_attribute("alpha", 3e38))
    tensor = next(t for t in model.graph.initializer if t.name == gemm.input[1])
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 100, tensor.name))


def _scale_divided_by_zero(model: Model) -> None:
    reader = _node(model, "DequantizeLinear")
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    divided = helper.make_node("Div", [reader.input[1], "nothing"], ["divided"])
    model.graph.node.insert(0, divided)
    reader.input[1] = "divided"


def _preprocessing_refused(model: Model) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == "preprocess")
    entry.value = '{"mean":[1,1,[1]],"scale":0.0078125,"size":6}'


def _given_by_nothing(model: Model) -> None:
    _node(model, "Relu").input[0] = "nothing"


FOUND = [
    ("nncf", _untouched),
    ("nncf", _one_scale_of_minus_10_to_the_38),
    ("quantised transformer", _weight_scales_of_minus_1),
    ("quantised external", _unknown_fact_of_external_data),
    ("conv", _one_weight_of_10_to_the_26),
    ("dynamic", _input_scale_of_2_to_the_95),
    ("int8", _weight_scale_past_float32),
    ("int8", _roots_of_negative_numbers),
    ("dynamic", _attribute_of_no_function),
    ("foreign", _padded_past_32_bits),
    ("dynamic", _location_too_long),
    ("ternary", _numbers_said_to_be_text),
    ("foreign", _scale_computed),
    ("int8", _quantised_in_float16),
    ("int8", _branch_that_reads_the_pooled),
    ("foreign", _branch_that_reads_the_pooled),
    ("dynamic", _quantised_in_float16),
    ("conv", _size_of_the_data),
    ("conv", _weight_of_one_axis),
    ("conv", _function_of_fewer_inputs),
    ("conv", _bias_near_infinity),
    ("conv", _names_that_a_terminal_obeys),
    ("int8", _names_that_a_terminal_obeys),
    ("int8", _metadata_of_another_form),
    ("mix", _times_infinity),
    ("mix", _past_the_largest_float),
    ("int8", _scale_divided_by_zero),
    ("nncf", _preprocessing_refused),
    ("island", _given_by_nothing),
]


@pytest.mark.parametrize(("kind", "change"), FOUND)
def test_found(kind: str, change: Callable[[Model], None], tmp_path: Path) -> None:
    model = Model.FromString(small_model(kind))
    change(model)
    data = model.SerializeToString()
    assert data != small_model(kind)
    mutant = Mutant(kind, data, (kind, RECIPES[1], True, weights_beside(kind)))
    assert Models(of_bytes=False).judge(mutant, tmp_path).problem is None
    if kind in QUANTISED_KINDS:
        verified = command("verify", tmp_path / "m.onnx", tmp_path / "x.npy", "--threads", 1)
        assert verified.code != 1, verified.out


def test_the_judge_tells_a_silent_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = Mutant("int8", small_model("int8"), ("int8", RECIPES[1], False, b""))
    assert Models(of_bytes=False).judge(mutant, tmp_path).problem is None

    def verified(*_: object) -> Done:
        return Done(0, "0 mismatches in 12 elements of 3 images (0 beyond exact float32)\n", "")

    def zeros(*_: object) -> dict[str, np.ndarray]:
        return {"y": np.zeros((3, 4), np.float32)}

    monkeypatch.setattr("mutants_of_models.command", verified)
    monkeypatch.setattr("mutants_of_models.Session.run_all", zeros)
    assert "differs silently" in str(Models(of_bytes=False).judge(mutant, tmp_path).problem)


def test_data_in_a_file_of_an_impossible_name_are_left_as_they_are() -> None:
    model = onnx.ModelProto.FromString(small_model("conv"))
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="W" * 65536)
    for seed in range(40):  # some of which change elements
        changed_model(model.SerializeToString(), Random(seed))
