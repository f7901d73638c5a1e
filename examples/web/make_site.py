"""A folder for any web server with the page that classifies photographs:

python examples/web/make_site.py QUANTISED.onnx FOLDER [--runtime build/web/sub8.wasm]
"""

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import sub8
from sub8.model_file import ModelFile

HERE = Path(__file__).parent
PAGE = ("index.html", "page.js", "sub8.js")


def make_site(model: Path, folder: Path, runtime: Path) -> None:
    """``model``: a classifier whose metadata say how images are prepared, with float32 input."""
    opened = ModelFile.open(model)
    preprocess = opened.preprocess
    if preprocess is None or preprocess.channels != 3:
        raise sub8.InputError(f"{model}: its metadata do not say how colour images are prepared")
    folder.mkdir(parents=True, exist_ok=True)
    shape = (1, *preprocess.shape)
    sub8.compile(model, folder / "model.s8", input_shapes=[shape])
    about = {"preprocess": asdict(preprocess), "labels": opened.labels or []}
    (folder / "model.json").write_text(json.dumps(about))
    for name in PAGE:
        shutil.copyfile(HERE / name, folder / name)
    shutil.copyfile(runtime, folder / "sub8.wasm")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runtime", type=Path, default=HERE.parents[1] / "build/web/sub8.wasm")
    options = parser.parse_args()
    make_site(options.model, options.folder, options.runtime)
    total = sum(file.stat().st_size for file in options.folder.iterdir())
    print(f"{options.folder}: {total / 1e6:.2f} MB; python -m http.server -d {options.folder}")


if __name__ == "__main__":
    main()
