"""Settings in files that never end, are too large, or are made to take long."""

import time
from pathlib import Path

import pytest

from sub8.data.preprocess import Preprocess
from sub8.errors import InputError
from sub8.files import read_text
from sub8.plain_data import read_json
from sub8.recipe import LARGEST_RECIPE, Recipe

READERS = [Recipe.load, lambda path: Preprocess.from_option(str(path)), read_json]
endless = Path("/dev/zero")


@pytest.mark.skipif(not endless.exists(), reason="needs /dev/zero")
@pytest.mark.parametrize("read", READERS)
def test_a_device_without_end_is_too_large(read):
    with pytest.raises(InputError, match=r"/dev/zero: larger than the [\d,]+ bytes allowed"):
        read(endless)


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_text_names_the_file(tmp_path, read):
    path = tmp_path / "settings"
    path.write_bytes(b"a\xff")
    with pytest.raises(InputError, match="settings: not UTF-8 text at byte 1"):
        read(path)


def test_as_large_as_is_allowed(tmp_path):
    path = tmp_path / "text"
    path.write_text("12345")
    assert read_text(path, 5) == "12345"
    with pytest.raises(InputError, match="larger than the 4 bytes"):
        read_text(path, 4)


@pytest.mark.parametrize("part", ["a.", "a . ", '"".', '"\\"".', "'.'. "])
@pytest.mark.parametrize("table", [False, True])
def test_a_key_of_many_parts_is_refused_at_once(tmp_path, part, table):
    path = tmp_path / "recipe.toml"
    key = part * (LARGEST_RECIPE // len(part) - 10) + "a"
    path.write_text(f"[{key}]" if table else f"{key} = 1")
    began = time.process_time()
    with pytest.raises(InputError, match="a key has more than 32 parts"):
        Recipe.load(path)
    assert time.process_time() - began < 5


def test_names_of_layers_may_have_many_parts(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(f'keep_float = ["{"a." * 20}b", "c"]\n')
    assert Recipe.load(path).keep_float == ("a." * 20 + "b", "c")
