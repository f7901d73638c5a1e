"""ResNet-50 or ResNet-101 with ternary weights in clusters of 64: four epochs on ImageNet,
torchvision's weights.

For those who have ImageNet as class folders (train/n01440764/*.JPEG, val/n01440764/*.JPEG):

    pip install '.[train]' torchvision
    torchrun --nproc-per-node 8 examples/imagenet_resnet.py resnet50 /data/imagenet \\
        -o resnet50-t64.onnx
    sub8 evaluate resnet50-t64.onnx /data/imagenet/val
    sub8 verify resnet50-t64.onnx /data/imagenet/val --images 1000

One GPU: the same without torchrun. Killed, it goes on from its last checkpoint when started again.
Several machines: torchrun's --nnodes and --rdzv-endpoint, with the checkpoint folder on a shared
file system."""

import argparse
from pathlib import Path

from accelerate import PartialState

import sub8
from sub8.train.finetune import finetune
from sub8.train.settings import Training

NETWORKS = ("resnet50", "resnet101")
# What torchvision prepares its V1 weights' images with.
PREPROCESS = sub8.Preprocess(
    resize=256,
    size=224,
    scale=1 / 255,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("imagenet", type=Path, help="the folder with train/ and val/")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--cluster", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=256, help="images per step, all GPUs together")
    parser.add_argument("--precision", choices=("no", "bf16"), default="bf16")
    chosen = parser.parse_args()

    import torchvision  # is no dependency of sub8

    module = torchvision.models.get_model(chosen.network, weights="IMAGENET1K_V1")
    # First and last layer stay at 8 bits (the recipe's default), as in arXiv 1701.08978.
    recipe = sub8.Recipe(weights=sub8.Ternary(cluster=chosen.cluster))
    settings = Training(
        epochs=chosen.epochs,
        batch=chosen.batch,
        learning_rate=2e-4,
        distillation=0.5,
        precision=chosen.precision,
        calibration_images=512,
        track_every=200,
        checkpoint_every=500,
    )
    result = finetune(
        module,
        chosen.imagenet / "train",
        # Choices are made on held-out training images; the validation set is for the final figure.
        chosen.imagenet / "train",
        recipe,
        settings,
        train_images="10000:",
        validation_images="0:10000",
        preprocess=PREPROCESS,
        folder=f"{chosen.output}.training",
    )
    if PartialState().is_main_process:
        result.model.save(chosen.output)
        print(f"{chosen.output}: top-1 {result.top1:.2f} % on held-out training images")


if __name__ == "__main__":
    main()
