"""Objects in photographs, found in integers and drawn: a YOLOv8 of the package nudenet.

The detector finds people's faces and bodies. It is calibrated on scikit-image's photographs, which
are its test as well, since this is about how it is done, not about how good it is.

    pip install nudenet scikit-image
    python examples/detect.py -o found/
"""

import argparse
import importlib.util
from pathlib import Path

import sub8

PREPROCESS = sub8.Preprocess(size=320, resize=320, scale=1 / 255)


def folder_of(package: str) -> Path:
    """Where an installed package lies; it is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"needs the package {package}")
    return Path(found.submodule_search_locations[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("found"), help="folder")
    folder = parser.parse_args().output
    photos = folder_of("skimage") / "data"
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
    images = [photos / name for name in names if (photos / name).is_file()]

    model = folder_of("nudenet") / "320n.onnx"
    quantised = sub8.quantize(model, images, preprocess=PREPROCESS)
    for name, file in (("float32", model), ("int8", quantised)):
        for found in sub8.detect(file, images, preprocess=PREPROCESS):
            for label, box in zip(found.labels, found.boxes, strict=True):
                print(f"{name:8} {Path(found.name).name:20} {label} {box.score:.2f}")

    folder.mkdir(parents=True, exist_ok=True)
    for path, found in zip(images, sub8.detect(quantised, images), strict=True):
        found.picture().save(folder / f"{path.stem}.png")
    report = sub8.verify(quantised, images)
    print(f"{report.mismatches} of {report.elements} elements differ from ONNX Runtime's")


if __name__ == "__main__":
    main()
