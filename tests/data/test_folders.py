"""Which folders are classes, and which class is which."""

import numpy as np
import pytest
from PIL import Image

from sub8.data import open_dataset
from sub8.data.folders import class_numbers
from sub8.errors import InputError, Sub8Warning


def add(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), shade, np.uint8)).save(path)


@pytest.fixture
def root(tmp_path):
    for number, name in enumerate(("ant", "bee", "cat")):
        add(tmp_path / name / "1.png", number)
    return tmp_path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("beside", [".ipynb_checkpoints", "__MACOSX", ".cache", "@eaDir"])
@pytest.mark.parametrize("filled", [False, True])
def test_hidden_folders_are_no_classes(root, beside, filled):
    (root / beside).mkdir()
    if filled:
        add(root / beside / "1.png")
        add(root / "ant" / beside / "1.png")
        (root / "ant" / "._1.png").write_bytes(b"\0\5\x16\7")
    assert [(image[0, 0, 0], label) for image, label in open_dataset(root)] == [
        (0, 0),
        (1, 1),
        (2, 2),
    ]


def test_a_folder_without_images_is_no_class_and_told(root):
    (root / "alone").mkdir()
    (root / "alone" / "readme.txt").write_text("nothing to see")
    with pytest.warns(Sub8Warning, match="without images are not counted as classes: alone"):
        assert [label for _, label in open_dataset(root)] == [0, 1, 2]


def test_images_deeper_down_and_images_beside(root):
    add(root / "bee" / "more" / "2.png", 9)
    assert len(open_dataset(root)) == 4
    add(root / "cover.png")
    with pytest.warns(Sub8Warning, match="1 images beside the class folders"):
        assert len(open_dataset(root)) == 4


def test_a_flat_folder_stays_flat(tmp_path):
    for number in range(3):
        add(tmp_path / f"{number}.png", number)
    add(tmp_path / ".thumbnails" / "0.png")
    assert [label for _, label in open_dataset(tmp_path)] == [None] * 3


def test_parts_of_a_data_set_are_no_classes(tmp_path):
    add(tmp_path / "train" / "ant" / "1.png")
    add(tmp_path / "val" / "ant" / "1.png")
    with pytest.raises(InputError, match="parts of a data set"):
        open_dataset(tmp_path)


LABELS = ["n01440764 tench, Tinca tinca", "goldfish", "Great White Shark", "crane", "crane", "7"]


@pytest.mark.parametrize(
    ("folders", "labels", "numbers"),
    [
        (["a", "b"], None, [0, 1]),
        (["10", "9"], None, [10, 9]),
        (["007", "1"], LABELS, [7, 1]),
        (["7"], LABELS, [5]),
        (["goldfish", "n01440764"], LABELS, [1, 0]),
        (["Goldfish", "great_white_shark", "tench"], LABELS, [1, 2, 0]),
        (["n1", "n2", "n3", "n4", "n5", "n6"], LABELS, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_numbers_of_classes(folders, labels, numbers):
    assert class_numbers("d", folders, labels) == numbers


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["goldfish", "golfdish"], "none of the model's labels: golfdish"),
        (["goldfish", "crane"], "none of the model's labels: crane"),  # which of the two?
        (["ant", "bee"], "2 class folders, named after none of the model's 6 labels"),
        (["1", "01"], "by one number"),
    ],
)
def test_what_cannot_be_told(folders, words):
    with pytest.raises(InputError, match=words):
        class_numbers("d", folders, LABELS)


def test_who_needs_no_labels_is_not_bothered_by_names(root):
    data = open_dataset(root, ["x", "y"])
    assert len(data) == 3 and data.array(0).shape == (4, 4, 3)
    with pytest.raises(InputError, match="named after none"):
        data.label(0)
