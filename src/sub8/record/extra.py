"""The packages of the extra ``records`` are imported only where a record needs them."""

from sub8.errors import InputError
from sub8.extras import missing_extra


def need_extra(package: str) -> InputError:
    """The error to raise where ``package`` cannot be imported."""
    return missing_extra("records", package, "a record")
