"""Small quantised models that together take every way through the engine: static and dynamic
exponents, every format of weights, a float island.
"""

from pathlib import Path

import numpy as np
from tests.builders.float_island import add_island
from tests.conftest import SIZE, small_network

import sub8


def write_all(folder: Path) -> list[Path]:
    """Their files."""
    images = np.random.default_rng(1).normal(0, 1, (8, 3, SIZE, SIZE)).astype(np.float32)
    recipes = {
        "ternary": sub8.Recipe(weights=sub8.Ternary(cluster=4), method="hessian"),
        "dynamic": sub8.Recipe(
            weights=sub8.Int4(cluster=4), activations=sub8.Dfp8(exponent="dynamic")
        ),
        "int8": sub8.Recipe(weights=sub8.Int8()),
    }
    paths = []
    for name, recipe in recipes.items():
        path = folder / f"{name}.onnx"
        sub8.quantize(small_network(), images, recipe).save(path)
        paths.append(path)
    return [*paths, add_island(paths[0], folder / "island.onnx")]
