"""A recipe: plain data that says how each layer is quantised. TOML on disk, dataclasses in
Python.
"""

import fnmatch
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from sub8.errors import InputError
from sub8.files import read_text
from sub8.numerics.weight_format import WEIGHT_FORMATS, IntegerFormat

Method = Literal["paper", "optimal", "hessian", "reconstruct", "auto"]
METHODS: tuple[str, ...] = get_args(Method)

_Value = TypeVar("_Value")

LARGEST_RECIPE = 1 << 20  # bytes
_DEEP_KEY = re.compile(  # of 32 parts
    r"""(?<![\w-])(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}"""
)

Cluster = int | Literal["all"]


@dataclass(frozen=True, eq=False)
class WeightFormat:
    """Weights of one layer: the integers' range and N, the input channels per cluster ("all": one
    cluster).

    kind: one of ``numerics.weight_format.WEIGHT_FORMATS``.
    terms: the weight is the sum of so many clustered weights, each of this kind (residual terms,
    arXiv 1707.04679).

    >>> WeightFormat("ternary", 4) == Ternary(cluster=4)
    True
    >>> WeightFormat("ternary", 64, terms=2).label
    'ternary+ternary N=64'
    """

    kind: str
    cluster: Cluster = "all"
    terms: int = 1

    def __post_init__(self) -> None:
        if self.kind not in WEIGHT_FORMATS:
            raise InputError(f"weights {self.kind!r} unknown; use {_kinds()}")
        valid = self.cluster == "all" or (
            isinstance(self.cluster, int)
            and not isinstance(self.cluster, bool)
            and self.cluster >= 1
        )
        if not valid:
            raise InputError(
                f"cluster {self.cluster!r} must be a whole number of at least 1, or 'all'"
            )
        if (
            not isinstance(self.terms, int)
            or isinstance(self.terms, bool)
            or self.terms not in (1, 2)
        ):
            raise InputError(f"terms {self.terms!r} must be 1 or 2")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeightFormat):
            return NotImplemented
        return astuple(self) == astuple(other)

    def __hash__(self) -> int:
        return hash(astuple(self))

    @property
    def integers(self) -> IntegerFormat:
        """What integers every term holds."""
        return WEIGHT_FORMATS[self.kind]

    @property
    def label(self) -> str:
        """For people: ``ternary N=4``; ``ternary+ternary N=64`` for two terms."""
        return f"{self.kinds} N={self.cluster}"

    @property
    def kinds(self) -> str:
        """The kind of every term: ``ternary+ternary``."""
        return "+".join([self.kind] * self.terms)

    def channels(self, inputs: int) -> int:
        """Input channels of a (full) cluster in a layer with ``inputs`` of them; a larger N means
        all.
        """
        return inputs if self.cluster == "all" else min(self.cluster, inputs)


@dataclass(frozen=True, eq=False)
class Ternary(WeightFormat):
    """Weights alpha * {-1, 0, +1}, or the sum of two such terms."""

    kind: str = field(default="ternary", init=False)
    cluster: Cluster = 4


@dataclass(frozen=True, eq=False)
class Int4(WeightFormat):
    """Weights alpha * [-7, 7]."""

    kind: str = field(default="int4", init=False)
    cluster: Cluster = 4


@dataclass(frozen=True, eq=False)
class Int8(WeightFormat):
    """Weights alpha * [-127, 127]."""

    kind: str = field(default="int8", init=False)
    cluster: Cluster = "all"


def weight_format(kind: str, cluster: Cluster | None = None, terms: int = 1) -> WeightFormat:
    """The format of a kind by its name, an instance of the kind's class where there is one.

    cluster: None for what suits the kind, 4, for 8 bits "all". Raises InputError.
    """
    if cluster is None:
        found = WEIGHT_FORMATS.get(kind)
        cluster = "all" if found is not None and found.eight_bit else 4
    named = next((cls for cls in (Ternary, Int4, Int8) if cls.kind == kind), None)
    if named is None:
        return WeightFormat(kind, cluster, terms)
    return named(cluster=cluster, terms=terms)


def _kinds() -> str:
    *others, last = WEIGHT_FORMATS
    return f"{', '.join(others)} or {last}"


@dataclass(frozen=True)
class Dfp8:
    """8-bit dynamic-fixed-point activations.

    exponent: "static" (calibrated, one per tensor) or "dynamic" (taken at run time from the
    accumulators).
    calibration: how a static exponent is chosen: "max", "percentile" (of ``percentile`` per cent)
    or "mse"."""

    exponent: Literal["static", "dynamic"] = "static"
    calibration: Literal["max", "percentile", "mse"] = "mse"
    percentile: float = 99.99

    def __post_init__(self) -> None:
        if self.exponent not in ("static", "dynamic"):
            raise InputError(f"exponent {self.exponent!r} unknown; use static or dynamic")
        if self.calibration not in ("max", "percentile", "mse"):
            raise InputError(
                f"calibration {self.calibration!r} unknown; use max, percentile or mse"
            )
        if isinstance(self.percentile, bool) or not isinstance(self.percentile, (int, float)):
            raise InputError(f"percentile {self.percentile!r} must be a number")
        if not 50.0 < self.percentile <= 100.0:
            raise InputError(f"percentile {self.percentile} must lie above 50 and at most at 100")


@dataclass(frozen=True)
class Reconstruction:
    """How the methods "reconstruct" and "auto" fit the blocks of a network.

    steps: gradient steps per block; twice as many take twice as long. batch: images per step.
    drop: the part of all activations that a step leaves unquantised (QDrop, arXiv 2203.05740).
    seed: of the order of images and of what is dropped. minutes: after so many "auto" begins no
    further block.
    """

    steps: int = 600
    batch: int = 32
    drop: float = 0.5
    seed: int = 0
    minutes: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name} {value!r} must be a whole number of at least {least}")
        if isinstance(self.drop, bool) or not isinstance(self.drop, (int, float)):
            raise InputError(f"drop {self.drop!r} must be a number")
        if not 0.0 <= self.drop < 1.0:
            raise InputError(f"drop {self.drop} must be at least 0 and below 1")
        if isinstance(self.minutes, bool) or not isinstance(self.minutes, (int, float)):
            raise InputError(f"minutes {self.minutes!r} must be a number")
        if not self.minutes > 0.0:
            raise InputError(f"minutes {self.minutes} must be above 0")


@dataclass(frozen=True)
class Recipe:
    """How a model is quantised.

    weights: every layer not named below; first, last, depthwise: the first and last weighted layers
    and the depthwise ones. overrides: shell-style patterns of layer names, the first match wins
    over all else. keep_float: patterns of names of nodes (``inspect`` shows those of islands) that
    stay in float32.
    method: "paper", "optimal" and "hessian" solve layer by layer; "reconstruct" starts from
    "hessian" and then fits the integers of each block of layers together, by gradients, as
    ``reconstruction`` says (needs PyTorch and static exponents); "auto" does so for weights of
    fewer than 8 bits as far as ``reconstruction.minutes``, the user (Ctrl-C) and what is installed
    let it.
    input_bits: patterns of layer names, as in ``overrides``: at most so many bits (6, 7 or 8) of
    the 8-bit tensor that the layer reads, where a layer or a sum makes it. With 6 the transform of
    F(2 x 2, 3 x 3) fits 8-bit operands.
    correct_statistics: re-estimate each output channel's mean and spread on calibration data.
    """

    weights: WeightFormat = field(default_factory=Int8)
    first: WeightFormat = field(default_factory=Int8)
    last: WeightFormat = field(default_factory=Int8)
    depthwise: WeightFormat = field(default_factory=Int8)
    overrides: dict[str, WeightFormat] = field(default_factory=dict)
    keep_float: tuple[str, ...] = ()
    activations: Dfp8 = field(default_factory=Dfp8)
    input_bits: dict[str, int] = field(default_factory=dict)
    method: Method = "auto"
    reconstruction: Reconstruction = field(default_factory=Reconstruction)
    correct_statistics: bool = True

    def __post_init__(self) -> None:
        for name in ("weights", "first", "last", "depthwise"):
            _check_type(name, getattr(self, name), WeightFormat, "Ternary(4), Int4(4) or Int8()")
        if not isinstance(self.overrides, Mapping):
            raise InputError(
                f"overrides {self.overrides!r} must be a dict from patterns to weights"
            )
        for pattern, fmt in self.overrides.items():
            _check_type("overrides: pattern", pattern, str, "'layer4.*'")
            _check_type(f"overrides: {pattern!r}", fmt, WeightFormat, "Ternary(4) or Int8()")
        if isinstance(self.keep_float, str) or not all(isinstance(p, str) for p in self.keep_float):
            raise InputError(f"keep_float {self.keep_float!r} must be patterns of nodes' names")
        object.__setattr__(self, "keep_float", tuple(self.keep_float))
        self._check_input_bits()
        _check_type("activations", self.activations, Dfp8, "Dfp8()")
        _check_type("reconstruction", self.reconstruction, Reconstruction, "Reconstruction()")
        _check_type("correct_statistics", self.correct_statistics, bool, "True or False")
        if self.method not in METHODS:
            raise InputError(f"method {self.method!r} unknown; use {', '.join(METHODS)}")

    def _check_input_bits(self) -> None:
        _check_type("input_bits", self.input_bits, dict, "a table from patterns to bits")
        for pattern, bits in self.input_bits.items():
            _check_type("input_bits: pattern", pattern, str, "'layer4.*'")
            if isinstance(bits, bool) or bits not in (6, 7, 8):
                raise InputError(f"input_bits: {pattern!r}: {bits!r} must be 6, 7 or 8")
        if self.input_bits and self.activations.exponent != "static":
            raise InputError("input_bits needs static activation exponents")

    @property
    def second_order(self) -> bool:
        """Whether layers are solved through the second moments of their inputs."""
        return self.method in ("hessian", "reconstruct", "auto")

    @property
    def fits_blocks(self) -> bool:
        """Whether blocks of layers are fitted by gradients, as far as that can be had: with weights
        of 8 bits alone nothing is to be won back.
        """
        if self.activations.exponent != "static":
            return False
        chosen = (self.weights, self.first, self.last, self.depthwise, *self.overrides.values())
        low = not all(fmt.integers.eight_bit for fmt in chosen)
        return self.method == "reconstruct" or (self.method == "auto" and low)

    def weight_format(
        self, layer: str, *, first: bool, last: bool, depthwise: bool
    ) -> WeightFormat:
        """The format for one layer, by name pattern, then by its place, then the default."""
        named = self.override(layer)
        if named is not None:
            return named
        if first:
            return self.first
        if last:
            return self.last
        return self.depthwise if depthwise else self.weights

    def unmatched(self, layers: Collection[str], nodes: Collection[str]) -> list[str]:
        """The patterns of ``overrides`` and ``input_bits`` that match none of the layers, and those
        of ``keep_float`` that match none of the nodes.
        """
        asked: list[tuple[Collection[str], Collection[str]]] = [
            (self.overrides, layers),
            (self.input_bits, layers),
            (self.keep_float, nodes),
        ]
        return [
            pattern
            for patterns, names in asked
            for pattern in patterns
            if not any(fnmatch.fnmatchcase(name, pattern) for name in names)
        ]

    def override(self, layer: str) -> WeightFormat | None:
        """The format of the first pattern that matches the layer's name; None where none does."""
        return _matching(self.overrides, layer)

    def bits_read(self, layer: str) -> int:
        """The most bits of what a layer reads."""
        return _matching(self.input_bits, layer) or 8

    @classmethod
    def load(cls, path: str | Path) -> "Recipe":
        """Read a TOML recipe; unknown keys and wrong types raise InputError with the key's name."""
        try:
            text = read_text(Path(path), LARGEST_RECIPE)
        except InputError as error:
            raise InputError(f"recipe {error}") from error
        if _DEEP_KEY.search(text):  # tomllib's time grows with the square of the parts
            raise InputError(f"recipe {path}: a key has more than 32 parts")
        try:
            data = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"recipe {path}: {error}") from error
        return cls.from_dict(data, source=str(path))

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str = "recipe") -> "Recipe":
        """Build a recipe from nested plain data, the shape of the TOML file and of ``to_dict``."""
        arguments: dict[str, Any] = {}
        for key, value in data.items():
            if key in ("weights", "first", "last", "depthwise"):
                arguments[key] = _weight_format(value, f"{source}: {key}")
            elif key == "overrides":
                entries = _table(value, f"{source}: overrides")
                arguments[key] = {
                    name: _weight_format(entry, f"{source}: overrides.{name}")
                    for name, entry in entries.items()
                }
            elif key == "keep_float":
                if not isinstance(value, (list, tuple)):
                    raise InputError(f"{source}: keep_float must be a list of patterns")
                arguments[key] = tuple(value)
            elif key == "activations":
                known = {"exponent", "calibration", "percentile"}
                arguments[key] = _made(Dfp8, value, known, f"{source}: activations")
            elif key == "input_bits":
                arguments[key] = _table(value, f"{source}: input_bits")
            elif key == "method":
                if value not in METHODS:
                    raise InputError(
                        f"{source}: method {value!r} unknown; use {', '.join(METHODS)}"
                    )
                arguments[key] = value
            elif key == "reconstruction":
                known = {"steps", "batch", "drop", "seed", "minutes"}
                arguments[key] = _made(Reconstruction, value, known, f"{source}: reconstruction")
            elif key == "correct_statistics":
                if not isinstance(value, bool):
                    raise InputError(f"{source}: correct_statistics must be true or false")
                arguments[key] = value
            else:
                raise InputError(f"{source}: unknown key {key!r}")
        return cls(**arguments)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain data; ``Recipe.from_dict(recipe.to_dict()) == recipe``."""

        def weights(fmt: WeightFormat) -> dict[str, Any]:
            plain = {"kind": fmt.kind, "cluster": fmt.cluster}
            return plain if fmt.terms == 1 else {**plain, "terms": fmt.terms}

        return {
            "weights": weights(self.weights),
            "first": weights(self.first),
            "last": weights(self.last),
            "depthwise": weights(self.depthwise),
            "overrides": {name: weights(fmt) for name, fmt in self.overrides.items()},
            "keep_float": list(self.keep_float),
            "activations": {
                "exponent": self.activations.exponent,
                "calibration": self.activations.calibration,
                "percentile": self.activations.percentile,
            },
            **({"input_bits": self.input_bits} if self.input_bits else {}),
            "method": self.method,
            "reconstruction": asdict(self.reconstruction),
            "correct_statistics": self.correct_statistics,
        }


def _matching(table: Mapping[str, _Value], name: str) -> _Value | None:
    """The value of the first pattern that matches."""
    return next((v for p, v in table.items() if fnmatch.fnmatchcase(name, p)), None)


def _check_type(name: str, value: Any, wanted: type, example: str) -> None:
    if not isinstance(value, wanted):
        raise InputError(f"{name} must be {example}, not {value!r}")


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a table")
    return value


def _known(value: Any, keys: set[str], where: str) -> dict[str, Any]:
    table = _table(value, where)
    for key in table:
        if key not in keys:
            raise InputError(f"{where}: unknown key {key!r}; known: {', '.join(sorted(keys))}")
    return table


def _made(make: Callable[..., Any], value: Any, keys: set[str], where: str) -> Any:
    """``make`` called with the entries of a table."""
    table = _known(value, keys, where)
    try:
        return make(**table)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _weight_format(value: Any, where: str) -> WeightFormat:
    table = _known(value, {"kind", "cluster", "terms"}, where)
    if "kind" not in table:
        raise InputError(f"{where}: kind is missing; use {_kinds()}")
    try:
        return weight_format(**{"cluster": "all", **table})
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
