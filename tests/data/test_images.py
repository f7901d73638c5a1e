"""Every mode and format of pictures becomes the RGB pixels that a viewer shows; what is broken is
named.
"""

import io
import os
import stat

import numpy as np
import pytest
from PIL import Image

from sub8.data import decode_image, open_dataset
from sub8.data.images import LARGEST_IMAGE
from sub8.errors import InputError

RAMP = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (24, 1))
COLOURS = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)


def decoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return decode_image(io.BytesIO(buffer.getvalue()), "picture")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled(kind):
    deep = Image.fromarray(RAMP.astype(np.uint16) * 257)
    np.testing.assert_array_equal(decoded(deep, kind), np.repeat(RAMP[..., None], 3, -1))
    half = Image.fromarray(np.full((4, 4), 0x8110, np.uint16))
    assert (decoded(half, kind) == 129).all()


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "L", "1", "CMYK", "RGB"])
def test_modes(mode):
    whole = Image.fromarray(COLOURS).convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    expected = np.asarray(
        whole.convert("RGBA").convert("RGB") if mode == "LA" else whole.convert("RGB")
    )
    np.testing.assert_array_equal(decoded(whole, kind), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    stored = Image.fromarray(COLOURS)
    seen = stored.transpose(turn[orientation]) if orientation in turn else stored
    np.testing.assert_array_equal(decoded(stored, exif=exif), np.asarray(seen))


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.fromarray(np.full((4, 4, 3), shade, np.uint8)) for shade in (10, 200)]
    image = decoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert (image == 10).all()


@pytest.mark.parametrize("array", [RAMP.astype(np.float32), RAMP.astype(np.int32)])
def test_32_bit_pixels_are_refused(array):
    with pytest.raises(InputError, match="picture: its pixels are 32-bit"):
        decoded(Image.fromarray(array), "TIFF")


def test_the_content_decides_and_starts_no_other_program(tmp_path, monkeypatch):
    called = tmp_path / "called"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {called}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "cat.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError, match=r"cat\.png: not an image"):
        open_dataset(path).array(0)
    assert not called.exists()


def test_pixels_are_counted_before_they_are_decoded(tmp_path):
    small = io.BytesIO()
    Image.new("1", (8, 8)).save(small, "PNG")
    content = bytearray(small.getvalue())
    content[16:24] = (LARGEST_IMAGE // 1000 + 1).to_bytes(4, "big") + (1000).to_bytes(4, "big")
    content[29:33] = __import__("zlib").crc32(content[12:29]).to_bytes(4, "big")
    with pytest.raises(InputError, match=r"wide\.png: .* pixels are more than"):
        decode_image(io.BytesIO(content), "wide.png")


def test_damaged_exif_leaves_the_image_as_it_is():
    image = decoded(Image.fromarray(COLOURS), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0")
    np.testing.assert_array_equal(image, COLOURS)
