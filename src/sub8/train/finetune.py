"""The verb ``finetune``: low-precision retraining from the full-precision weights."""

import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast
from numpy.typing import NDArray
from torch import Tensor, nn

from sub8.data import DataSource, ImageRange, open_dataset
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError
from sub8.model_file import ModelFile
from sub8.plain_data import from_plain
from sub8.progress import Progress, logged
from sub8.ptq.prepare import Source
from sub8.quantized_model import QuantizedModel
from sub8.recipe import Recipe
from sub8.train.artifact import export
from sub8.train.checkpoint import load_checkpoint, read_record, save_checkpoint
from sub8.train.log import Log, open_log
from sub8.train.network import Network
from sub8.train.preparation import prepare
from sub8.train.samples import Samples, epoch_order, load_samples, share, step_draws
from sub8.train.settings import Training
from sub8.train.teacher import make_teacher

_LATEST, _BEST = "latest.safetensors", "best.safetensors"
_VALIDATION_BATCH = 100
_SETTLING_BATCHES = 20


@dataclass(frozen=True)
class Epoch:
    """One epoch: mean training loss, and top-1 on the validation data in per cent."""

    loss: float
    top1: float


@dataclass(frozen=True)
class TrainingRecord:
    """How far a training has come; goes along with a checkpoint."""

    question: dict[str, Any]
    step: int
    loss: float
    epochs: tuple[Epoch, ...]


@dataclass(frozen=True)
class Finetuned:
    """The result. model: the best by validation (``kept_epoch``). epochs: those that ran. top1:
    its, in per cent.
    """

    model: QuantizedModel
    epochs: tuple[Epoch, ...]
    top1: float


def finetune(
    model: Source,
    train: DataSource,
    validation: DataSource,
    recipe: Recipe | None = None,
    settings: Training | None = None,
    *,
    train_images: ImageRange = None,
    validation_images: ImageRange = None,
    preprocess: Preprocess | None = None,
    folder: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Finetuned:
    """Retrain a float network in low precision and quantise it.

    model: an ONNX path, an ``ir.Model`` or a ``torch.nn.Module``. train, validation: labelled data
    (``open_dataset``), of which ``train_images`` and ``validation_images`` choose a range.
    folder: for checkpoints and TensorBoard logs; a training that was killed goes on from there,
    exactly where it was. Under ``torchrun`` or ``accelerate launch`` the processes share every
    batch. Raises InputError and UnsupportedModelError.
    """
    progress = logged(progress)
    recipe, settings = recipe or Recipe(), settings or Training()
    torch.manual_seed(settings.seed)
    labels, prepared = None, preprocess
    if not hasattr(model, "state_dict"):
        source = ModelFile.open(model)
        labels, prepared = source.labels, preprocess or source.preprocess
    samples = load_samples(open_dataset(train, labels).select(train_images), prepared)
    held_out = load_samples(open_dataset(validation, labels).select(validation_images), prepared)
    if len(samples) < settings.batch:
        raise InputError(
            f"{len(samples)} training images do not fill one batch of {settings.batch}"
        )
    chosen = epoch_order(len(samples), settings.seed, 0)[: settings.calibration_images]
    # As they come in training: batch norm starts as an identity on their statistics, and others
    # would undo the start.
    draws = step_draws(settings.seed, 0, len(chosen)) if settings.augment else None
    calibration = samples.inputs(chosen, draws).numpy()
    if settings.mirror_teacher and calibration.ndim != 4:
        raise InputError("mirror_teacher needs images [B, C, H, W]")
    network = prepare(
        model,
        recipe,
        calibration,
        track_every=settings.track_every,
        preprocess=preprocess,
        progress=progress,
    )
    _check_labels(network, samples, held_out)
    folder = None if folder is None else Path(folder)
    trainer = _Trainer(network, samples, held_out, calibration, recipe, settings, folder, progress)
    return trainer.run()


def _mirrors(settings: Training, samples: Samples) -> bool:
    """Whether the teacher answers to an image and its mirror image."""
    if settings.mirror_teacher is None:
        return settings.augment and samples.flips
    return settings.mirror_teacher


def _check_labels(network: Network, *parts: Samples) -> None:
    """InputError where a label has no logit of its own."""
    logits = network.eval()(parts[0].inputs(np.arange(1)))
    if logits.ndim != 2:
        raise InputError(
            f"the model's output has shape {list(logits.shape)}, not [images, classes]"
        )
    for samples in parts:
        least, most = int(samples.labels.min()), int(samples.labels.max())
        if least < 0 or most >= logits.shape[1]:
            wrong = least if least < 0 else most
            raise InputError(f"label {wrong} does not fit a model of {logits.shape[1]} classes")


def kept_epoch(scores: Sequence[float], images: int) -> int:
    """The latest epoch that is not below the best before it by more than one standard error.

    scores: top-1 of the epochs in per cent, on so many images. Of near equals the later one has
    been trained at a lower rate and, in the end, with folded batch norm, which few validation
    images cannot show."""
    kept, best = 0, scores[0]
    for place, score in enumerate(scores):
        error = math.sqrt(best * (100.0 - best) / images)
        if score >= best - error:
            kept = place
        best = max(best, score)
    return kept


class _Trainer:
    def __init__(
        self,
        network: Network,
        samples: Samples,
        held_out: Samples,
        calibration: NDArray[np.float32],
        recipe: Recipe,
        settings: Training,
        folder: Path | None,
        progress: Progress | None,
    ):
        self.settings, self.samples, self.held_out = settings, samples, held_out
        self.progress, self.folder = progress, folder
        self.accelerator = Accelerator(
            cpu=not torch.cuda.is_available(),
            mixed_precision=settings.precision,
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        processes = self.accelerator.num_processes
        if settings.batch % processes:
            raise InputError(
                f"batch {settings.batch} cannot be shared equally by {processes} processes"
            )
        device = self.accelerator.device
        self.network = network.to(device)
        _channels_last(self.network)
        self.teacher = (
            make_teacher(network.model, calibration, device, mirror=_mirrors(settings, samples))
            if settings.distillation
            else None
        )
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        # The optimiser is not wrapped: without gradient scaling a wrapper would do nothing.
        self.parallel: nn.Module = self.accelerator.prepare_model(self.network)
        if processes > 1:
            self._start_alike()
        self.steps_per_epoch = len(samples) // settings.batch
        self.steps = settings.epochs * self.steps_per_epoch
        self.question = {
            "settings": settings.to_dict(),
            "recipe": recipe.to_dict(),
            "source": network.metadata["sub8.source_sha256"],
            "images": [len(samples), len(held_out)],
        }
        self.step, self.loss, self.epochs = 0, 0.0, list[Epoch]()
        self.best: dict[str, Tensor] | None = None

    def run(self) -> Finetuned:
        self._resume()
        with self._log() as log:
            while self.step < self.steps and not self._exhausted():
                self._epoch(log)
        assert self.best is not None
        self.network.load_state_dict(self.best)
        self.network.eval()
        top1 = self.epochs[self._kept()].top1
        self.network.metadata["sub8.training"] = json.dumps(
            {**self.settings.to_dict(), "epochs_run": len(self.epochs), "validation_top1": top1}
        )
        self.network.cpu()
        return Finetuned(export(self.network), tuple(self.epochs), top1)

    def _start_alike(self) -> None:
        """Every process from the first one's solution: machines of different kinds may not find the
        same.
        """
        state = self.network.state_dict()
        for value in state.values():
            broadcast(value)
        self.network.load_state_dict(state)

    def _kept(self) -> int:
        return kept_epoch([epoch.top1 for epoch in self.epochs], len(self.held_out))

    def _exhausted(self) -> bool:
        """Whether ``patience`` epochs have gone by since the best."""
        if not self.epochs:
            return False
        scores = [epoch.top1 for epoch in self.epochs]
        return len(scores) - 1 - int(np.argmax(scores)) >= self.settings.patience

    def _epoch(self, log: Log | None) -> None:
        settings, size = self.settings, self.settings.batch
        epoch = self.step // self.steps_per_epoch
        order = epoch_order(len(self.samples), settings.seed, epoch)
        self.parallel.train()
        for place in range(self.step % self.steps_per_epoch, self.steps_per_epoch):
            loss = self._train_step(order[place * size : (place + 1) * size])
            self.loss += loss
            self.step += 1
            if log is not None:
                log.add_scalar("train/loss", loss, self.step)
                log.add_scalar("train/rate", self.optimizer.param_groups[0]["lr"], self.step)
            if self.progress is not None and self.accelerator.is_main_process:
                self.progress("training steps", self.step, self.steps)
            if self.step % settings.checkpoint_every == 0 and place + 1 < self.steps_per_epoch:
                self._save(_LATEST)
        self._settle()
        top1 = self._validate()
        if log is not None:
            log.add_scalar("validation/top1", top1, self.step)
        self.epochs.append(Epoch(self.loss / self.steps_per_epoch, top1))
        self.loss = 0.0
        if self._kept() == len(self.epochs) - 1:
            self.best = {
                name: value.detach().clone() for name, value in self.network.state_dict().items()
            }
            self._save(_BEST)
        self._save(_LATEST)

    def _train_step(self, indices: np.ndarray) -> float:
        """One step on this process's share of the batch; the loss is the mean over its own
        images.
        """
        settings, accelerator = self.settings, self.accelerator
        if self.step >= settings.freeze * self.steps and not self.network.frozen:
            self._settle()
            self.network.freeze()
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate(self.step, self.steps)
        x, labels = self._batch(indices, self.step)
        with accelerator.autocast():
            teacher = None if self.teacher is None else self.teacher(x).float()
            logits = self.parallel(x)
        loss = self._loss(logits.float(), labels, teacher)
        self.optimizer.zero_grad()
        accelerator.backward(loss)
        self.optimizer.step()
        found = float(loss.detach())
        if not math.isfinite(found):
            raise InputError(
                f"training diverged at step {self.step}; use a smaller learning rate than"
                f" {settings.learning_rate}"
            )
        return found

    def _settle(self) -> None:
        """Batch norm statistics of the weights as they are."""
        if self.network.frozen:
            return
        order = epoch_order(len(self.samples), self.settings.seed, self.settings.epochs)
        batches = order[: self.steps_per_epoch * self.settings.batch].reshape(
            -1, self.settings.batch
        )
        with self.accelerator.autocast():
            self.network.settle(
                self._batch(indices, self.steps + place)[0]
                for place, indices in enumerate(batches[:_SETTLING_BATCHES])
            )

    def _batch(self, indices: np.ndarray, step: int) -> tuple[Tensor, Tensor]:
        """This process's share of a global batch: inputs, augmented by the step's draws, and
        labels.
        """
        accelerator = self.accelerator
        place, processes = accelerator.process_index, accelerator.num_processes
        mine = share(indices, place, processes)
        draws = None
        if self.settings.augment:
            draws = share(step_draws(self.settings.seed, step, len(indices)), place, processes)
        x = self.samples.inputs(mine, draws).to(accelerator.device)
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return x, self.samples.labels[torch.from_numpy(mine)].to(accelerator.device)

    def _loss(self, logits: Tensor, labels: Tensor, teacher: Tensor | None) -> Tensor:
        settings = self.settings
        loss = F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
        if teacher is None:
            return loss
        heat = settings.temperature
        divergence = F.kl_div(
            F.log_softmax(logits / heat, 1),
            F.log_softmax(teacher / heat, 1),
            log_target=True,
            reduction="batchmean",
        )
        share_of_teacher = settings.distillation
        return (1 - share_of_teacher) * loss + share_of_teacher * heat * heat * divergence

    def _validate(self) -> float:
        """Top-1 in per cent of the integers as they are now; the processes share the images."""
        self.network.eval()
        accelerator = self.accelerator
        right = torch.zeros((), dtype=torch.int64, device=accelerator.device)
        starts = range(0, len(self.held_out), _VALIDATION_BATCH)
        for start in starts[accelerator.process_index :: accelerator.num_processes]:
            indices = np.arange(start, min(start + _VALIDATION_BATCH, len(self.held_out)))
            x = self.held_out.inputs(indices).to(accelerator.device)
            found = self.network(x).argmax(1).cpu()
            right += int((found == self.held_out.labels[torch.from_numpy(indices)]).sum())
        total = accelerator.reduce(right, reduction="sum")
        return 100.0 * int(total) / len(self.held_out)

    def _save(self, name: str) -> None:
        if self.folder is None or not self.accelerator.is_main_process:
            return
        record = asdict(TrainingRecord(self.question, self.step, self.loss, tuple(self.epochs)))
        optimizer = self.optimizer if name == _LATEST else None
        save_checkpoint(self.folder / name, self.network, optimizer, record)

    def _resume(self) -> None:
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made ({error.strerror})") from error
        latest = self.folder / _LATEST
        # Every process looks before any of them can write.
        found = latest.is_file()
        self.accelerator.wait_for_everyone()
        if not found:
            return
        record = from_plain(TrainingRecord, read_record(latest), str(latest))
        if record.question != json.loads(json.dumps(self.question)):
            raise InputError(
                f"{self.folder}: holds a training with other settings, model or data; name another "
                "folder"
            )
        self.step, self.loss, self.epochs = record.step, record.loss, list(record.epochs)
        if self.epochs:
            load_checkpoint(self.folder / _BEST, self.network)
            self.best = {
                name: value.detach().clone() for name, value in self.network.state_dict().items()
            }
        load_checkpoint(latest, self.network, self.optimizer)

    def _log(self) -> AbstractContextManager[Log | None]:
        """In the folder, written by the main process."""
        if self.folder is None or not self.accelerator.is_main_process:
            return nullcontext()
        return open_log(self.folder / "logs", self.step + 1)


def _channels_last(network: nn.Module) -> None:
    """Kernels in the memory order in which convolutions are fastest."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
