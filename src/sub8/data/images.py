"""Encoded images made into RGB pixels, whatever their file holds."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sub8.errors import InputError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Pillow knows some that start other programs (EPS: Ghostscript); the content decides, not the
# file's name.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LARGEST_IMAGE = 89_478_485  # pixels; where Pillow begins to suspect a decompression bomb
_UNKNOWN_RANGE = (
    "its pixels are 32-bit numbers, of which the range is unknown; save it with 8 or 16 bits"
)
_BY_ALPHA = frozenset(
    {"P", "PA", "La", "RGBa"}
)  # Pillow reaches RGB from these without loss by RGBA


def decode_image(source: Path | io.BytesIO, name: str) -> NDArray[np.uint8]:
    """Decode one image to RGB uint8 ``[H, W, 3]``; InputError with ``name`` where it is broken.

    The image is turned as its EXIF orientation says. 16-bit grey is scaled to 8 bits. An alpha
    channel is left out. Of an animation the first frame counts.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(source, formats=FORMATS) as image:
            if image.width * image.height > LARGEST_IMAGE:
                raise InputError(
                    f"{name}: {image.width}x{image.height} pixels are more than {LARGEST_IMAGE:,};"
                    " scale the image down"
                )
            return to_rgb(image, name)
    except (InputError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not an image ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: has too many pixels; scale the image down") from error
    except Exception as error:  # a decoder fed with nonsense may raise anything
        raise InputError(f"{name}: cannot be decoded ({first_line(error)})") from error


def to_rgb(image: "Image", name: str) -> NDArray[np.uint8]:
    """An open Pillow image as RGB uint8 ``[H, W, 3]``. Raises InputError, and what a decoder
    raises.
    """
    image.load()
    if min(image.size) < 1:
        raise InputError(f"{name}: the image is {image.width}x{image.height} pixels")
    kind = image.format
    image = _upright(image)
    if image.mode == "F" or (image.mode == "I" and kind not in (None, "PNG", "PPM")):
        raise InputError(f"{name}: {_UNKNOWN_RANGE}")
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise InputError(f"{name}: {_UNKNOWN_RANGE}")
        return np.repeat(((grey * 0xFF + 0x7FFF) // 0xFFFF).astype(np.uint8)[..., None], 3, axis=-1)
    if image.mode in _BY_ALPHA:
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def _upright(image: "Image") -> "Image":
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing about the orientation
        return image
