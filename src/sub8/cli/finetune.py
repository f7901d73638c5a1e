"""The command finetune."""

from dataclasses import dataclass
from typing import Annotated

import typer

from sub8.cli import options, terminal
from sub8.cli.json_output import print_json
from sub8.cli.recipe_options import WeightOptions
from sub8.extras import missing_extra
from sub8.machine import thread_count


@dataclass(frozen=True)
class TrainingOptions:
    """Fields of ``Training``."""

    epochs: Annotated[int, typer.Option(metavar="E", help="Passes over the training images.")] = 4
    batch: Annotated[
        int, typer.Option(metavar="B", help="Images per step, all processes together.")
    ] = 64
    learning_rate: Annotated[float, typer.Option(metavar="R", help="Adam's, the highest.")] = 0.0005
    distillation: Annotated[
        float, typer.Option(metavar="PART", help="Part of the loss that the float model gives.")
    ] = 0.8
    mirror_teacher: Annotated[
        bool | None,
        typer.Option(
            "--mirror-teacher/--no-mirror-teacher",
            help="The float model's answer to an image and its mirror image. Default: where"
            " images are flipped at random.",
        ),
    ] = None
    label_smoothing: Annotated[
        float, typer.Option(metavar="PART", help="Spread over all classes.")
    ] = 0.0
    freeze: Annotated[
        float,
        typer.Option(metavar="PART", help="Part of the training after which batch norm is folded."),
    ] = 0.9
    augment: Annotated[
        bool, typer.Option("--augment/--no-augment", help="Random flips and crops.")
    ] = True
    patience: Annotated[
        int, typer.Option(metavar="E", help="Epochs without a better one before it stops.")
    ] = 5
    precision: Annotated[str, typer.Option(metavar="KIND", help="no or bf16.")] = "no"
    seed: Annotated[int, typer.Option(metavar="S", help="Of order and augmentation.")] = 0
    checkpoint_every: Annotated[
        int, typer.Option(metavar="STEPS", help="Steps between checkpoints.")
    ] = 200


def finetune(
    model: options.FloatModel,
    train: Annotated[str, typer.Option(metavar="DATA", help="Labelled training images.")],
    validation: Annotated[
        str, typer.Option(metavar="DATA", help="Labelled images that choose the best epoch.")
    ],
    output: options.OutputModel,
    *,
    train_images: Annotated[
        str | None, typer.Option(metavar="K|START:END", help="Only these training images.")
    ] = None,
    validation_images: Annotated[
        str | None, typer.Option(metavar="K|START:END", help="Only these validation images.")
    ] = None,
    weights: WeightOptions,
    training: TrainingOptions,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Checkpoints and TensorBoard logs. Default: OUT.onnx.training"
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="T", help="Threads of each process.")
    ] = None,
    preprocess: options.PreprocessText = None,
    as_json: options.Json = False,
) -> None:
    """Retrain a float model in low precision and write the quantised file; goes on where it was
    killed.
    """
    try:
        import torch

        from sub8.train.finetune import finetune as run_finetune
    except ImportError as error:
        raise missing_extra("train", error.name, "finetune") from error
    from sub8.train.settings import Training

    if threads is not None:
        torch.set_num_threads(thread_count(threads))
    target = output.path(not_over=model)
    with terminal.progress_bars() as progress:
        result = run_finetune(
            model,
            train,
            validation,
            weights.recipe(),
            Training(**vars(training)),
            train_images=train_images,
            validation_images=validation_images,
            preprocess=options.preprocess_from(preprocess),
            folder=checkpoints or f"{target}.training",
            progress=progress,
        )
    from accelerate import PartialState

    if not PartialState().is_main_process:
        return
    result.model.save(target, overwrite=output.force)
    if as_json:
        print_json(
            "finetune",
            {
                "output": str(target),
                "validation_top1": result.top1,
                "epochs": [vars(epoch) for epoch in result.epochs],
            },
        )
        return
    for number, epoch in enumerate(result.epochs, 1):
        terminal.print_line(f"epoch {number}: loss {epoch.loss:.4f}, top-1 {epoch.top1:.2f} %")
    terminal.print_line(f"{target}: best top-1 on the validation images {result.top1:.2f} %")


# With examples of their use.
COMMANDS = {
    finetune: (
        "sub8 finetune resnet20.onnx --train train.parquet --validation held-out.parquet --epochs"
        " 4 --weights ternary --cluster 64 -o resnet20-t64.onnx",
    ),
}
