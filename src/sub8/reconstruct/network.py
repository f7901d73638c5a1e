"""The method "reconstruct": walk a network block by block, solve, then fit the block's integers
together.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch

from sub8.errors import UnsupportedModelError
from sub8.progress import Work
from sub8.ptq.activation_cache import FloatArray, KeptQuantised
from sub8.ptq.calibrated_network import CalibratedNetwork
from sub8.ptq.calibration_pass import CalibrationPass, CalibrationResult, Visit
from sub8.ptq.integer_limits import fits_int32
from sub8.ptq.quantiser import LayerQuantiser
from sub8.recipe import Recipe
from sub8.reconstruct.blocks import Block, find_blocks
from sub8.reconstruct.descent import Calibrated, Samples, descend
from sub8.reconstruct.limit import Limit
from sub8.reconstruct.soft import SoftBlock, SoftLayer

Streamed = dict[str, tuple[Sequence[FloatArray], KeptQuantised]]


def reconstruct(
    network: CalibratedNetwork, recipe: Recipe, quantiser: LayerQuantiser, work: Work = Work()
) -> CalibrationResult:
    """Quantise every layer as ``calibration_pass`` does with the second-order ``quantiser``, then
    improve block after block.

    A block's integers, scales and biases are fitted to the least mean squared error of its result
    against the float model's (BRECQ, arXiv 2102.05426), on the inputs that the already finished
    blocks before it give.
    Every eighth image is held out: a block that gets no better on these keeps the second-order
    solution. So do blocks of 8-bit layers alone, and blocks that hold float islands, weights that
    other layers share, nodes without a PyTorch form or reshapes to a fixed number of images.
    The method "auto" begins no fit once the recipe's minutes are over, and where it is interrupted
    (Ctrl-C): the rest of the network then has the second-order solution.
    All formats must be static. The result depends on ``recipe.reconstruction.seed``, not on the
    state of PyTorch's own random numbers."""
    blocks = find_blocks(network.model, network.groups)
    outputs = [str(value.name) for value in network.model.graph.outputs]
    calibration = CalibrationPass(network, keep=outputs, threads=work.threads)
    auto, steps = recipe.method == "auto", recipe.reconstruction.steps
    limit = Limit(recipe.reconstruction.minutes if auto else None)
    with _torch_threads(work.threads):
        for number, block in enumerate(blocks):

            def told(done: int, number: int = number) -> None:
                work.tell("blocks", number * steps + done, len(blocks) * steps)

            fit = _Fit(network, recipe, calibration, block)
            try:
                fit.run(quantiser, told, limit)
            except KeyboardInterrupt:
                if not auto or limit.over:  # a second one ends it
                    raise
                limit.stop()
                fit.run(quantiser, told, limit)
            told(steps)
    return calibration.calibrated


class _Fit:
    """One block: its groups, and what the calibration's streams hold before it."""

    def __init__(
        self,
        network: CalibratedNetwork,
        recipe: Recipe,
        calibration: CalibrationPass,
        block: Block,
    ):
        self._groups = [network.groups[place] for place in block.places]
        self._formats, self._recipe = network.formats, recipe
        self._calibration, self._block = calibration, block
        self._before = self._streamed(block.inputs)

    def run(self, quantiser: LayerQuantiser, told: Callable[[int], None], limit: Limit) -> None:
        """Walk through the block; the calibration then holds the better one of its two
        solutions, or the one that the limit leaves.
        """
        self._walk(quantiser)
        if limit.over:
            return
        layers = self._calibration.calibrated.layers
        solution = {group.name: layers[group.name] for group in self._groups if group.layer}
        terms = [term for layer in solution.values() for term in layer.terms]
        if all(term.format.eight_bit for term in terms) or any(
            group.kind == "island" or group.name in self._calibration.shared
            for group in self._groups
        ):
            return
        try:
            block = SoftBlock(self._groups, self._block.outputs, solution, self._formats)
        except UnsupportedModelError:
            return
        streams = self._calibration.streams
        data = Calibrated(
            {name: Samples.of(seen) for name, (_, seen) in self._before.items()},
            [Samples(streams.results(name)) for name in self._block.outputs],
        )
        if not data.suits(block):
            return
        before = data.error(block)
        descend(block, data, self._recipe.reconstruction, told)
        if data.error(block) < before and all(self._fits(layer) for layer in block.layers):
            found = block.results()
            self._walk(lambda layer: found[layer.name])

    def _fits(self, layer: SoftLayer) -> bool:
        found = layer.result()
        return fits_int32(found.terms, found.real_bias, self._formats.get(layer.group.inputs[0]))

    def _walk(self, visit: Visit) -> None:
        for name, (real, seen) in self._before.items():
            self._calibration.streams.put(name, real, seen)
        for place in self._block.places:
            self._calibration.step(place, visit)

    def _streamed(self, names: Iterable[str]) -> Streamed:
        streams = self._calibration.streams
        return {name: (streams.float_values[name], streams.quantised[name]) for name in names}


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    """PyTorch's own number of threads, put back afterwards."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
