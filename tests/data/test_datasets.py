"""Every kind of data set, its order, and the errors for broken ones."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sub8.data import load_batches, open_dataset, parse_range
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError

PLAIN = Preprocess(size=8)


def picture(shade: int, size: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((*size, 3), shade, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def parquet(path, images, labels):
    pq.write_table(pa.table({"image": images, "label": pa.array(labels, pa.int32())}), path)
    return path


def class_folders(root, names, per_class=2):
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for place in range(per_class):
            (root / name / f"{place}.png").write_bytes(picture(10 * number + place))
    return root


def test_parquet_rows_keep_their_order_and_labels(tmp_path):
    data = open_dataset(parquet(tmp_path / "d.parquet", [picture(s) for s in (3, 1, 2)], [7, 8, 9]))
    assert [(int(image[0, 0, 0]), label) for image, label in data] == [(3, 7), (1, 8), (2, 9)]


def test_parquet_takes_images_as_structs_with_bytes(tmp_path):
    images = [{"bytes": picture(5), "path": "a.png"}]
    data = open_dataset(parquet(tmp_path / "d.parquet", images, [0]))
    assert data.array(0)[0, 0, 0] == 5


def test_a_folder_takes_its_classes_in_turn(tmp_path):
    data = open_dataset(class_folders(tmp_path / "d", ["cat", "ant", "bee"]))
    # sorted names count from 0: ant (second made, shade 10), bee (20), cat (0)
    expected = [(10, 0), (20, 1), (0, 2), (11, 0), (21, 1), (1, 2)]
    assert [(int(image[0, 0, 0]), label) for image, label in data] == expected


def test_class_folders_named_by_labels_or_numbers_take_those_indices(tmp_path):
    named = open_dataset(class_folders(tmp_path / "a", ["cat", "ant"]), ["dog", "cat", "ant"])
    assert [label for _, label in named] == [1, 2, 1, 2]
    numbered = open_dataset(class_folders(tmp_path / "b", ["10", "9"]))
    assert sorted({label for _, label in numbered}) == [9, 10]


def test_a_flat_folder_and_one_image_have_no_labels(tmp_path):
    (tmp_path / "b.png").write_bytes(picture(2))
    (tmp_path / "a.png").write_bytes(picture(1))
    assert [(int(i[0, 0, 0]), label) for i, label in open_dataset(tmp_path)] == [
        (1, None),
        (2, None),
    ]
    assert len(open_dataset(tmp_path / "a.png")) == 1


def test_arrays_of_images_and_of_tensors(tmp_path):
    images = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    np.savez(tmp_path / "d.npz", images=images, labels=np.array([4, 5]))
    assert [label for _, label in open_dataset(tmp_path / "d.npz")] == [4, 5]
    tensors = np.random.default_rng(0).standard_normal((3, 2, 4, 4))
    np.save(tmp_path / "t.npy", tensors)
    ((batch, labels),) = load_batches(open_dataset(tmp_path / "t.npy"), None)
    assert labels is None and batch.dtype == np.float32
    np.testing.assert_array_equal(batch, tensors.astype(np.float32))


def test_batches_cover_a_range_in_order():
    tensors = np.arange(10, dtype=np.float32)[:, None]
    batches = [x.ravel().tolist() for x, _ in load_batches(open_dataset(tensors), None, "3:8", 2)]
    assert batches == [[3, 4], [5, 6], [7]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", slice(0, 5)),
        (5, slice(0, 5)),
        ("2:5", slice(2, 5)),
        (":3", slice(0, 3)),
        ("4:", slice(4, None)),
    ],
)
def test_ranges(text, expected):
    assert parse_range(text) == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "0", 0, "5:5", "7:2", "1:2:3", True, 1.5])
def test_wrong_ranges(text):
    with pytest.raises(InputError):
        parse_range(text)


def test_a_range_past_the_end_selects_nothing():
    with pytest.raises(InputError, match="selects none of 2"):
        open_dataset(np.zeros((2, 3), np.float32)).select("5:9")


def test_a_broken_image_names_its_row(tmp_path):
    whole = picture(9, (64, 64), "JPEG")
    path = parquet(
        tmp_path / "d.parquet", [whole, whole[: len(whole) // 2], b"nonsense"], [0, 0, 0]
    )
    data = open_dataset(path)
    data.array(0)
    for row in (1, 2):
        with pytest.raises(InputError, match=f"d.parquet: row {row}"):
            data.array(row)


def test_broken_and_empty_sources_name_the_file(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "bad.npz").write_bytes(b"PK nonsense")
    (tmp_path / "bad.npy").write_bytes(b"")
    (tmp_path / "bad.txt").write_text("text")
    (tmp_path / "bad.png").write_bytes(b"")
    (tmp_path / "none").mkdir()
    (tmp_path / "hollow" / "class").mkdir(parents=True)
    np.save(tmp_path / "zero.npy", np.zeros((0, 3), np.float32))
    np.save(tmp_path / "int.npy", np.zeros((2, 3), np.int64))
    np.save(tmp_path / "object.npy", np.array([{}, {}]), allow_pickle=True)
    parquet(tmp_path / "empty.parquet", pa.array([], pa.binary()), [])
    pq.write_table(pa.table({"picture": [b""]}), tmp_path / "column.parquet")
    for name in sorted(entry.name for entry in tmp_path.iterdir()) + ["absent"]:
        with pytest.raises(InputError, match=name):
            open_dataset(tmp_path / name).array(0)


def test_images_need_a_preprocessing_and_tensors_must_be_finite():
    with pytest.raises(InputError, match=r"preprocess=sub8\.Preprocess"):
        next(load_batches(open_dataset(np.zeros((1, 8, 8, 3), np.uint8)), None))
    with pytest.raises(InputError, match="row 1"):
        list(load_batches(open_dataset(np.array([[0.0], [np.nan]])), None))
    ((batch, _),) = load_batches(open_dataset(np.full((1, 8, 8, 3), 7, np.uint8)), PLAIN)
    assert batch.shape == (1, 3, 8, 8) and (batch == 7).all()
