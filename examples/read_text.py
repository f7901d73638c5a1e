"""Text in a picture, found and read in integers: PaddleOCR's networks of rapidocr-onnxruntime.

RapidOCR prepares pictures, cuts out lines and decodes what its networks answer. Only the networks
are exchanged: ``sub8.Session`` answers as ONNX Runtime's session does. They are calibrated on what
RapidOCR asked them while it read two of scikit-image's pictures.

    pip install rapidocr-onnxruntime scikit-image
    python examples/read_text.py -o text.png
"""

import argparse
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import sub8


class Recorder:
    """A session of ONNX Runtime that keeps what it is asked."""

    def __init__(self, session: Any):
        self.session, self.asked = session, []

    def run(self, names: Any, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.asked.append(next(iter(feed.values())))
        return self.session.run(names, feed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


def windows(arrays: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Parts of one size, 12 at most: what calibration takes."""
    parts = []
    for array in arrays:
        for top in range(0, array.shape[2] - height + 1, max(height // 2, 1)):
            for left in range(0, array.shape[3] - width + 1, width // 2):
                parts.extend(array[:, :, top : top + height, left : left + width])
    return np.stack(parts[:: -(-len(parts) // 12)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", default="text.png", help="picture of the lines found")
    target = parser.parse_args().output
    import skimage.data
    from rapidocr_onnxruntime import RapidOCR

    page = np.stack([skimage.data.page()] * 3, axis=-1)
    pictures = [page, np.stack([skimage.data.text()] * 3, axis=-1), page[:, ::2], page[::2]]

    reader = RapidOCR()
    engines = {"detection": reader.text_det.infer, "recognition": reader.text_rec.session}
    for engine in engines.values():
        engine.session = Recorder(engine.session)
    before = [reader(picture)[0] or [] for picture in pictures]
    for (name, engine), size in zip(engines.items(), ((320, 320), (48, 320)), strict=True):
        recorder = engine.session
        inputs = windows(recorder.asked, *size)
        model = recorder.session._model_path
        quantised = sub8.quantize(model, inputs)
        print(f"{name}: {len(inputs)} inputs, {quantised.quality}")
        engine.session = sub8.Session(quantised.model)

    lines = reader(page)[0] or []
    print("float32:", " / ".join(text for _, text, _ in before[0]))
    print("int8:   ", " / ".join(text for _, text, _ in lines))
    picture = Image.fromarray(page)
    draw = ImageDraw.Draw(picture)
    for corners, _, _ in lines:
        draw.polygon([tuple(corner) for corner in corners], outline=(213, 94, 0))
    picture.save(target)


if __name__ == "__main__":
    main()
