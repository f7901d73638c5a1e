"""What is compared: networks with their data, and the candidates in the order in which they are
measured.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sub8.files import path_sha256
from sub8.recipe import METHODS

FLOAT = "ONNX Runtime fp32"
ONNXRUNTIME = "ONNX Runtime int8"
NNCF = "NNCF int8"
NEAREST = "nearest"
WHOLE: tuple[tuple[str, int | Literal["all"]], ...] = (("int8", "all"),)
LOW_BIT: tuple[tuple[str, int | Literal["all"]], ...] = (
    ("ternary", 4),
    ("ternary", 64),
    ("int4", 64),
    ("int4", 4),
    ("ternary", 16),
    ("int4", 16),
)


@dataclass(frozen=True)
class Network:
    """A float model of the shared folder and its images, as paths relative to it."""

    name: str
    model: str
    calibration: str
    calibration_images: str
    test: str
    test_images: str | None


# The most telling first: the benchmark is long.
NETWORKS = (
    Network(
        "cifar10-resnet20",
        "models/cifar10-resnet20.onnx",
        "data/cifar10-train.parquet",
        "0:1024",
        "data/cifar10-test.parquet",
        None,
    ),
    Network(
        "efficientnet-lite0",
        "models/efficientnet-lite0.onnx",
        "data/imagenet-sample.parquet",
        "0:250",
        "data/imagenet-sample.parquet",
        "250:500",
    ),
    Network(
        "cifar10-resnet56",
        "models/cifar10-resnet56.onnx",
        "data/cifar10-train.parquet",
        "0:1024",
        "data/cifar10-test.parquet",
        None,
    ),
)


@dataclass(frozen=True)
class Candidate:
    """One line of the comparison. method: a method of sub8, NEAREST, or the name of a peer (then no
    cluster).
    """

    method: str
    weights: str
    cluster: int | Literal["all"] | None

    @property
    def label(self) -> str:
        """``ternary N=64 hessian``, or the peer's name."""
        if self.cluster is None:
            return self.method
        return f"{self.weights} N={self.cluster} {self.method}"


def candidates() -> list[Candidate]:
    """The peers, then every method at every precision."""
    peers = [
        Candidate(FLOAT, "float32", None),
        Candidate(ONNXRUNTIME, "int8", None),
        Candidate(NNCF, "int8", None),
    ]
    own = [
        Candidate(method, weights, cluster)
        for weights, cluster in (*LOW_BIT[:3], *WHOLE, *LOW_BIT[3:])
        for method in (NEAREST, *METHODS)
    ]
    return [*peers, *own]


def question(network: Network, candidate: Candidate, shared: Path, version: str) -> dict[str, Any]:
    """What identifies a point: all settings, and the content of the files. Any change asks anew."""
    files = {part: path_sha256(shared / getattr(network, part)) for part in ("model", "test")}
    return {
        **asdict(network),
        **asdict(candidate),
        "model_sha256": files["model"],
        "test_sha256": files["test"],
        "calibration_sha256": path_sha256(shared / network.calibration),
        "sub8": version,
    }
