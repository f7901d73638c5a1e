"""How a typed program uses sub8: checked by mypy --strict and pyright, and run by the tests.

python examples/typed_use.py MODEL.onnx PHOTOS
"""

import sys

import numpy as np
from numpy.typing import NDArray

import sub8


def prepare(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """An image to a network's input: any function will do."""
    return (image.astype(np.float32) / 255.0 - 0.5).transpose(2, 0, 1)


def ship(model: str, photos: str, output: str) -> sub8.Verification:
    """Quantise, tell what changed, save, and prove the file exact."""
    recipe = sub8.Recipe(weights=sub8.Int4(cluster=4), overrides={"head*": sub8.Int8()})
    quantised = sub8.quantize(model, photos, recipe, preprocess=prepare, hold_out=100)
    quality = quantised.quality
    if quality is not None and quality.agreement is not None:
        print(f"{quality.agreement.top1:.1f} ± {quality.agreement.margin:.1f} % agree")
    quantised.save(output)
    return sub8.verify(output, photos, preprocess=prepare)


def answers(path: str, photos: str) -> list[str]:
    """The likeliest label of every image, and the same through the session."""
    labels = [
        found.top[0].label for found in sub8.classify(path, photos, preprocess=prepare, top=1)
    ]
    logits: NDArray[np.float32] = sub8.predict(path, photos, preprocess=prepare)
    session = sub8.Session(path, threads=1)
    image = np.zeros((1, 3, 12, 12), np.float32)
    (first,) = session.run(None, {session.get_inputs()[0].name: image})
    assert first.shape[1] == logits.shape[1]
    return labels


if __name__ == "__main__":
    checked = ship(sys.argv[1], sys.argv[2], "typed.onnx")
    print(f"{checked.mismatches} mismatches in {checked.elements} elements")
    print(answers("typed.onnx", sys.argv[2]))
