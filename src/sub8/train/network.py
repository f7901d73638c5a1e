"""A network in low precision: one twin per group of the graph, trained as any PyTorch module."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir
import torch
from torch import Tensor, nn

from sub8.graph.groups import Group
from sub8.graph.qdq import QuantizedLayer
from sub8.numerics.dfp import Format
from sub8.oracle import OnnxRuntime
from sub8.ptq import submodel
from sub8.ptq.formats import SharedFormats, moved
from sub8.simulate.activation import ActivationQuantiser
from sub8.simulate.operators import Nodes
from sub8.train.layer import MOMENTUM, TrainableLayer

TRACK_EVERY = 16


class TrainableGroup(nn.Module):
    """A group without weights: PyTorch functions while training, exact values in evaluation mode.

    Element-wise tables and float islands are evaluated by ONNX Runtime, as the engine does.
    """

    def __init__(self, model: ir.Model, group: Group):
        super().__init__()
        self.group, self._model = group, model
        self.nodes = Nodes(group.nodes, group.results)
        self._float = group.kind in ("table", "island")
        self._session: OnnxRuntime | None = None

    def forward(self, values: Mapping[str, Tensor]) -> list[Tensor]:
        """The group's real results before their activation quantisers."""
        if self.training or not self._float:
            return self.nodes(values)
        if self._session is None:
            self._session = submodel.piece(
                self._model, self.group.inputs, self.group.results, threads=None
            )
        feeds = {name: values[name].float().cpu().numpy() for name in self.group.inputs}
        found = self._session.run_all(feeds)
        place = next(iter(values.values()))
        return [
            torch.from_numpy(found[name]).to(place.device, torch.float64)
            for name in self.group.results
        ]


class Network(nn.Module):
    """The low-precision form of a float network; what ``prepare`` returns and ``export`` takes.

    In training mode weights and activations are fake-quantised with straight-through gradients. In
    evaluation mode the network computes with exactly the integers that ``export`` writes.
    ``frozen`` (see ``freeze``): batch norm statistics and exponents stand still and batch norm is
    part of the quantised weights, as in the exported file. Train the last third or so like that.
    signal_to_noise: of every layer's result before training, in dB.
    track_every: training steps between two looks at the exponents.
    """

    steps: Tensor
    _frozen: Tensor

    def __init__(
        self,
        model: ir.Model,
        groups: Sequence[Group],
        formats: Mapping[str, Format],
        layers: Mapping[str, TrainableLayer],
        metadata: Mapping[str, str],
        signal_to_noise: Mapping[str, float],
        *,
        track_every: int = TRACK_EVERY,
        track_exponents: bool = True,
    ):
        super().__init__()
        self.model, self.groups, self.metadata = model, tuple(groups), dict(metadata)
        self.signal_to_noise = dict(signal_to_noise)
        self.track_every, self.track_exponents = track_every, track_exponents
        shared = SharedFormats(model, groups)
        self._set_of: dict[str, int] = {}
        self._moved = moved(groups)
        quantisers: list[ActivationQuantiser] = []
        for members in shared.sets.values():
            self._set_of.update(dict.fromkeys(members, len(quantisers)))
            quantisers.append(ActivationQuantiser(formats[members[0]]))
        self.quantisers = nn.ModuleList(quantisers)
        self._of_constants = {name: formats[name] for group in groups for name in group.constants}
        self.twins = nn.ModuleList(
            layers[group.name] if group.kind == "layer" else TrainableGroup(model, group)
            for group in groups
        )
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("_frozen", torch.tensor(False))
        self._input = str(model.graph.inputs[0].name)
        self._output = str(model.graph.outputs[0].name)
        last: dict[str, int] = {
            name: place for place, group in enumerate(groups) for name in group.inputs
        }
        self._finished: list[list[str]] = [[] for _ in groups]
        for name, place in last.items():
            if name != self._output:
                self._finished[place].append(name)

    @property
    def frozen(self) -> bool:
        return bool(self._frozen)

    def freeze(self) -> "Network":
        """From now on train what is exported: batch norm folded into the quantised weights,
        exponents fixed.
        """
        self._frozen.fill_(True)
        formats = self.formats()
        for twin in self.twins:
            if isinstance(twin, TrainableLayer):
                twin.choose_exponent(formats.get(twin.group.inputs[0]))
        return self

    @torch.no_grad()
    def settle(self, batches: Iterable[Tensor]) -> None:
        """Take batch norm's statistics anew, as the mean over these inputs: the running ones lag
        behind the weights.
        """
        self.train()
        twins = [twin for twin in self.twins if isinstance(twin, TrainableLayer)]
        for place, x in enumerate(batches):
            for twin in twins:
                twin.momentum = 1.0 / (place + 1)
            self._run(x, look=False)
        for twin in twins:
            twin.momentum = MOMENTUM

    def formats(self) -> dict[str, Format]:
        """The format of every 8-bit tensor, and of the constants that are such."""
        chosen = [q.format() for q in self.quantisers if isinstance(q, ActivationQuantiser)]
        # What moves has been cut to fewer bits already.
        found = {
            name: replace(chosen[place], bits=8) if name in self._moved else chosen[place]
            for name, place in self._set_of.items()
        }
        return found | self._of_constants

    def integers(self) -> dict[str, QuantizedLayer]:
        """The integers of every layer, by name, as evaluation mode runs them."""
        formats = self.formats()
        return {
            twin.group.name: twin.integers(formats.get(twin.group.inputs[0]))
            for twin in self.twins
            if isinstance(twin, TrainableLayer)
        }

    def forward(self, x: Tensor) -> Tensor:
        """Logits float32 for inputs float32 ``[B, ...]``."""
        if not self.training:
            with torch.no_grad():
                return self._run(x.double(), look=False).float()
        look = int(self.steps) % self.track_every == 0
        y = self._run(x, look=look)
        with torch.no_grad():
            self.steps += 1
        return y.float()

    def _run(self, x: Tensor, *, look: bool) -> Tensor:
        formats, frozen = self.formats(), self.frozen
        track = look and self.track_exponents and not frozen
        values = {self._input: self._quantise(self._input, x, track)}
        for twin, group, finished in zip(self.twins, self.groups, self._finished, strict=True):
            if isinstance(twin, TrainableLayer):
                residual = None if group.residual is None else values[group.residual]
                source = group.inputs[0]
                if look and (frozen or not twin.norm):
                    twin.choose_exponent(formats.get(source))
                y = twin(values[source], residual, formats.get(source), frozen=frozen)
                results = [y]
            else:
                results = twin({name: values[name] for name in group.inputs})
            for name, result in zip(group.results, results, strict=True):
                moved = group.keeps_format and self.training
                values[name] = result if moved else self._quantise(name, result, track)
            for name in finished:
                del values[name]
        return values[self._output]

    def _quantise(self, name: str, x: Tensor, track: bool) -> Tensor:
        place = self._set_of.get(name)
        if place is None:
            return x
        quantiser = self.quantisers[place]
        assert isinstance(quantiser, ActivationQuantiser)
        if track:
            quantiser.track(x)
        return quantiser(x)
