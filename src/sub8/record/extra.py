"""The packages of the extra ``records`` are imported only where a record needs them."""

from sub8.errors import InputError


def need_extra(package: str) -> InputError:
    """The error to raise where ``package`` cannot be imported."""
    return InputError(
        f"records need the package {package!r}, which is not installed: pip install 'sub8[records]'"
    )
