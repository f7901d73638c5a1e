"""The verb ``inspect``: what every layer of a model is made of, and how many multiplications it
replaces.

A ternary cluster needs one multiplication for its N*K*K accumulations, so a ternary layer replaces
``1 - clusters * outputs / parameters`` of its multiplications (arXiv 1701.08978, section 3); 4- and
8-bit layers replace none.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sub8.engine.compile import compile_plan
from sub8.engine.plan.operators import Conv, Island, Linear, Plan
from sub8.engine.reader.prepare import prepare
from sub8.engine.session import Session
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph.count import LayerCount, LayerSize, count_layers, replaced_multiplications
from sub8.graph.groups import Group, find_groups
from sub8.graph.naming import node_name
from sub8.graph.normalise import normalise
from sub8.graph.reasons import why_float
from sub8.model_file import InputShapes, ModelFile, ModelSource, plain_shapes
from sub8.numerics.cluster import WeightTerm
from sub8.numerics.dfp import Format
from sub8.numerics.rounding import divide_up
from sub8.recipe import Recipe, WeightFormat

FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class LayerReport(LayerSize):
    """One layer with weights.

    kind: float, ternary, int4 or int8, joined by "+" where a layer sums several terms. cluster: N,
    input channels per scale. Exponents: powers of two of the input, the weights and the output;
    None where there is none, "dynamic" where it is taken at run time. replaced: the part of the
    multiply-accumulates that needs no multiplication. bytes: weights, scales and bias as stored.
    signal_to_noise: dB of the layer's output, measured in calibration, where known.
    """

    kind: str
    cluster: int | None
    input_exponent: int | str | None = None
    weight_exponent: int | None = None
    output_exponent: int | str | None = None
    replaced: float
    bytes: int
    signal_to_noise: float | None = None


@dataclass(frozen=True)
class IslandCost:
    """Why a float island is one, and what it takes of a run: milliseconds, and its part, 0..1;
    None where the model is not quantised yet, or does not run on random inputs.
    """

    reason: str
    milliseconds: float | None = None
    part: float | None = None


@dataclass(frozen=True)
class Inspection:
    """All layers, the float islands (names of their nodes), their costs, and the totals.

    replaced_as_published: for a float model planned with ternary weights, the count as the paper
    takes it: every layer but the first is ternary, whatever the recipe keeps in 8 bits.
    choice: of a model quantised to a budget, what its weights were chosen from (metadata
    ``sub8.choice``)."""

    layers: tuple[LayerReport, ...]
    islands: tuple[tuple[str, ...], ...]
    island_costs: tuple[IslandCost, ...]
    input_shapes: dict[str, tuple[int, ...]]
    replaced_as_published: float | None = None
    choice: dict[str, Any] | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of the first input."""
        return next(iter(self.input_shapes.values()))

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def replaced(self) -> float:
        """The part of all multiplications that the clusters replace, 0..1."""
        return sum(layer.macs * layer.replaced for layer in self.layers) / max(self.macs, 1)

    @property
    def bytes(self) -> int:
        return sum(layer.bytes for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        totals: dict[str, Any] = {
            "macs": self.macs,
            "replaced": self.replaced,
            "bytes": self.bytes,
        }
        if self.replaced_as_published is not None:
            totals["replaced_as_published"] = self.replaced_as_published
        found: dict[str, Any] = {
            "layers": [asdict(layer) for layer in self.layers],
            "islands": [list(nodes) for nodes in self.islands],
            "island_costs": [asdict(cost) for cost in self.island_costs],
            "input_shape": plain_shapes(self.input_shapes),
            "totals": totals,
        }
        if self.choice is not None:
            found["choice"] = self.choice
        return found


def inspect(
    model: ModelSource,
    *,
    recipe: Recipe | None = None,
    input_shape: InputShapes | None = None,
) -> Inspection:
    """Describe a model layer by layer.

    recipe: for a float model, what it would become.
    input_shape: ``[B, C, H, W]`` to count for, where the model leaves its size open, or shapes by
    input; counts are per image. Raises InputError and UnsupportedModelError.
    """
    opened = ModelFile.open(model)
    shapes = opened.input_shapes(input_shape)
    if opened.quantised_in_any_form:
        if recipe is not None:
            raise InputError(
                f"{opened.name}: already quantised; a recipe says what a float model would become"
            )
        return _inspect_quantised(opened, shapes)
    return _inspect_float(opened, shapes, recipe)


def float_islands(model: ModelSource) -> tuple[tuple[str, ...], ...]:
    """The names of the nodes that have no integer form, of a quantised model or of a float one once
    quantised.
    """
    opened = ModelFile.open(model)
    if opened.quantised_in_any_form:
        return tuple(island.nodes for island in compile_plan(opened.model).islands())
    return _islands_of(find_groups(normalise(opened.model)))


def _islands_of(groups: Sequence[Group]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(node_name(node) for node in group.nodes) for group in groups if group.kind == "island"
    )


def _inspect_quantised(opened: ModelFile, shapes: dict[str, tuple[int, ...]]) -> Inspection:
    plan = compile_plan(opened.model)
    # The plan's names are those of the prepared graph.
    counts = {count.name: count for count in count_layers(prepare(opened.model).model, shapes)}
    measured = opened.signal_to_noise
    layers = [
        _quantised_layer(step, plan, counts[step.name], measured.get(step.name))
        for step in plan.operators
        if isinstance(step, (Conv, Linear)) and step.name in counts
    ]
    islands = [step for step in plan.operators if isinstance(step, Island)]
    for island in islands:
        layers += [_float_layer(counts[node], None) for node in island.nodes if node in counts]
    nodes = tuple(island.nodes for island in islands)
    costs = _island_costs(opened, islands, shapes)
    return Inspection(tuple(layers), nodes, costs, shapes, choice=opened.choice)


def _island_costs(
    opened: ModelFile, islands: Sequence[Island], shapes: dict[str, tuple[int, ...]]
) -> tuple[IslandCost, ...]:
    """Of one run on random inputs, after one that makes its programs."""
    if not islands:
        return ()
    try:
        session, x = Session(opened.model), opened.random_inputs(shapes)
        session.run_all(x)
        steps = session.profile(x)
    except (InputError, UnsupportedModelError):
        return tuple(IslandCost(island.reason) for island in islands)
    total = sum(step.milliseconds for step in steps)
    taken = {step.name: step.milliseconds for step in steps if step.operator == "Island"}
    return tuple(
        IslandCost(island.reason, taken[island.name], taken[island.name] / max(total, 1e-9))
        for island in islands
    )


def _quantised_layer(
    step: Conv | Linear, plan: Plan, count: LayerCount, noise: float | None
) -> LayerReport:
    finest = step.terms[0]
    return LayerReport(
        name=step.name,
        operator=type(step).__name__,
        shape=finest.values.shape,
        input=count.input,
        output=count.output,
        kind="+".join(term.kind for term in step.terms),
        cluster=finest.cluster,
        input_exponent=_exponent(plan.formats[step.x]),
        weight_exponent=min(term.exponent for term in step.terms),
        output_exponent=_exponent(plan.formats[step.out]),
        macs=count.macs,
        replaced=max(0.0, 1.0 - sum(_multiplied(term) for term in step.terms)),
        bytes=sum(_stored_bytes(term) for term in step.terms) + step.bias.nbytes,
        signal_to_noise=noise,
    )


def _inspect_float(
    opened: ModelFile, shapes: dict[str, tuple[int, ...]], recipe: Recipe | None
) -> Inspection:
    model = normalise(opened.model)
    counts = {count.name: count for count in count_layers(model, shapes)}
    layers: list[LayerReport] = []
    groups = find_groups(model, () if recipe is None else recipe.keep_float)
    for group in groups:
        if group.layer is None:
            layers += [
                _float_layer(counts[str(node.name)], None)
                for node in group.nodes
                if str(node.name) in counts
            ]
            continue
        name = str(group.layer.name)
        if name not in counts:  # its size depends on the data
            continue
        fmt = None
        if recipe is not None:
            fmt = recipe.weight_format(
                name, first=group.first, last=group.last, depthwise=group.depthwise
            )
        layers.append(_float_layer(counts[name], fmt))
    published = None
    if recipe is not None and not recipe.weights.integers.multiplies and recipe.weights.terms == 1:
        cluster = sys.maxsize if recipe.weights.cluster == "all" else recipe.weights.cluster
        first = frozenset(str(g.layer.name) for g in groups if g.layer is not None and g.first)
        published = replaced_multiplications(list(counts.values()), cluster, first)
    costs = tuple(IslandCost(why_float(g.nodes)) for g in groups if g.kind == "island")
    return Inspection(tuple(layers), _islands_of(groups), costs, shapes, published)


def _float_layer(count: LayerCount, fmt: WeightFormat | None) -> LayerReport:
    """A float layer, counted as if its weights had the given format."""
    outputs, inputs = (*count.shape, 1, 1)[:2]
    stored, replaced, cluster, kind = count.parameters * FLOAT_BYTES, 0.0, None, "float"
    if fmt is not None:
        kind, cluster = fmt.kinds, fmt.channels(inputs)
        scales = outputs * divide_up(inputs, cluster)
        weights = math.prod(count.shape)
        term = fmt.integers.stored_bytes(weights) + scales
        stored = fmt.terms * term + outputs * FLOAT_BYTES
        if not fmt.integers.multiplies:
            replaced = max(0.0, 1.0 - fmt.terms * scales / weights)
    return LayerReport(**count.size(), kind=kind, cluster=cluster, replaced=replaced, bytes=stored)


def _multiplied(term: WeightTerm) -> float:
    """The part of a term's accumulations that needs a multiplication."""
    return 1.0 if term.format.multiplies else term.alpha.size / term.values.size


def _stored_bytes(term: WeightTerm) -> int:
    return term.format.stored_bytes(term.values.size) + term.alpha.nbytes


def _exponent(fmt: Format | None) -> int | str | None:
    if fmt is None:
        return None
    return "dynamic" if fmt.dynamic else fmt.exponent
