"""Walk a network group by group, the float and the quantised one side by side, on cached
activations.

Each layer is thus quantised on the inputs that it will really get: those of the already quantised
layers before it. Only tensors that are still to be read are kept, the quantised side as 8-bit
integers; accumulators that do not fit into memory beside them are computed again for every look at
them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import InputError
from sub8.graph.groups import Group
from sub8.graph.qdq import QuantizedLayer
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.oracle import OnnxRuntime
from sub8.progress import Work
from sub8.ptq import submodel
from sub8.ptq.activation_cache import (
    ActivationCache,
    FloatArray,
    Kept,
    KeptQuantised,
    Memory,
    Quantised,
    Repeated,
    signal_to_noise,
)
from sub8.ptq.calibrated_network import CalibratedNetwork
from sub8.ptq.correct import ChannelMeans, ChannelMoments
from sub8.ptq.shared_weights import shared_weights

# From so many products for one element on, reading a result takes less time than computing it.
COSTLY_PRODUCTS = 256
# A signal-to-noise ratio needs no more than so many batches, taken evenly from all.
COMPARED_BATCHES = 8


# The residual operand of a layer in both networks.
Residuals = tuple[Sequence[FloatArray], KeptQuantised]


@dataclass(eq=False)
class CalibratedLayer:
    """One weighted layer with everything the calibration data tells about it; what
    ``calibration_pass`` hands to ``visit``.

    weight: float32 ``[O, I, *kernel]``. bias: float32 ``[O]``. input_format, output_format: of the
    integers it reads and writes (output_format None: float32 logits).
    float_accumulators: the float model's product plus bias, before residual and clamp, one array
    per batch.
    float_moments: of their channels. target_means: what the accumulators' channels should be on
    average, float64 ``[O]``: as the float model's, and making up for what the residual operand
    lacks. largest: their largest magnitude in every image, ``[B]`` per
    batch.
    largest_of_channels: the same of every output channel, over all images, ``[O]`` (of
    float32 results only). sharing: all layers of this one's weight in execution order, itself
    among them.
    """

    group: Group
    weight: FloatArray
    bias: FloatArray
    input_format: Format | None
    output_format: Format | None
    float_accumulators: Repeated
    float_moments: ChannelMoments
    target_means: NDArray[np.float64]
    largest: list[FloatArray]
    largest_of_channels: FloatArray
    sharing: tuple[Group, ...]
    _model: ir.Model
    _quantised: KeptQuantised
    _residuals: Residuals | None
    _threads: int | None
    _expect: "Callable[[Sequence[Group]], list[CalibratedLayer]] | None" = None
    _cached: tuple[FloatArray, Repeated] | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.group.name

    @property
    def channel_axis(self) -> int:
        """The axis of accumulators that counts output channels."""
        return submodel.channel_axis(self.group)

    def inputs(self) -> Iterator[FloatArray]:
        """The quantised network's input, real values float32 ``[B, ...]``, batch by batch."""
        return iter(self._quantised.reals())

    def input_scales(self) -> Iterator[FloatArray]:
        """The scale of every image's input, float32 ``[B]`` (ones where the input stays float)."""
        return self._quantised.scales()

    def residual_errors(self) -> Iterator[FloatArray | None]:
        """Float minus quantised residual operand, batch by batch; None without a residual."""
        if self._residuals is None:
            yield from (None for _ in self._quantised)
        else:
            real, quantised = self._residuals
            for place in range(len(real)):
                yield real[place] - quantised.real(place)

    def residual_operands(self) -> Iterator[FloatArray | None]:
        """The residual operand in the quantised network, batch by batch; None without one."""
        if self._residuals is None:
            yield from (None for _ in self._quantised)
        else:
            yield from self._residuals[1].reals()

    def expected(self, groups: Sequence[Group]) -> "list[CalibratedLayer]":
        """Layers behind this one as they will be if the network before them loses nothing.

        Their inputs, which the layers before them still have to make, are the float model's in 8
        bits.
        """
        return self._expect(groups) if self._expect is not None and groups else []

    def accumulators(self, weight: FloatArray) -> Repeated:
        """The product of ``weight`` with the quantised inputs, without bias, one array per batch.

        The result for the latest weight is kept, so that asking again costs nothing where memory
        suffices."""
        if self._cached is None or not np.array_equal(self._cached[0], weight):
            self._cached = None
            session = submodel.product(self._model, self.group, weight, self._threads)
            memory = self.float_accumulators.memory
            costly = weight[0].size >= COSTLY_PRODUCTS
            self._cached = (
                weight,
                _repeated(session, self._quantised.reals(), memory, costly=costly),
            )
        return self._cached[1]


Visit = Callable[[CalibratedLayer], QuantizedLayer]


@dataclass(frozen=True)
class CalibrationResult:
    """layers: by node name. signal_to_noise: decibels of each layer's 8-bit result against the
    float model's.
    """

    layers: dict[str, QuantizedLayer]
    signal_to_noise: dict[str, float]


def calibration_pass(
    network: CalibratedNetwork, visit: Visit, work: Work = Work()
) -> CalibrationResult:
    """Quantise every layer in topological order. ``visit`` decides on each layer; its answer feeds
    the layers behind.
    """
    calibration = CalibrationPass(network, threads=work.threads)
    for place in range(len(network.groups)):
        calibration.step(place, visit)
        work.tell("layers", place + 1, len(network.groups))
    return calibration.calibrated


class CalibrationPass:
    """The walk, one group at a time: ``step(0, visit)``, ``step(1, visit)`` and so on.

    streams: both networks' activations so far. calibrated: the answers so far. keep: names of
    tensors whose activations stay although no later group reads them. shared: layers that have a
    weight in common (``shared_weights``)."""

    def __init__(
        self,
        network: CalibratedNetwork,
        *,
        keep: Iterable[str] = (),
        threads: int | None = None,
    ):
        self._model, self._groups = network.model, network.groups
        self._inputs, self._formats = inputs, formats = network.inputs, network.formats
        self._threads = threads
        self.streams = ActivationCache(self._groups, keep)
        self.calibrated = CalibrationResult({}, {})
        self.shared = shared_weights(self._groups)
        self._memory = Memory.beside(*inputs.by_name.values())
        for name, batches in inputs.by_name.items():
            quantised = (Quantised.of(batch, formats.get(name)) for batch in batches)
            self.streams.put(name, batches, KeptQuantised.of(quantised, self._memory))

    def step(self, place: int, visit: Visit) -> None:
        """Go through the group at ``place``. A step may be taken again while the streams hold its
        inputs.
        """
        group, streams = self._groups[place], self.streams
        if group.kind == "layer":
            self._walk_layer(group, place, visit)
        else:
            _walk_other(
                self._model,
                group,
                len(self._inputs),
                self._formats,
                streams,
                self._threads,
                self._memory,
            )
        for source in group.inputs:
            streams.drop(source, place)

    def _walk_layer(self, group: Group, place: int, visit: Visit) -> None:
        streams, memory, x = self.streams, self._memory, group.inputs[0]
        residuals = None
        if group.residual is not None:
            residuals = streams.float_values[group.residual], streams.quantised[group.residual]
        ending = submodel.ending(self._model, group, self._threads)
        real_results, quantised_results = Kept(memory), KeptQuantised(memory)

        def finish(real: FloatArray) -> None:
            if ending is not None:
                real = ending.run(real, residuals[0][len(real_results)] if residuals else None)
            real_results.append(real)

        layer = self._calibrated(
            group, streams.float_values[x], streams.quantised[x], residuals, finish
        )
        layer._expect = self._expected
        streams.drop_float(x, place)
        chosen = visit(layer)
        self.calibrated.layers[group.name] = chosen
        bias = chosen.real_bias.astype(np.float32)
        if layer.channel_axis == 1:
            bias = bias[:, None, None]
        products = layer.accumulators(dequantized(chosen.terms))
        del layer
        result_name = group.results[0]
        wanted = streams.wanted(result_name)
        signal = noise = 0.0
        every = -(-len(products) // COMPARED_BATCHES)
        for index in range(len(products)):
            # Batch by batch, the accumulators make room for the results.
            product = products.take(index)
            product += bias
            if ending is not None:
                product = ending.run(product, residuals[1].real(index) if residuals else None)
            quantised = Quantised.of(product, self._formats.get(result_name), memory)
            if index % every == 0:
                more_signal, more_noise = _powers(real_results[index], quantised.real(memory))
                signal, noise = signal + more_signal, noise + more_noise
            if wanted:
                quantised_results.append(quantised)
        self.calibrated.signal_to_noise[group.name] = signal_to_noise(signal, noise)
        streams.put(result_name, real_results, quantised_results)

    def _calibrated(
        self,
        group: Group,
        real: Sequence[FloatArray],
        quantised: KeptQuantised,
        residuals: Residuals | None,
        seen: Callable[[FloatArray], None] | None = None,
    ) -> CalibratedLayer:
        """A layer whose input both networks have as given. seen: gets the float model's
        accumulators, batch by batch; it must leave them as they are.
        """
        x = group.inputs[0]
        names = [str(submodel.accumulator(group).name)]
        session = submodel.piece(self._model, [x], names, self._threads)
        axis = submodel.channel_axis(group)
        moments, largest, of_channels = ChannelMoments(axis), [], np.zeros(1, np.float32)
        float_accumulators = _repeated(session, real, self._memory)
        targets = ChannelMeans(axis)
        for index, found in enumerate(float_accumulators):
            largest.append(_largest_of_images(found))
            if not np.isfinite(largest[-1]).all():
                raise InputError(
                    f"node {group.name!r}: its result is infinite or NaN on the calibration data;"
                    " check the float model and the preprocessing"
                )
            moments.add(found)
            if residuals is not None:
                targets.add(found + (residuals[0][index] - residuals[1].real(index)))
            if group.results[0] not in self._formats:
                rows = np.moveaxis(found, axis, 0)
                highest = np.abs(rows.reshape(len(rows), -1)).max(axis=1, initial=0.0)
                of_channels = np.maximum(of_channels, highest)
            if seen is not None:
                seen(found)
        return CalibratedLayer(
            group=group,
            weight=group.weight(),
            bias=group.bias(),
            input_format=self._formats.get(x),
            output_format=self._formats.get(group.results[0]),
            float_accumulators=float_accumulators,
            float_moments=moments,
            target_means=moments.mean if residuals is None else targets.mean,
            largest=largest,
            largest_of_channels=of_channels,
            sharing=self.shared.get(group.name, (group,)),
            _model=self._model,
            _quantised=quantised,
            _residuals=residuals,
            _threads=self._threads,
        )

    def _expected(self, groups: Sequence[Group]) -> list[CalibratedLayer]:
        """Layers still to come, on the float model's activations in 8 bits."""
        given = self._inputs.by_name
        names = list(dict.fromkeys(name for group in groups for name in group.inputs))
        made = [name for name in names if name not in given]
        real = {name: Kept(self._memory) for name in made}
        seen = {name: KeptQuantised(self._memory) for name in names}
        session = submodel.piece(self._model, list(given), made, self._threads) if made else None
        for feed in self._inputs:
            values = dict(feed)
            if session is not None:
                values |= session.run_all({name: feed[name] for name in session.inputs})
            for name in names:
                seen[name].append(Quantised.of(values[name], self._formats.get(name)))
                if name not in given:
                    real[name].append(values[name])
        streams: dict[str, Residuals] = {
            name: (given.get(name, real.get(name, ())), seen[name]) for name in names
        }
        return [
            self._calibrated(
                group,
                *streams[group.inputs[0]],
                None if group.residual is None else streams[group.residual],
            )
            for group in groups
        ]


def dequantized(terms: Sequence[ClusteredWeight]) -> FloatArray:
    """The real weight that several terms add up to, float32 ``[O, I, *kernel]``."""
    total = terms[0].dequantize()
    for term in terms[1:]:
        total = total + term.dequantize()
    return total


def _repeated(
    session: OnnxRuntime, inputs: Sequence[FloatArray], memory: Memory, *, costly: bool = False
) -> Repeated:
    return Repeated(lambda index: session.run(inputs[index]), len(inputs), memory, costly=costly)


def _powers(real: FloatArray, quantised: FloatArray) -> tuple[float, float]:
    """Sums of squares of a tensor and of its error; in float64 where float32 could not hold
    them.
    """
    flat, error = real.reshape(-1), (quantised - real).reshape(-1)
    largest = float(np.maximum(flat.max(initial=0.0), -flat.min(initial=0.0)))
    if not 1e-12 < largest < 1e12:
        flat, error = flat.astype(np.float64), error.astype(np.float64)
    return float(np.dot(flat, flat)), float(np.dot(error, error))


def _largest_of_images(values: FloatArray) -> FloatArray:
    flat = values.reshape(len(values), -1)
    return np.maximum(flat.max(axis=1, initial=0.0), -flat.min(axis=1, initial=0.0))


def _walk_other(
    model: ir.Model,
    group: Group,
    batches: int,
    formats: Mapping[str, Format],
    streams: ActivationCache,
    threads: int | None,
    memory: Memory,
) -> None:
    session = submodel.piece(model, group.inputs, group.results, threads)
    wanted = [name for name in group.results if streams.wanted(name)]
    results = {name: (Kept(memory), KeptQuantised(memory)) for name in wanted}
    for index in range(batches):
        real = session.run_all({name: streams.float_values[name][index] for name in group.inputs})
        seen = session.run_all({name: streams.quantised[name].real(index) for name in group.inputs})
        for name, (floats, quantised) in results.items():
            floats.append(real[name])
            quantised.append(Quantised.of(seen[name], formats.get(name), memory))
    for name, (floats, quantised) in results.items():
        streams.put(name, floats, quantised)
