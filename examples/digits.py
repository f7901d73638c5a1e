"""Your own training loop in low precision: four added lines, marked by their number.

A small convolutional network on scikit-learn's 8 x 8 digits, trained in float, then with ternary
weights in clusters of 16 input channels. What is exported is, to the bit, what was trained.

    pip install '.[train]' scikit-learn
    python examples/digits.py
"""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import sub8
from sub8.train import export, prepare


class Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def make_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        Residual(32),
        nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        Residual(64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def train(network: nn.Module, x: Tensor, y: Tensor, epochs: int, rate: float) -> None:
    """A plain loop, as yours may look."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    steps = epochs * (len(x) // 64)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(epochs):
        if epoch == epochs * 2 // 3 and hasattr(network, "freeze"):
            network.freeze()  # 1: batch norm has trained; from here on it is part of the weights
        network.train()
        for batch in torch.randperm(len(x))[: len(x) // 64 * 64].split(64):
            loss = nn.functional.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def accuracy(logits: np.ndarray, labels: Tensor) -> float:
    return 100.0 * float((logits.argmax(1) == labels.numpy()).mean())


def run(output: str, epochs: int = 10, low_epochs: int = 8, seed: int = 0) -> tuple[float, float]:
    """Top-1 in per cent on held-out digits: of the float network, of the quantised file in the
    integer engine.
    """
    torch.manual_seed(seed)
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    parts = train_test_split(
        images, digits.target, test_size=0.3, random_state=0, stratify=digits.target
    )
    x, x_test, y, y_test = (torch.from_numpy(part) for part in parts)

    network = make_network()
    train(network, x, y, epochs, 0.003)
    network.eval()
    with torch.no_grad():
        full = accuracy(network(x_test).numpy(), y_test)

    ternary = sub8.Ternary(cluster=16)
    recipe = sub8.Recipe(weights=ternary, method="hessian")  # 2: what the network shall become
    low = prepare(
        network, recipe, x.numpy()
    )  # 3: its low-precision twin, quantised on these images
    train(low, x, y, low_epochs, 0.001)
    export(low).save(output)  # 4: the file that any ONNX runtime executes

    logits = sub8.Session(output, threads=1).run(x_test.numpy())
    low.eval()
    assert np.array_equal(logits, low(x_test).numpy()), "the module is what the engine runs"
    return full, accuracy(logits, y_test)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="digits-t16.onnx")
    chosen = parser.parse_args()
    before, after = run(chosen.output)
    print(f"float {before:.2f} %, ternary N=16 {after:.2f} %: {chosen.output}")
