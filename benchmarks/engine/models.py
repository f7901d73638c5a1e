"""The models under comparison and the files each runtime gets.

Weights are random (seeded), since speed does not depend on their values, unless a folder with the
float models is given (``NAME.onnx``, or with ``-`` for ``_``). Every file is built once into the
cache folder; delete the folder to build anew."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

import sub8
from sub8 import zoo
from sub8.graph.read import read_model
from sub8.graph.write import write_model
from sub8.study.peers import quantize_with_onnxruntime

BENCHMARKS = Path(__file__).resolve().parents[1]
CALIBRATION_IMAGES = 8


@dataclass(frozen=True)
class Network:
    """A network of the zoo and the shape of one image (or row)."""

    name: str
    build: Callable[[], ir.Model]
    image: tuple[int, ...]


@dataclass(frozen=True)
class Candidate:
    """One line of the comparison: a runtime and how its file is made from the fp32 ONNX file."""

    name: str
    runtime: str
    suffix: str
    build: Callable[[Path, Network, Path], None]


def calibration(network: Network) -> NDArray[np.float32]:
    """Random images ``[8, *image]``, the same for every quantiser."""
    shape = (CALIBRATION_IMAGES, *network.image)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def linear_4096() -> ir.Model:
    """One fully connected layer, 4096 to 4096."""
    weight = np.random.default_rng(0).standard_normal((4096, 4096), np.float32) / 64
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["image", "weight"], ["logits"], name="linear")],
        "linear_4096",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", 4096])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 4096])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    opset = [onnx.helper.make_opsetid("", 21)]
    return ir.from_proto(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10))


IMAGE = (3, 224, 224)
NETWORKS = [
    Network("resnet18", lambda: zoo.build("resnet18"), IMAGE),
    Network("resnet50", lambda: zoo.build("resnet50"), IMAGE),
    Network("resnet101", lambda: zoo.build("resnet101"), IMAGE),
    Network("mobilenet_v2", lambda: zoo.build("mobilenet_v2"), IMAGE),
    Network("efficientnet_lite0", lambda: zoo.build("efficientnet_lite0"), IMAGE),
    Network("linear_4096", linear_4096, (4096,)),
]


def float_file(network: Network, cache: Path, given: Path | None) -> Path:
    """The fp32 ONNX file that all others are made from."""
    path = cache / f"{network.name}.fp32.onnx"
    if not path.exists():
        source = given_file(network, given)
        write_model(network.build() if source is None else read_model(source), path)
    return path


def given_file(network: Network, given: Path | None) -> Path | None:
    """The network's float model in the folder of given ones, None where it has none."""
    if given is None:
        return None
    names = (network.name, network.name.replace("_", "-"))
    return next((path for name in names if (path := given / f"{name}.onnx").exists()), None)


def with_sub8(weights: sub8.WeightFormat) -> Callable[[Path, Network, Path], None]:
    def build(source: Path, network: Network, out: Path) -> None:
        # A lone linear layer is first and last at once; there the comparison is about its weights.
        last = weights if network.name == "linear_4096" else sub8.Int8()
        recipe = sub8.Recipe(weights=weights, first=last, last=last, method="optimal")
        sub8.quantize(source, calibration(network), recipe).save(out)

    return build


def as_is(source: Path, network: Network, out: Path) -> None:
    out.hardlink_to(source)


def with_onnxruntime(source: Path, network: Network, out: Path) -> None:
    quantize_with_onnxruntime(source, (image[None] for image in calibration(network)), "image", out)


def with_matmul_nbits(bits: int) -> Callable[[Path, Network, Path], None]:
    def build(source: Path, network: Network, out: Path) -> None:
        from onnxruntime.quantization.matmul_nbits_quantizer import (
            DefaultWeightOnlyQuantConfig,
            MatMulNBitsQuantizer,
        )

        settings = DefaultWeightOnlyQuantConfig(
            block_size=64, is_symmetric=True, accuracy_level=4, bits=bits
        )
        quantizer = MatMulNBitsQuantizer(onnx.load(source), algo_config=settings)
        quantizer.process()
        quantizer.model.save_model_to_file(str(out))

    return build


def with_openvino(source: Path, network: Network, out: Path) -> None:
    import openvino

    openvino.save_model(openvino.convert_model(source), out, compress_to_fp16=False)


def with_nncf(source: Path, network: Network, out: Path) -> None:
    sys.path.append(str(BENCHMARKS))
    from nncf_int8 import quantize_with_nncf

    quantize_with_nncf(source, [image[None] for image in calibration(network)], out)


OURS = [
    Candidate("sub8 ternary N=64", "sub8", "t64.onnx", with_sub8(sub8.Ternary(64))),
    Candidate("sub8 ternary N=4", "sub8", "t4.onnx", with_sub8(sub8.Ternary(4))),
    Candidate("sub8 int4 N=64", "sub8", "i4.onnx", with_sub8(sub8.Int4(64))),
    Candidate("sub8 int8", "sub8", "i8.onnx", with_sub8(sub8.Int8())),
]
FLOAT_PEERS = [
    Candidate("ONNX Runtime fp32", "onnxruntime", "ort-fp32.onnx", as_is),
    Candidate("OpenVINO fp32", "openvino", "ov-fp32.xml", with_openvino),
]
INT8_PEERS = [
    Candidate("ONNX Runtime int8", "onnxruntime", "ort-int8.onnx", with_onnxruntime),
    Candidate("OpenVINO int8", "openvino", "ov-int8.xml", with_nncf),
]
LOW_BIT_PEERS = [
    Candidate("ONNX Runtime MatMulNBits 4", "onnxruntime", "nbits4.onnx", with_matmul_nbits(4)),
    Candidate("ONNX Runtime MatMulNBits 2", "onnxruntime", "nbits2.onnx", with_matmul_nbits(2)),
]


def candidates(network: Network) -> list[Candidate]:
    """What is timed on a network: ours, and every peer that can run it."""
    low_bit = LOW_BIT_PEERS if network.name == "linear_4096" else []
    return [*OURS, *FLOAT_PEERS, *INT8_PEERS, *low_bit]


def prepare(candidate: Candidate, network: Network, cache: Path, given: Path | None = None) -> Path:
    """The candidate's file, built if it is not there yet (beside first, so that a kill leaves no
    half file).
    """
    path = cache / f"{network.name}.{candidate.suffix}"
    if not path.exists():
        unfinished = cache / "unfinished"
        unfinished.mkdir(exist_ok=True)
        draft = unfinished / path.name
        draft.unlink(missing_ok=True)
        candidate.build(float_file(network, cache, given), network, draft)
        for part in sorted(unfinished.iterdir(), key=lambda part: part == draft):
            part.rename(cache / part.name)  # weights beside an OpenVINO graph first, the graph last
    return path
