"""A weight that several layers read: one solution, which serves them all."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest

from sub8.engine.session import Session
from sub8.graph.groups import find_groups
from sub8.graph.qdq import QuantizedLayer, write_qdq
from sub8.oracle import OnnxRuntime
from sub8.progress import Work
from sub8.ptq import quantiser
from sub8.ptq.calibration_pass import CalibrationResult
from sub8.ptq.prepare import PreparedNetwork, prepare_network
from sub8.ptq.samples import Samples
from sub8.ptq.shared_weights import shared_weights
from sub8.recipe import Int4, Int8, Recipe, Ternary, weight_format
from sub8.solve import solve_layers

RECIPES = {
    "int8": Recipe(weights=Int8()),
    "int4": Recipe(weights=Int4(4), method="hessian"),
    "two terms": Recipe(weights=weight_format("ternary", 4, terms=2), method="hessian"),
    "optimal": Recipe(weights=Ternary(4), method="optimal"),
    "paper": Recipe(weights=Int8(), method="paper"),
    "reconstruct": Recipe(weights=Ternary(4), method="reconstruct"),
}
RNG = np.random.default_rng(11)


def weight(*shape: int) -> np.ndarray:
    spread = np.sqrt(2.0 / np.prod(shape[1:]))
    return (RNG.normal(size=shape) * spread).astype(np.float32)


STEM, W, LAST = weight(8, 3, 3, 3), weight(8, 8, 3, 3), weight(5, 8)
BIASES = {f"b{place}": RNG.normal(size=8).astype(np.float32) / 4 for place in range(10)}


def unrolled(net, places: int = 3, **constants: np.ndarray) -> ir.Model:
    """A convolution again and again, the last time with a residual and dilated."""
    steps = "".join(
        f"a{i} = Conv <pads = [1,1,1,1]> (r{i}, w, b{i})\n r{i + 1} = Relu(a{i})\n"
        for i in range(places - 1)
    )
    end = places - 1
    body = f"""
        s = Conv <pads = [1,1,1,1]> (x, stem)
        r0 = Relu(s)
        {steps}
        a{end} = Conv <pads = [2,2,2,2], dilations = [2,2]> (r{end}, w, b{end})
        t = Add(a{end}, r0)
        r = Relu(t)
        g = GlobalAveragePool(r)
        f = Flatten(g)
        y = Gemm <transB = 1> (f, last)
    """
    biases = {f"b{place}": BIASES[f"b{place}"] for place in range(places)}
    return net(body, stem=STEM, w=W, last=LAST, **(biases | constants))


def solved(
    model: ir.Model, x: np.ndarray, recipe: Recipe
) -> tuple[PreparedNetwork, CalibrationResult]:
    network = prepare_network(model, Samples(x), recipe, work=Work(threads=1))
    return network, solve_layers(network, recipe, work=Work(threads=1))


def numbers(layer: QuantizedLayer) -> tuple[object, ...]:
    return tuple((t.values.tobytes(), t.alpha.tobytes(), t.exponent) for t in layer.terms)


def shared(model: ir.Model, layers: Mapping[str, QuantizedLayer]) -> list[QuantizedLayer]:
    """The layers of weight ``w``, in execution order."""
    return [layers[group.name] for group in find_groups(model) if _reads_w(group)]


def _reads_w(group) -> bool:
    return group.layer is not None and np.array_equal(group.weight(), W)


@pytest.mark.parametrize("recipe", RECIPES)
def test_one_solution_for_all_layers_of_a_weight(net, images, recipe):
    model = unrolled(net)
    network, walked = solved(model, images, RECIPES[recipe])
    uses = shared(model, walked.layers)
    assert len(uses) == 3
    assert len({numbers(use) for use in uses}) == 1
    assert len({use.bias.tobytes() for use in uses}) == 3
    artifact = write_qdq(network.model, walked.layers, network.formats, {})
    stored = [
        v.const_value for v in artifact.graph.initializers.values() if v.const_value is not None
    ]
    assert sum(tensor.size == W.size for tensor in stored) == len(uses[0].terms)
    theirs = OnnxRuntime(ir.to_proto(artifact).SerializeToString(), threads=1, optimise=False).run(
        images
    )
    np.testing.assert_array_equal(Session(artifact, threads=1).run(images), theirs)


def test_the_solution_serves_layers_of_other_inputs(net, monkeypatch):
    """Two heads on different halves of the channels: neither's statistics alone tell what both
    need.
    """
    upper = np.repeat(np.float32([1, 0.02]), 4).reshape(1, 8, 1, 1)
    model = net(
        """
        s = Conv <pads = [1,1,1,1]> (x, stem)
        r = Relu(s)
        r1 = Mul(r, upper)
        r2 = Mul(r, lower)
        y1 = Conv (r1, w)
        y2 = Conv (r2, w)
        y = Concat <axis = 1> (y1, y2)
        """,
        stem=STEM,
        w=W,
        upper=upper,
        lower=upper[:, ::-1].copy(),
    )
    x = np.random.default_rng(3).normal(size=(32, 3, 8, 8)).astype(np.float32)
    recipe = Recipe(weights=Ternary(4), first=Int8(), last=Ternary(4), method="hessian")

    def noise() -> list[float]:
        """Decibels of both heads."""
        walked = solved(model, x, recipe)[1]
        heads = [group.name for group in find_groups(model) if _reads_w(group)]
        assert len({numbers(walked.layers[name]) for name in heads}) == 1
        return [walked.signal_to_noise[name] for name in heads]

    pooled = noise()
    monkeypatch.setattr(quantiser, "MOST_USES", 1)
    by_the_first = noise()
    assert min(pooled) > min(by_the_first) + 1


def test_layers_of_different_formats_have_their_own_solutions(net, images):
    model = unrolled(net)
    names = [group.name for group in find_groups(model) if _reads_w(group)]
    recipe = Recipe(weights=Int8(), overrides={names[1]: Int4(4)}, method="hessian")
    uses = shared(model, solved(model, images, recipe)[1].layers)
    assert numbers(uses[0]) == numbers(uses[2]) != numbers(uses[1])


@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_layer_whose_sums_need_other_units_does_not_share(net, images, place):
    """A huge bias, be it of the first layer, of one whose statistics are asked for or of
    another.
    """
    model = net(
        "".join(f"a{i} = Conv <pads = [1,1,1,1]> (r, w, b{i})\n" for i in range(10)).join(
            [
                "s = Conv <pads = [1,1,1,1]> (x, stem)\n r = Relu(s)\n",
                f"y = Concat <axis = 1> ({', '.join(f'a{i}' for i in range(10))})",
            ]
        ),
        stem=STEM,
        w=W,
        **(BIASES | {f"b{place}": np.full(8, 1 << 14, np.float32)}),
    )
    uses = shared(model, solved(model, images, Recipe(weights=Int8(), last=Int8()))[1].layers)
    assert len(uses) == 10
    alone = uses.pop(place)
    assert len({numbers(use) for use in uses}) == 1
    assert alone.terms[0].exponent > uses[0].terms[0].exponent + 3


def test_the_same_numbers_in_another_form_are_another_weight(net):
    square = weight(8, 8)
    model = net(
        """
        g = GlobalAveragePool(x)
        f = Flatten(g)
        a = MatMul(f, m)
        b = Relu(a)
        c = Gemm <transB = 1> (b, m)
        d = Relu(c)
        e = MatMul(d, m)
        h = Relu(e)
        k = MatMul(h, n)
        y = Relu(k)
        """,
        x="b,8,4,4",
        m=square,
        n=np.nextafter(square, np.float32(9)),
    )
    found = shared_weights(find_groups(model))
    assert len(found) == 2 and len(set(found.values())) == 1
