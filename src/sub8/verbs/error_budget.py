"""The verb ``error_budget``: how much of a quantised network's error every layer brings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.data import DataSource, ImageRange
from sub8.data.preprocess import Preprocess
from sub8.engine.compile import compile_plan
from sub8.engine.plan.operators import Layer, Plan
from sub8.engine.session import Session
from sub8.errors import InputError
from sub8.graph.groups import Group, find_groups
from sub8.graph.normalise import normalise
from sub8.graph.qdq import QuantizedLayer, write_qdq
from sub8.mixed.output_error import outputs_of, relative_error
from sub8.model_file import ModelFile, ModelSource, refuse_unquantised
from sub8.numerics.accumulators import finest_exponent
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.oracle import OnnxRuntime
from sub8.progress import Progress, Work, logged
from sub8.ptq import submodel
from sub8.ptq.network_inputs import NetworkInputs
from sub8.ptq.prepare import Source, comparison_inputs
from sub8.ptq.samples import Samples

# Errors are means over many outputs, so that few images tell them.
IMAGES = 32


@dataclass(frozen=True)
class Share:
    """What one group of the network, alone, brings into the outputs: error power as a part of their
    variance.

    weights: by its integers in the place of the float weights, None where it has none; without
    what shifts the means of its output channels, which is ``statistics``. That is an error only
    where statistics are not corrected; else it makes up for shifts that earlier layers bring.
    activation: by the 8-bit rounding of its result, None where that stays float32.
    """

    name: str
    weights: float | None
    statistics: float | None
    activation: float | None

    @property
    def error(self) -> float:
        """Of weights and activation."""
        return (self.weights or 0.0) + (self.activation or 0.0)


@dataclass(frozen=True)
class ErrorBudget:
    """Every group that is quantised, in execution order, and the network's inputs before them.

    total: the error of the whole quantised network. Errors of independent sources add up, so the
    shares' sum comes near it where errors are small. images: they were measured on.
    """

    shares: tuple[Share, ...]
    total: float
    images: int

    @property
    def sum(self) -> float:
        """Of all shares."""
        return sum(share.error for share in self.shares)

    @property
    def of_weights(self) -> float:
        """The part of the shares' sum that comes from weights, 0..1."""
        return sum(share.weights or 0.0 for share in self.shares) / self.sum if self.sum else 0.0

    def part(self, share: Share) -> float:
        """Of the shares' sum, 0..1."""
        return share.error / self.sum if self.sum else 0.0

    def largest(self, count: int = 3) -> tuple[Share, ...]:
        """The groups that bring most, most first."""
        return tuple(sorted(self.shares, key=lambda share: share.error, reverse=True)[:count])

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def error_budget(
    quantised: ModelSource,
    model: Source,
    data: DataSource,
    *,
    images: ImageRange = None,
    preprocess: Preprocess | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ErrorBudget:
    """Measure how much of a quantised network's error every layer brings, by quantising one thing
    at a time in the float network.

    quantised: what ``quantize`` made of the float ``model``. data: sample inputs, see
    ``open_dataset``; labels are not needed. images: by default 32, evenly spread.
    Takes two to three runs of the float network a layer. Raises InputError (also where the two are
    not of one network) and UnsupportedModelError.
    """
    work = Work(threads, logged(progress))
    twin = ModelFile.open(quantised)
    refuse_unquantised(twin, "quantise it first (sub8 quantize)")
    source, inputs = comparison_inputs(model, Samples(data, images, preprocess), IMAGES)
    network = normalise(source.model)
    groups = find_groups(network)
    plan = compile_plan(twin.model)
    layers = {step.name: step for step in plan.operators if isinstance(step, Layer)}
    results = [name for group in groups for name in group.results]
    formats = dict(_formats(plan, [*source.input_types, *results]))
    found = {group.name for group in groups if group.layer is not None}
    if not layers or not set(layers) <= found or not formats:
        raise InputError(
            f"{twin.name}: its layers are not those of {source.name}; give the float model that it "
            "was made of"
        )
    reference = outputs_of(network, inputs, threads)

    def error(changed: ir.Model) -> float:
        return relative_error(reference, outputs_of(changed, inputs, threads))

    shares = [
        Share(name, None, None, error(write_qdq(network, {}, {name: formats[name]}, {})))
        for name in source.input_types
        if name in formats
    ]
    for place, group in enumerate(groups):
        mine = {} if group.keeps_format else {n: formats[n] for n in group.results if n in formats}
        weights = statistics = activation = None
        if group.name in layers:
            alone = write_qdq(network, {group.name: _integers(layers[group.name], plan)}, {}, {})
            whole = error(alone)
            statistics = whole * _shift(network, alone, group, inputs, threads)
            weights = whole - statistics
        if mine:
            activation = error(write_qdq(network, {}, mine, {}, [group]))
        if weights is not None or activation is not None:
            shares.append(Share(group.name, weights, statistics, activation))
        work.tell("error budget", place + 1, len(groups))
    session = Session(twin.model, threads=threads)
    runs = [session.run_all(feed) for feed in inputs]
    reached = [np.concatenate([run[name].reshape(-1) for run in runs]) for name in session.outputs]
    return ErrorBudget(tuple(shares), relative_error(reference, reached), inputs.images)


def _formats(plan: Plan, tensors: Sequence[str]) -> Iterator[tuple[str, Format]]:
    """The static formats of the float network's tensors, which ``write_qdq`` names after them."""
    for name in tensors:
        fmt = plan.formats.get(f"{name}.integers")
        if fmt is not None and fmt.exponent is not None:
            yield name, fmt


def _integers(layer: Layer, plan: Plan) -> QuantizedLayer:
    terms = tuple(
        ClusteredWeight(
            term.kind, term.values, term.alpha, term.exponent, term.cluster, term.channel_scale
        )
        for term in layer.terms
    )
    exponent = layer.bias_exponent
    if exponent is None:
        source = plan.formats[layer.x]
        assert source is not None and source.exponent is not None, "static, of sub8's own"
        exponent = source.exponent + finest_exponent(terms)
    return QuantizedLayer(terms, layer.bias, exponent)


def _shift(
    network: ir.Model,
    changed: ir.Model,
    group: Group,
    inputs: NetworkInputs,
    threads: int | None,
) -> float:
    """The part of the error of a layer's accumulators that is a shift of their channels' means,
    0..1.
    """
    assert group.layer is not None
    name, axis = str(submodel.accumulator(group).name), submodel.channel_axis(group)
    before = submodel.returning(network, [name], threads, optimise=False)
    # Where the float layer has no bias, ``write_qdq`` puts one behind a product.
    biased = f"{group.name}.sum"
    made = {value.name for node in changed.graph for value in node.outputs}
    found = biased if biased in made else name
    after = submodel.returning(changed, [found], threads, optimise=False)
    count, power, sums = 0, 0.0, np.zeros(())
    for feed in inputs:
        a, b = (_only(one, feed) for one in (before, after))
        difference = np.moveaxis(b.astype(np.float64) - a, axis, 0)
        difference = difference.reshape(len(difference), -1)
        count += difference.shape[1]
        power += float(np.sum(difference**2))
        sums = sums + difference.sum(axis=1)
    return float(np.sum(sums**2)) / count / power if power else 0.0


def _only(session: OnnxRuntime, feed: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The one output."""
    (result,) = session.run_all({name: feed[name] for name in session.inputs}).values()
    return result
