"""The verb ``compile``: a quantised model as one file for the runtime without Python."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sub8.engine.compiled_model import compiled_model
from sub8.engine.session import Session
from sub8.errors import InputError
from sub8.files import check_writable, write_file
from sub8.model_file import InputShapes, ModelFile, ModelSource, plain_shapes, refuse_unquantised

ENDING = ".s8"


@dataclass(frozen=True)
class Compilation:
    """What was written. inputs, outputs: names, types and shapes, None for a size that may be
    any; input_shapes: those that it was compiled for.
    """

    output: str
    bytes: int
    input_shapes: tuple[dict[str, tuple[int, ...]], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        shapes = [plain_shapes(shapes) for shapes in self.input_shapes]
        return {**vars(self), "input_shapes": shapes}


def compile(
    model: ModelSource,
    output: str | os.PathLike[str],
    *,
    input_shapes: Sequence[InputShapes] = (),
    overwrite: bool = True,
) -> Compilation:
    """Write a quantised model as ``output``, which ends in ``.s8``.

    input_shapes: ``[B, C, H, W]`` or shapes by input, once for each that shall run; by default the
    model's own, of one image. Where no image depends on another, any number of images runs. Raises
    InputError, also where ``overwrite`` is False and the file is there, and UnsupportedModelError
    where nodes would run as floats; nothing is written then.
    """
    path = Path(output)
    if path.suffix != ENDING:
        raise InputError(f"{path}: a compiled model's name ends in {ENDING}")
    check_writable(path, overwrite=overwrite)
    opened = ModelFile.open(model)
    refuse_unquantised(opened, "compile takes quantised ones")
    shapes = [opened.input_shapes(given) for given in input_shapes or (None,)]
    data = compiled_model(opened.model, opened.name, shapes)
    session = Session(data, threads=1)  # whatever it could refuse it refuses now
    write_file(path, data, overwrite=overwrite)
    inputs, outputs = (
        tuple(map(str, infos)) for infos in (session.get_inputs(), session.get_outputs())
    )
    return Compilation(str(path), len(data), tuple(shapes), inputs, outputs)
