"""Read ONNX files that may be damaged or hostile: every defect becomes one clear line."""

import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from sub8.errors import InputError, first_line, innermost
from sub8.files import COMPILED
from sub8.graph.check import check_model
from sub8.graph.convert import convert_old
from sub8.graph.finite import FLOATS, not_finite, reading_layer
from sub8.graph.guards import guarded
from sub8.graph.library_logs import quiet
from sub8.graph.opset import OPSET
from sub8.graph.stored import StoredElements, leave_in_file, stored_bytes

LARGEST_FILE = 2**31 - 1  # protobuf's own limit
LARGEST_TENSOR = 2**32  # bytes
_EXTERNAL = ("location", "offset", "length")  # of the facts about external data what counts


def read_model(path: str | os.PathLike[str]) -> ir.Model:
    """Read and check an ONNX model; all its tensors are then in memory and the file may change.

    Raises InputError as ``open_model``.
    """
    model = open_model(path)
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.LazyTensor):
            value.const_value = value.const_value.raw()
    return model


def open_model(path: str | os.PathLike[str]) -> ir.Model:
    """Check an ONNX model and leave its large weights in the file, from which each is read whenever
    it is used.

    Opsets before 13 are converted, nodes that are out of order sorted.

    Raises InputError where the file is missing, unreadable, truncated, not ONNX, of an opset that
    cannot be converted or is newer than the artifact's, not valid (``check_model``), names external
    data that is missing, too short or outside the model's folder, or holds NaN or infinite weights.
    """
    path = Path(path)
    proto, stored = _parse(path)
    _check_opset(proto, path)
    try:
        folder = _check_external_data(proto, path)
    except OSError as error:  # such as a name that is too long
        raise InputError(f"{path}: external data cannot be read: {error.strerror}") from error
    try:
        with quiet("onnx_ir"):
            model = ir.from_proto(proto)
        ir.external_data.set_base_dir(model.graph, folder)
        model = ir.external_data.load_to_model(model)
        for name, elements in stored.items():
            value = model.graph.initializers[name]
            assert value.const_value is not None
            value.const_value = elements.tensor(value.const_value)
    except Exception as error:
        raise InputError(
            f"{path}: not a valid ONNX model: {first_line(innermost(error))}"
        ) from error
    _check_attributes(model, path)
    _check_tensors(model, path)
    try:
        model.graph.sort()
        _open_negative_sizes(model.graph)
        inferred = check_model(model)
        return guarded(convert_old(model), inferred)
    except Exception as error:
        raise InputError(f"{path}: {first_line(innermost(error))}") from error


def model_bytes(path: str | os.PathLike[str]) -> int:
    """What a valid model takes on the disk, external data included."""
    path = Path(path)
    proto, _ = _parse(path)
    folder = _check_external_data(proto, path)
    beside = {folder / _location(tensor, path) for tensor in _external(proto)}
    return path.stat().st_size + sum(file.stat().st_size for file in beside)


def _parse(path: Path) -> tuple[onnx.ModelProto, dict[str, StoredElements]]:
    """The model without its large initializers' elements, and where those are."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InputError(
                f"{path}: {size} bytes are more than ONNX allows; keep the weights in external data"
            )
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            if content[: len(COMPILED)] == COMPILED:
                raise InputError(
                    f"{path}: a compiled model; give the ONNX file that it was made of"
                )
            proto = onnx.ModelProto()
            with memoryview(content) as view:
                proto.ParseFromString(view)
            stored = leave_in_file(proto, content, file, path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (DecodeError, RuntimeError, ValueError) as error:  # ValueError: of an empty file
        raise InputError(f"{path}: not an ONNX model, or truncated") from error
    if not proto.ir_version or not proto.graph.node or not proto.graph.output:
        raise InputError(
            f"{path}: not an ONNX model, or truncated (no graph with nodes and outputs)"
        )
    # Parsed again, because protobuf keeps the memory of fields that are cleared.
    return onnx.ModelProto.FromString(proto.SerializeToString()), stored


def _check_opset(proto: onnx.ModelProto, path: Path) -> None:
    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        raise InputError(f"{path}: names no version of the standard operators")
    if versions[0] > OPSET:
        raise InputError(
            f"{path}: opset {versions[0]} is newer than {OPSET}; export with opset_version={OPSET}"
        )


def _check_external_data(proto: onnx.ModelProto, path: Path) -> Path:
    """Check all external data, and let every location name the real file in the folder that is
    returned.

    It lies in the model's folder, or where that is a link, beside the real file. A location must
    stay inside the folder, and what it names there inside the folder of the model or of its real
    file when links are followed: as in the Hugging Face cache, where both are links into one folder
    of blobs."""
    real = Path(os.path.realpath(path)).parent
    tensors = _external(proto)
    folder = path.parent
    if any(not (folder / _location(tensor, path)).is_file() for tensor in tensors):
        folder = real
    homes = (Path(os.path.realpath(folder)), real)
    targets = []
    for tensor in tensors:
        location = _location(tensor, path)
        where = f"{path}: tensor {tensor.name!r}: external data {location!r}"
        target = Path(os.path.realpath(folder / location))
        if not any(target.is_relative_to(home) for home in homes):
            raise InputError(
                f"{where} lies outside the model's folder; put the file itself there, not a link"
            )
        if not target.is_file():
            raise InputError(f"{where} is missing; it must lie beside the model")
        _check_length(tensor, target.stat().st_size, where)
        targets.append(target)
    if not targets:
        return real
    common = Path(os.path.commonpath([target.parent for target in targets]))
    for tensor, target in zip(tensors, targets, strict=True):
        facts = {entry.key: entry.value for entry in tensor.external_data}
        facts["location"] = target.relative_to(common).as_posix()
        del tensor.external_data[:]
        for key in _EXTERNAL:
            if key in facts:
                tensor.external_data.add(key=key, value=facts[key])
    return common


def _external(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [t for t in _tensors(proto) if t.data_location == onnx.TensorProto.EXTERNAL]


def _location(tensor: onnx.TensorProto, path: Path) -> str:
    location = next((e.value for e in tensor.external_data if e.key == "location"), "")
    where = f"{path}: tensor {tensor.name!r}: external data {location!r}"
    if not isinstance(location, str):  # as protobuf gives text that is no UTF-8
        raise InputError(f"{where} is no text")
    if not location or os.path.isabs(location) or "\0" in location:
        raise InputError(f"{where} must be a path relative to the model")
    if os.path.normpath(location).split(os.sep)[0] == os.pardir:
        raise InputError(f"{where} lies outside the model's folder")
    return location


def _check_length(tensor: onnx.TensorProto, size: int, where: str) -> None:
    facts = {entry.key: entry.value for entry in tensor.external_data}
    try:
        offset, length = int(facts.get("offset", 0)), int(facts.get("length", -1))
    except ValueError as error:
        raise InputError(f"{where}: offset or length is no number") from error
    length = size - offset if "length" not in facts else length
    needed = stored_bytes(tensor)
    if offset < 0 or length < needed or offset + length > size:
        raise InputError(f"{where} is too short: {size} bytes")
    if length > LARGEST_TENSOR:
        raise InputError(f"{where}: {length} bytes are too many")


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every dense tensor of the model: initializers and attributes, subgraphs and functions
    included.
    """
    pending: list[onnx.GraphProto | onnx.NodeProto] = [proto.graph]
    for function in proto.functions:
        pending.extend(function.node)
    while pending:
        item = pending.pop()
        if isinstance(item, onnx.GraphProto):
            yield from item.initializer
            pending.extend(item.node)
            continue
        for attribute in item.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                pending.append(attribute.g)
            pending.extend(attribute.graphs)


def _open_negative_sizes(graph: ir.Graph) -> None:
    """Let sizes of the graph's ends that a file gives as -1, as PaddlePaddle's do, be open."""
    for value in (*graph.inputs, *graph.outputs):
        sizes = () if value.shape is None else value.shape
        if any(isinstance(size, int) and size < 0 for size in sizes):
            value.shape = ir.Shape(
                [None if isinstance(size, int) and size < 0 else size for size in sizes]
            )


def _check_attributes(model: ir.Model, path: Path) -> None:
    for node in model.graph.all_nodes():
        for attribute in node.attributes.values():
            if attribute.is_ref():
                raise InputError(
                    f"{path}: node {node.name or node.op_type!r}: attribute {attribute.name!r} is"
                    " that of a function, but the node is in none"
                )


def _check_tensors(model: ir.Model, path: Path) -> None:
    parameters = {name for name, value in model.graph.initializers.items() if reading_layer(value)}
    for name, tensor in _held(model):
        where = f"{path}: tensor {name!r}"
        if tensor.dtype == ir.DataType.UNDEFINED:
            raise InputError(f"{where} has no type")
        shape = tensor.shape.numpy()
        if any(size < 0 for size in shape):
            raise InputError(f"{where} has a negative size: {list(shape)}")
        bits = 8 if tensor.dtype == ir.DataType.STRING else max(tensor.dtype.bitwidth, 8)
        if math.prod(shape) * bits // 8 > LARGEST_TENSOR:
            raise InputError(f"{where} of shape {list(shape)} is too large")
        if tensor.dtype == ir.DataType.STRING:
            continue
        if isinstance(tensor, ir.LazyTensor) and tensor.dtype not in FLOATS:
            continue  # found in the file at its full length
        try:
            elements = tensor.numpy()
        except Exception as error:
            raise InputError(f"{where}: damaged data: {first_line(innermost(error))}") from error
        if elements.shape != tuple(shape):
            raise InputError(f"{where}: {elements.size} elements do not fill {list(shape)}")
        if tensor.dtype in FLOATS:
            kind = not_finite(elements)
            if kind == "NaN" or (kind is not None and name in parameters):
                raise InputError(f"{where} holds {kind}; the weights are damaged")


def _held(model: ir.Model) -> Iterator[tuple[str, ir.TensorProtocol]]:
    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield str(value.name), value.const_value
        for node in graph:
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.TENSOR and attribute.value is not None:
                    yield node.outputs[0].name or node.op_type, attribute.value
