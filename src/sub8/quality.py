"""What quantisation changed in a network's results, as plain data."""

import math
from dataclasses import asdict, dataclass
from typing import Any

# Below so much agreement with the float network (per cent) the file is told to be of little use.
LEAST_AGREEMENT = 90.0


@dataclass(frozen=True)
class Agreement:
    """Of a classifier. top1: per cent of the images whose likeliest class is float32's; margin:
    how many points it may be off, with 95 % confidence. expected_drop: points of top-1 accuracy
    that the changed answers are expected to cost; drop_bound: what they exceed with a probability
    of 5 %.
    """

    top1: float
    margin: float
    expected_drop: float
    drop_bound: float


@dataclass(frozen=True)
class Quality:
    """The quantised network beside the float one.

    images: how many were compared. held_out: whether calibration did not see them; figures of
    images that it saw are too good. signal_to_noise: dB of every output by name, infinite where
    nothing changed, None where it cannot be told, as of detections. agreement: None where the
    first output is not ``[images, classes]``.
    """

    images: int
    held_out: bool
    signal_to_noise: dict[str, float | None]
    agreement: Agreement | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data; infinite figures become None, which JSON can say."""
        noise = {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in self.signal_to_noise.items()
        }
        return {**asdict(self), "signal_to_noise": noise}

    def __str__(self) -> str:
        """One line for people."""
        seen = "held-out images" if self.held_out else "images that calibration saw"
        noise = [f"{n} {v:.1f} dB" for n, v in self.signal_to_noise.items() if v is not None]
        text = f"beside float32 on {self.images} {seen}: signal to noise of {', '.join(noise[:4])}"
        if self.agreement is None:
            return text
        found = self.agreement
        return (
            f"{text}; same likeliest class in {found.top1:.1f} ± {found.margin:.1f} %, expected "
            f"drop of top-1 {found.expected_drop:.2f} points (at most {found.drop_bound:.2f})"
        )

    @property
    def warning(self) -> str | None:
        """What to tell of a network that lost much; None for others."""
        if self.agreement is None or self.agreement.top1 + self.agreement.margin >= LEAST_AGREEMENT:
            return None
        return (
            f"only {self.agreement.top1:.0f} % of the answers are float32's; take more bits "
            "(--weights int8 or int4), let --max-drop 1.0 choose them, or retrain (sub8 finetune)"
        )
