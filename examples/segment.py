"""Which pixels of a picture are text: the map of PaddleOCR's detector, in integers and drawn.

A network with one class: its output is a probability for every pixel.

    pip install rapidocr-onnxruntime scikit-image
    python examples/segment.py -o masks/
"""

import argparse
import importlib.util
from pathlib import Path

import sub8

PREPROCESS = sub8.Preprocess(
    size=(320, 640), resize=(320, 640), scale=1 / 255, mean=(0.5,) * 3, std=(0.5,) * 3,
    channel_order="BGR",
)  # fmt: skip


def folder_of(package: str) -> Path:
    """Where an installed package lies; it is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"needs the package {package}")
    return Path(found.submodule_search_locations[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("masks"), help="folder")
    folder = parser.parse_args().output
    photos = folder_of("skimage") / "data"
    images = [photos / name for name in ("page.png", "motorcycle_left.png")]
    images = [image for image in images if image.is_file()]

    model = folder_of("rapidocr_onnxruntime") / "models/ch_PP-OCRv4_det_infer.onnx"
    quantised = sub8.quantize(model, images, preprocess=PREPROCESS)
    expected = sub8.segment(model, images, preprocess=PREPROCESS)
    folder.mkdir(parents=True, exist_ok=True)
    for path, real, found in zip(images, expected, sub8.segment(quantised, images), strict=True):
        both = ((real.classes == 1) & (found.classes == 1)).sum()
        either = ((real.classes == 1) | (found.classes == 1)).sum()
        print(f"{path.name}: {found.parts.get('1', 0.0):.1%} is text, "
              f"{both / max(either, 1):.3f} of it in common with float32")  # fmt: skip
        found.picture().save(folder / f"{path.stem}.png")


if __name__ == "__main__":
    main()
