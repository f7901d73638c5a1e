"""Preprocessing: how an image becomes a network's input. Plain data, stored as JSON in a model's metadata.

The steps, in order: resize (Pillow, with its antialiasing), centre crop, channel order, and
``(pixel * scale - mean) / std`` in float32, channels first.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sub8.errors import InputError

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Size = int | tuple[int, int]


@dataclass(frozen=True)
class Preprocess:
    """From an RGB image uint8 ``[H, W, 3]`` to a float32 ``[C, H, W]`` network input.

    size: centre crop, one number for a square or (height, width).
    resize: the shorter side after scaling (the longer side is cut to whole pixels), or (height, width)
        exactly; None leaves the image as it is.
    scale: factor on the pixels 0..255. mean, std: one number per channel, applied after ``scale``.
    channel_order: RGB, BGR, or GRAY (ITU-R 601 luma, one channel).
    interpolation: the Pillow filter of the resize.
    """

    size: Size
    resize: Size | None = None
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channel_order: Literal["RGB", "BGR", "GRAY"] = "RGB"
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        height, width = _pair(self.size)
        if min(height, width) < 1:
            raise InputError(f"preprocess: size {self.size} must be at least 1")
        if self.resize is not None:
            least = min(_pair(self.resize))
            if isinstance(self.resize, int):
                fits = least >= max(height, width)
            else:
                fits = self.resize[0] >= height and self.resize[1] >= width
            if not fits:
                raise InputError(
                    f"preprocess: resize {self.resize} is smaller than size {self.size}"
                )
        if self.channel_order not in ("RGB", "BGR", "GRAY"):
            raise InputError(
                f"preprocess: channel_order {self.channel_order!r}: use RGB, BGR or GRAY"
            )
        if self.interpolation not in ("nearest", "bilinear", "bicubic", "lanczos"):
            raise InputError(
                f"preprocess: interpolation {self.interpolation!r}:"
                " use nearest, bilinear, bicubic or lanczos"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise InputError(
                    f"preprocess: {name} has {len(values)} values, the input {self.channels} channels"
                )
        if not all(math.isfinite(value) for value in (self.scale, *self.mean, *self.std)):
            raise InputError("preprocess: scale, mean and std must be finite")
        if any(value == 0 for value in self.std):
            raise InputError("preprocess: std must not be 0")

    @property
    def channels(self) -> int:
        return 1 if self.channel_order == "GRAY" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of the network input."""
        return (self.channels, *_pair(self.size))

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One image, uint8 ``[H, W, 3]`` RGB, to float32 ``[C, H, W]``; InputError where it is too small."""
        from PIL import Image

        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"an image must be uint8 [H, W, 3], got {image.dtype} {image.shape}")
        picture = Image.fromarray(image)
        target = self._resized(image.shape[0], image.shape[1])
        if target != image.shape[:2]:
            how = Image.Resampling[self.interpolation.upper()]
            picture = picture.resize((target[1], target[0]), how)
        height, width = _pair(self.size)
        if target[0] < height or target[1] < width:
            raise InputError(
                f"image {target[0]}x{target[1]} is smaller than the crop {height}x{width}"
            )
        top, left = round((target[0] - height) / 2), round((target[1] - width) / 2)
        picture = picture.crop((left, top, left + width, top + height))
        if self.channel_order == "GRAY":
            pixels = np.asarray(picture.convert("L"))[..., None]
        else:
            pixels = np.asarray(picture)
            if self.channel_order == "BGR":
                pixels = pixels[..., ::-1]
        scaled = pixels.astype(np.float32) * np.float32(self.scale)
        real = (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(real.transpose(2, 0, 1))

    def to_metadata(self) -> str:
        """The JSON text that ``from_metadata`` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_metadata(cls, text: str, source: str = "preprocess") -> "Preprocess":
        """Read the ``preprocess`` JSON of a model; unknown keys and wrong types raise InputError."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{source}: not JSON ({error})") from error
        if not isinstance(data, dict):
            raise InputError(f"{source}: must be a JSON object")
        return cls.from_dict(data, source)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "preprocess") -> "Preprocess":
        """Build from plain data, the shape of the JSON. ``layout`` may be given and must be NCHW."""
        layout = data.get("layout", "NCHW")
        if layout != "NCHW":
            raise InputError(f"{source}: layout {layout!r} is not supported; use NCHW")
        arguments: dict[str, Any] = {}
        for key, value in data.items():
            if key in ("size", "resize"):
                arguments[key] = _size(value, f"{source}: {key}")
            elif key == "scale":
                arguments[key] = _number(value, f"{source}: {key}")
            elif key in ("mean", "std"):
                values = value if isinstance(value, (list, tuple)) else [value]
                arguments[key] = tuple(_number(entry, f"{source}: {key}") for entry in values)
            elif key in ("channel_order", "interpolation"):
                arguments[key] = value
            elif key != "layout":
                raise InputError(f"{source}: unknown key {key!r}")
        if "size" not in arguments:
            raise InputError(f"{source}: size is missing")
        channels = 1 if arguments.get("channel_order") == "GRAY" else 3
        for key, default in (("mean", 0.0), ("std", 1.0)):
            values = arguments.get(key, (default,))
            arguments[key] = values * channels if len(values) == 1 else values
        return cls(**arguments)

    @classmethod
    def from_option(cls, text: str) -> "Preprocess":
        """Read a JSON file's path, or ``key=value`` pairs parted by blanks, lists by commas.

        >>> Preprocess.from_option("resize=256 size=224 scale=1/255 mean=0.5 std=0.5").shape
        (3, 224, 224)
        """
        if "=" not in text:
            try:
                return cls.from_metadata(Path(text).read_text("utf-8"), text)
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"preprocess {text}: {error}") from error
        data: dict[str, Any] = {}
        for pair in text.split():
            key, equals, value = pair.partition("=")
            if not equals or not value:
                raise InputError(f"preprocess: {pair!r} is not key=value")
            if key in ("channel_order", "interpolation", "layout"):
                data[key] = value
            else:
                numbers = [_parsed(entry, key) for entry in value.split(",")]
                data[key] = numbers[0] if len(numbers) == 1 else numbers
        return cls.from_dict(data)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.resize is None:
            return height, width
        if not isinstance(self.resize, int):
            return self.resize
        short = self.resize
        if height <= width:
            return short, int(short * width / height)
        return int(short * height / width), short


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _parsed(text: str, key: str) -> int | float:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"preprocess: {key}: {text!r} is not a number") from error
    return int(value) if value.denominator == 1 else float(value)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{where}: {value!r} is not a number")
    return float(value)


def _size(value: Any, where: str) -> Size | None:
    if value is None:
        return None
    entries = value if isinstance(value, (list, tuple)) else [value]
    whole = all(isinstance(entry, int) and not isinstance(entry, bool) for entry in entries)
    if not whole or len(entries) not in (1, 2):
        raise InputError(f"{where}: {value!r} must be a whole number or [height, width]")
    return entries[0] if len(entries) == 1 else (entries[0], entries[1])
