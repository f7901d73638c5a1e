"""A vision transformer in integers: ViT-tiny of timm, with random weights.

The weights are not trained, so its classes mean nothing; what it shows is that products of
activations, Softmax and LayerNorm run in integers as well, and how long they take.

    pip install '.[torch]' timm torchvision
    python examples/transformer.py
"""

import argparse
import warnings

import numpy as np

import sub8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=224, help="of the images, a multiple of 16")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import timm

    network = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=options.size)
    images = np.random.default_rng(0).normal(size=(10, 3, options.size, options.size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sub8.errors.Sub8Warning)
        quantised = sub8.quantize(
            network.eval(), images.astype(np.float32), sub8.Recipe(method="optimal")
        )
    inspection = sub8.inspect(quantised)
    print(f"{len(inspection.layers)} layers, {len(inspection.islands)} float islands")
    report = sub8.verify(quantised, images[:2].astype(np.float32))
    print(f"{report.mismatches} of {report.elements} logits differ from ONNX Runtime's")
    time = sub8.benchmark(quantised, threads=options.threads, runs=10)
    print(f"sub8 {time.sub8:.1f} ms, ONNX Runtime in float32 {time.float32:.1f} ms")


if __name__ == "__main__":
    main()
