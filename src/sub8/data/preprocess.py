"""Preprocessing: how an image becomes a network's input. Plain data, stored as JSON in a model's
metadata.

The steps, in order: resize (Pillow, with its antialiasing), centre crop, channel order, and
``(pixel * scale - mean) / std`` in float32, channels first.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sub8.data.images import LARGEST_IMAGE
from sub8.errors import InputError
from sub8.files import read_text

LARGEST_FILE = 1 << 20  # bytes of JSON
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Size = int | tuple[int, int]


@dataclass(frozen=True)
class Preprocess:
    """From an RGB image uint8 ``[H, W, 3]`` to a float32 ``[C, H, W]`` network input.

    size: centre crop, one number for a square or (height, width).
    resize: the shorter side after scaling (the longer side is cut to whole pixels), or (height,
        width) exactly; None leaves the image as it is.
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
        _set(self, "size", _size(self.size, "preprocess: size"))
        _set(self, "resize", _size(self.resize, "preprocess: resize"))
        if self.size is None:
            raise InputError("preprocess: size is missing")
        height, width = _pair(self.size)
        if not 1 <= height * width <= LARGEST_IMAGE:
            raise InputError(
                f"preprocess: size {self.size} must be at least 1 and hold at most "
                f"{LARGEST_IMAGE:,} pixels"
            )
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
        _set(self, "scale", _number(self.scale, "preprocess: scale"))
        for name, values in (("mean", self.mean), ("std", self.std)):
            numbers = _numbers(values, f"preprocess: {name}")
            if len(numbers) != self.channels:
                raise InputError(
                    f"preprocess: {name} has {len(numbers)} values, the input {self.channels} "
                    "channels"
                )
            _set(self, name, numbers)
        if any(value == 0 for value in self.std):
            raise InputError("preprocess: std must not be 0")
        if not max(map(abs, self.value_range)) <= np.finfo(np.float32).max:
            raise InputError(
                "preprocess: scale, mean and std give numbers that float32 cannot hold"
            )

    @property
    def channels(self) -> int:
        return 1 if self.channel_order == "GRAY" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of the network input."""
        return (self.channels, *_pair(self.size))

    @property
    def value_range(self) -> tuple[float, float]:
        """The least and the largest number that a pixel 0..255 can become."""
        ends = [
            (pixel * self.scale - mean) / std
            for pixel in (0, 255)
            for mean, std in zip(self.mean, self.std, strict=True)
        ]
        return min(ends), max(ends)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One image, uint8 ``[H, W, 3]`` RGB, to float32 ``[C, H, W]``; InputError where it is too
        small.
        """
        from PIL import Image

        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"an image must be uint8 [H, W, 3], got {image.dtype} {image.shape}")
        if image.size == 0:
            raise InputError(f"an image of {image.shape[0]}x{image.shape[1]} pixels is empty")
        picture = Image.fromarray(image)
        target = self._resized(image.shape[0], image.shape[1])
        if target[0] * target[1] > LARGEST_IMAGE:
            raise InputError(
                f"image {image.shape[0]}x{image.shape[1]} would become {target[0]}x{target[1]}; "
                "its sides are too unequal to resize"
            )
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
        """Read the ``preprocess`` JSON of a model; unknown keys and wrong types raise
        InputError.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source}: not JSON ({error})") from error
        if not isinstance(data, dict):
            raise InputError(f"{source}: must be a JSON object")
        return cls.from_dict(data, source)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "preprocess") -> "Preprocess":
        """Build from plain data, the shape of the JSON. ``layout`` may be given and must be
        NCHW.
        """
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
                arguments[key] = _numbers(values, f"{source}: {key}")
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
                return cls.from_metadata(read_text(Path(text), LARGEST_FILE), text)
            except InputError as error:
                raise InputError(f"preprocess {error}") from error
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


# How an image becomes an input: plain data that a model's metadata can hold, or any function of an
# image uint8 ``[H, W, 3]``, which has to be given again wherever the model meets images.
Preparation: TypeAlias = Preprocess | Callable[[NDArray[np.uint8]], Any]


def prepare_image(image: NDArray[np.uint8], how: Preparation) -> NDArray[np.float32]:
    """One network input, float32 without the batch axis. Raises InputError."""
    if isinstance(how, Preprocess):
        return how.apply(image)
    if not callable(how):
        raise InputError(
            "preprocess must be a Preprocess, or a function from uint8 [H, W, 3] to a float array, "
            f"not {type(how).__name__}"
        )
    made = how(image)
    if hasattr(made, "detach"):  # a torch tensor, as torchvision's transforms give
        made = made.detach().cpu().numpy()
    array = np.asarray(made)
    if not np.issubdtype(array.dtype, np.floating) or array.ndim < 1:
        raise InputError(
            f"preprocess must give a float array without the batch axis, gave {array.dtype} "
            f"{list(array.shape)}"
        )
    if not np.isfinite(array).all():
        raise InputError("preprocess gives NaN or infinity")
    return array.astype(np.float32)


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _set(record: Preprocess, name: str, value: Any) -> None:
    object.__setattr__(record, name, value)  # frozen for everyone else


def _parsed(text: str, key: str) -> int | float:
    """A number as ``from_option`` takes it: 224, 0.5, 1e-3, 1/255."""
    try:
        if re.fullmatch("[0-9]{1,9}", text):
            return int(text)
        above, _, below = text.partition("/")
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"preprocess: {key}: {text[:40]!r} is not a number") from error


def _number(value: Any, where: str) -> float:
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    try:
        number = float(value) if real else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{where}: {str(value)[:40]!r} is not a finite number")
    return number


def _numbers(values: Any, where: str) -> tuple[float, ...]:
    if not isinstance(values, (list, tuple, np.ndarray)):
        raise InputError(f"{where}: {str(values)[:40]!r} must be one number per channel")
    return tuple(_number(value, where) for value in values)


def _size(value: Any, where: str) -> Size | None:
    if value is None:
        return None
    entries = value if isinstance(value, (list, tuple)) else [value]
    whole = all(
        isinstance(entry, (int, np.integer)) and not isinstance(entry, bool) and 0 < entry < 2**31
        for entry in entries
    )
    if not whole or len(entries) not in (1, 2):
        raise InputError(
            f"{where}: {str(value)[:40]!r} must be a whole number of at least 1, or [height, width]"
        )
    numbers = [int(entry) for entry in entries]
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])
