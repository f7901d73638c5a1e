"""How a network is retrained: plain data."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sub8.errors import InputError


@dataclass(frozen=True)
class Training:
    """Settings of ``finetune``.

    epochs: passes over the training data. batch: images per step, over all processes together.
    learning_rate: Adam's highest; it rises over the first ``warmup`` of the steps and falls along a
    cosine to 0.
    distillation: share of the loss that comes from the full-precision model's logits
        (Kullback-Leibler divergence at ``temperature``); the rest is cross-entropy with
        ``label_smoothing``.
    mirror_teacher: those logits are the mean over an image and its mirror image; right where mirror
        images belong to the same class. None: where ``augment`` flips the images anyway.
    freeze: the part of the steps after which batch norm stands still and folds.
    augment: random flips, and crops of the padded image (small images) or resized crops
    (photographs).
    patience: epochs without a better validation accuracy before training stops.
    calibration_images: training images, augmented like all others, that choose exponents and start
    the batch norms.
    track_every: steps between two looks at the exponents. checkpoint_every: steps between two
        checkpoints; one is also written after every epoch. precision: "no" or "bf16" (forward pass
        under autocast).
    """

    epochs: int = 4
    batch: int = 64
    learning_rate: float = 0.0005
    warmup: float = 0.05
    distillation: float = 0.8
    temperature: float = 2.0
    mirror_teacher: bool | None = None
    label_smoothing: float = 0.0
    freeze: float = 0.9
    augment: bool = True
    patience: int = 5
    calibration_images: int = 1000
    track_every: int = 16
    checkpoint_every: int = 200
    precision: Literal["no", "bf16"] = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience", "track_every", "checkpoint_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} {value!r} must be a whole number of at least 1")
        if self.calibration_images < 2:
            raise InputError(f"calibration_images {self.calibration_images} must be at least 2")
        for name in ("warmup", "distillation", "freeze", "label_smoothing"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise InputError(f"{name} {value!r} must lie between 0 and 1")
        if self.mirror_teacher and not self.distillation:
            raise InputError("mirror_teacher has no part in a training with distillation 0")
        if self.precision not in ("no", "bf16"):
            raise InputError(f"precision {self.precision!r} unknown; use no or bf16")
        if not self.learning_rate > 0.0 or not self.temperature > 0.0:
            raise InputError("learning rate and temperature must be above 0")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of one step of ``steps``."""
        warm = max(1, round(self.warmup * steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return (
            self.learning_rate
            * 0.5
            * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
