"""Images and labels in the columns of a Parquet file."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.data.arrays import MUCH, check_expansion
from sub8.data.dataset import Dataset
from sub8.data.images import decode_image
from sub8.errors import InputError, first_line


class ParquetImages(Dataset):
    """A Parquet file: column ``image`` (encoded bytes, or a struct with ``bytes``), optional
    integer ``label``.
    """

    def __init__(self, path: Path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.name = str(path)
        try:
            table = pq.ParquetFile(path, memory_map=True)
            groups = range(table.metadata.num_row_groups)
            told = sum(table.metadata.row_group(i).total_byte_size for i in groups)
            check_expansion(path, told)
            columns = [field.name for field in table.schema_arrow]
            for column in ("image", "label"):
                if columns.count(column) > 1:
                    raise InputError(f"{path}: has {columns.count(column)} columns {column!r}")
            if "image" not in columns:
                raise InputError(
                    f"{path}: no column 'image'; it has {', '.join(columns) or 'none'}"
                )
            has_label = "label" in columns
            rows = _read(table, path, ["image", "label"] if has_label else ["image"], told)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path}: not a readable Parquet file ({first_line(error)})"
            ) from error
        self._images = rows.column("image")
        self._labels: list[int] | None = None
        if has_label:
            kind = rows.column("label").type
            if not pa.types.is_integer(kind):
                raise InputError(f"{path}: column 'label' must hold integers, not {kind}")
            labels = rows.column("label").to_pylist()
            if None in labels:
                raise InputError(f"{path}: row {labels.index(None)} has no label")
            self._labels = labels

    def __len__(self) -> int:
        return len(self._images)

    def array(self, index: int) -> NDArray[np.uint8]:
        value: Any = self._images[index].as_py()
        if isinstance(value, dict):
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise InputError(
                f"{self.sample_name(index)}: column 'image' holds no encoded image bytes"
            )
        return decode_image(io.BytesIO(value), self.sample_name(index))

    def label(self, index: int) -> int | None:
        return None if self._labels is None else self._labels[index]


def _read(table: Any, path: Path, columns: list[str], told: int) -> Any:
    """Columns of a ``ParquetFile``, in memory; ``told``: what it says that its pages unpack to.

    A value that is stored once may stand in every row, which that size does not tell. No value is
    larger than it, so batches of so few rows stay below MUCH.
    """
    import pyarrow as pa

    batches: list[Any] = []
    unpacked = 0
    for batch in table.iter_batches(max(1, min(1024, MUCH // max(told, 1))), columns=columns):
        unpacked += batch.nbytes
        check_expansion(path, unpacked)
        batches.append(batch)
    if not batches:
        raise InputError(f"{path}: holds no images")
    return pa.Table.from_batches(batches)
