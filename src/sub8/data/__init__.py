"""Images, labels and arrays from files and memory (``open_dataset``), made into network inputs
(``load_batches``).
"""

from sub8.data.arrays import ArrayData
from sub8.data.batches import load_batches
from sub8.data.dataset import Dataset, ImageRange, parse_range
from sub8.data.datasets import DataSource, open_dataset
from sub8.data.images import decode_image
from sub8.data.inputs import Feed, load_feeds, open_inputs
from sub8.data.preprocess import Preprocess

__all__ = [
    "ArrayData",
    "DataSource",
    "Dataset",
    "Feed",
    "ImageRange",
    "Preprocess",
    "decode_image",
    "load_batches",
    "load_feeds",
    "open_dataset",
    "open_inputs",
    "parse_range",
]
