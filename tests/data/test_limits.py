"""Small files that unpack to very much: refused before any of it is in memory."""

import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sub8.data import arrays, open_dataset, parquet
from sub8.errors import InputError


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(arrays, "MUCH", 1 << 20)
    monkeypatch.setattr(parquet, "MUCH", 1 << 20)


def test_an_archive_of_zeros(tmp_path, small_limit, monkeypatch):
    path = tmp_path / "d.npz"
    np.savez_compressed(path, images=np.zeros((30000, 3, 8, 8), np.float32))

    def never(*_, **__):
        raise AssertionError("it is unpacked")

    monkeypatch.setattr(np.lib.format, "read_array", never)
    with pytest.raises(InputError, match="more than 100 times"):
        open_dataset(path)


def test_an_archive_may_be_compressed_well(tmp_path, small_limit):
    path = tmp_path / "d.npz"
    noise = np.random.default_rng(0).integers(0, 4, (100, 64, 64, 3)).astype(np.uint8)
    np.savez_compressed(path, images=noise)
    assert len(open_dataset(path)) == 100


def test_a_table_of_zeros(tmp_path, small_limit):
    path = tmp_path / "d.parquet"
    table = pa.table({"image": [bytes(1 << 16) + bytes([n]) for n in range(200)]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    with pytest.raises(InputError, match="more than 100 times"):
        open_dataset(path)


@pytest.mark.parametrize("nested", [False, True])
def test_a_value_that_stands_in_every_row(tmp_path, small_limit, nested):
    path = tmp_path / "d.parquet"
    image = bytes(1 << 15)
    pq.write_table(pa.table({"image": [{"bytes": image} if nested else image] * 3000}), path)
    assert path.stat().st_size < 1 << 16
    with pytest.raises(InputError, match="more than 100 times"):
        open_dataset(path)


def test_a_header_that_states_more_than_follows(tmp_path):
    head = io.BytesIO()
    told = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 3, 6, 6)}
    np.lib.format.write_array_header_1_0(head, told)
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", head.getvalue() + bytes(100))
    with pytest.raises((InputError, MemoryError)):
        open_dataset(path)
