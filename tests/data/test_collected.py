"""What Python programs have at hand is data: DataLoaders, pairs, dicts, pictures, paths, tensors,
generators.
"""

import itertools

import numpy as np
import pytest
from PIL import Image

from sub8.data import Preprocess, load_batches, open_dataset
from sub8.errors import InputError, MissingPreprocessError, Sub8Warning

torch = pytest.importorskip("torch")

TENSORS = np.random.default_rng(0).standard_normal((6, 3, 8, 8)).astype(np.float32)
PIXELS = np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3), np.uint8)
LABELS = np.arange(6) % 4
SMALL = Preprocess(size=8)


class MapStyle(torch.utils.data.Dataset):
    """A map-style data set of PyTorch: no ``__iter__``, one sample and its label an index."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.from_numpy(TENSORS[index]), int(LABELS[index])


def loader(*arrays, **options):
    data = torch.utils.data.TensorDataset(*map(torch.from_numpy, arrays))
    return torch.utils.data.DataLoader(data, batch_size=4, **options)


def named(batch):
    return {"pixel_values": torch.stack([x for x, _ in batch]), "labels": [y for _, y in batch]}


WITH_LABELS = {
    "DataLoader": loader(TENSORS, LABELS),
    "DataLoader of dicts": loader(TENSORS, LABELS, collate_fn=named),
    "map-style data set": MapStyle(),
    "its loader": torch.utils.data.DataLoader(MapStyle(), batch_size=5),
    "pair": (TENSORS, LABELS),
    "dict": {"images": TENSORS, "labels": LABELS},
    "pairs": [(TENSORS[:2], LABELS[:2]), (TENSORS[2:], LABELS[2:])],
    "pairs of lists": [(TENSORS[:2].tolist(), LABELS[:2].tolist()), (TENSORS[2:], LABELS[2:])],
    "dicts": [{"x": x[None], "label": [y]} for x, y in zip(TENSORS, LABELS, strict=True)],
}
WITHOUT_LABELS = {
    "tensor": torch.from_numpy(TENSORS).requires_grad_(),
    "generator": (x for x in (TENSORS[:4], TENSORS[4:])),
    "lists": TENSORS.tolist(),
    "batches": [TENSORS[:4], TENSORS[4:]],
    "two batches in a tuple": (TENSORS[:3], TENSORS[3:]),
    "one-tuples": list(loader(TENSORS)),
    "dicts by the input's name": [{"x": TENSORS[:4]}, {"x": TENSORS[4:]}],
    "double": TENSORS.astype(np.float64),
    "masked": np.ma.masked_array(TENSORS),
    "Fortran order": np.asfortranarray(TENSORS),
    "big-endian": TENSORS.astype(">f4"),
}


@pytest.mark.parametrize("kind", WITH_LABELS)
def test_tensors_with_labels(kind):
    data = open_dataset(WITH_LABELS[kind])
    assert [label for _, label in data] == LABELS.tolist()
    np.testing.assert_array_equal(np.concatenate([x for x, _ in load_batches(data, None)]), TENSORS)


@pytest.mark.parametrize("kind", WITHOUT_LABELS)
def test_tensors_without_labels(kind):
    ((x, labels),) = load_batches(open_dataset(WITHOUT_LABELS[kind]), None)
    assert labels is None and x.dtype == np.float32
    np.testing.assert_array_equal(x, TENSORS)


def test_bfloat16_and_half_tensors():
    for kind in (torch.bfloat16, torch.float16):
        tensor = torch.from_numpy(TENSORS).to(kind)
        ((x, _),) = load_batches(open_dataset(tensor), None)
        np.testing.assert_array_equal(x, tensor.float().numpy())


def pictures(tmp_path):
    paths = []
    for number, pixels in enumerate(PIXELS):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    channels_first = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).copy())
    pillow = [Image.fromarray(pixels) for pixels in PIXELS]
    labelled = list(zip(pillow, LABELS.tolist(), strict=True))
    yield from (
        pillow,
        pillow[0].copy,
        paths,
        np.array([str(path) for path in paths]),
        list(PIXELS),
    )
    yield from (PIXELS, [PIXELS[:4], PIXELS[4:]], channels_first, list(channels_first))
    yield from (labelled, {"image": pillow, "label": LABELS.tolist()}, [pillow[:4], pillow[4:]])
    yield [{"image": picture, "label": label} for picture, label in labelled]


def test_images(tmp_path):
    checked = 0
    for source in pictures(tmp_path):
        if callable(source):
            continue
        data = open_dataset(source)
        np.testing.assert_array_equal(np.stack([image for image, _ in data]), PIXELS)
        checked += 1
    assert checked == 12


def test_an_endless_generator_is_read_no_further_than_asked():
    endless = (TENSORS[:4] for _ in itertools.count())
    assert len(open_dataset(endless, limit=10).select(10)) == 10


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (7, "must be a path, an array"),
        (None, "must be a path, an array"),
        ([None], "row 0: is NoneType"),
        ([], "holds no images"),
        (iter(()), "holds no images"),
        ([TENSORS, TENSORS[0]], "differ in kind"),
        ([TENSORS, PIXELS], "differ in kind"),
        ([{"a": TENSORS, "b": TENSORS}], "Name it 'image'"),
        ([(TENSORS, LABELS[:4])], "labels must be 6 integers"),
        ([[[1.0, 2.0], [3.0]]], "differ in shape"),
        (TENSORS.astype(np.int32), "convert pixels"),
        (TENSORS[:, :0], "holds no images"),
        (PIXELS[:0], "holds no images"),
        (np.float32(1), "no batch"),
        (np.ones(3, np.complex64), "no batch"),
        (["absent.png"], "absent.png: no such file"),
        (np.array([{}, {}]), "row 0"),
    ],
)
def test_what_is_no_data(source, words):
    with pytest.raises(InputError, match=words):
        open_dataset(source)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300, 3.5e38])
def test_what_float32_cannot_hold_names_its_row(value):
    wide = TENSORS.astype(np.float64)
    wide[4, 0, 0, 0] = value
    with pytest.raises(InputError, match="data: row 4: holds"):
        list(load_batches(open_dataset([wide[:3], wide[3:]]), None))


def test_images_without_preprocessing_are_told_so_in_python():
    with pytest.raises(MissingPreprocessError, match=r"give preprocess=sub8\.Preprocess"):
        next(load_batches(open_dataset(PIXELS), None))


def test_unprepared_tensors_are_told():
    prepared = Preprocess(size=8, scale=1 / 255, mean=(0.5,) * 3, std=(0.25,) * 3)
    ready = np.stack([prepared.apply(pixels) for pixels in PIXELS])
    list(load_batches(open_dataset(ready), prepared))
    for raw in (PIXELS / 255, PIXELS.astype(np.float32)):
        with pytest.warns(Sub8Warning, match="go to the network as they are"):
            list(load_batches(open_dataset(raw.transpose(0, 3, 1, 2)), prepared))


def test_a_last_batch_filled_up():
    batches = list(load_batches(open_dataset((TENSORS, LABELS)), None, batch=4, filled=True))
    assert [x.shape[0] for x, _ in batches] == [4, 4]
    np.testing.assert_array_equal(batches[1][0][2:], TENSORS[[5, 5]])
    assert batches[1][1].tolist() == LABELS[4:].tolist()
