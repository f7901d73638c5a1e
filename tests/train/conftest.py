"""Small modules and data for training tests."""

import numpy as np
import onnx_ir as ir
import pytest

from sub8.graph.export import export_module

torch = pytest.importorskip("torch", reason="training needs PyTorch")


class Block(torch.nn.Module):
    """Strided, depthwise, residual layers, a gate with a table and a product, pools and a
    concatenation.
    """

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.point = nn.Conv2d(8, 8, 1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.down = nn.Conv2d(16, 12, 3, stride=2, padding=1)
        self.last = nn.Linear(12, 5)

    def forward(self, x):  # type: ignore[no-untyped-def]
        x = torch.relu(self.norm(self.stem(x)))
        y = torch.clamp(self.depthwise(x), 0.0, 6.0)
        y = torch.relu(self.point(y) + x)
        gate = torch.sigmoid(self.gate(torch.nn.functional.adaptive_avg_pool2d(y, 1)))
        y = torch.cat([y * gate, torch.nn.functional.max_pool2d(x, 3, 1, 1)], 1)
        y = torch.relu(self.down(y))
        return self.last(y.mean((2, 3)))


@pytest.fixture(scope="session")
def module() -> torch.nn.Module:
    torch.manual_seed(0)
    return Block().eval()


@pytest.fixture(scope="session")
def block(module: torch.nn.Module, images: np.ndarray) -> ir.Model:
    """The module as a graph, exported once for all tests."""
    return export_module(module, images[:2])


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(48, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def stripes() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 ``[256, 8, 8, 3]`` whose class, of 4, is the place of their bright stripe;
    labels int64.
    """
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 256)
    images = rng.integers(0, 120, (256, 8, 8, 3))
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 110
    return images.astype(np.uint8), labels
