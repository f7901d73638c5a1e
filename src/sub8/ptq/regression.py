"""What a layer should compute, as least squares on its quantised inputs.

The best real weight for the quantised network is not the float model's: its inputs already carry
errors, and so does the residual operand. With p the input patches of the quantised network and t
the accumulators of the float model (plus what the residual operand lacks), the weight that brings
``w p + bias`` closest to t is ``cov(t, p) cov(p)^-1``, drawn towards the float weight where the
data say little. Few images say little about thousands of columns, so how strongly it is drawn is
found by cross-validation over images, and the covariance itself is shrunk as far as it scatters
between images (Ledoit and Wolf, 2004)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sub8.ptq.calibration_pass import CalibratedLayer
from sub8.ptq.patches import images_per_block, patches

# Neighbouring patches say nearly the same: of larger layers a grid of output positions is taken,
# thinned by a whole number along both axes, as long as enough patches remain: so many for each
# column of theirs, within bounds.
PATCHES_A_COLUMN = 1 << 10
FEWEST_PATCHES, ENOUGH_PATCHES = 1 << 15, 1 << 18
FOLDS = 4
# How many times the spread a mean may be.
_HIDING = 8
# Powers of two whose squares float32 sums without loss.
_HARMLESS = 24
# Strengths of the pull towards the float weight, as shares of the inputs' mean variance.
RIDGES = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
_FIRST_TRIED = RIDGES.index(0.01)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Regression:
    """weight: the target ``[O, I, *kernel]``. covariance: of the patches, ``[groups, K, K]``, K =
    I*prod(kernel).
    ridge: the strength of the pull. shrinkage: the share 0..1 by which correlations are
    overestimated."""

    weight: Floats
    covariance: Floats
    ridge: float
    shrinkage: float

    def shrunk_covariance(self) -> Floats:
        """The covariance to expect on other images: correlations between columns scaled down,
        variances kept.
        """
        diagonal = np.einsum("gkk->gk", self.covariance)[:, :, None] * np.eye(
            len(self.covariance[0])
        )
        return (1 - self.shrinkage) * self.covariance + self.shrinkage * diagonal


def regress(
    layer: CalibratedLayer,
    ridge: float | None = None,
    others: Sequence[CalibratedLayer] = (),
) -> Regression:
    """One streamed pass over the layer's calibration data; means are left to the bias.

    ridge: instead of the one that cross-validation finds. others: layers of the same weight, which
    the one found is to serve as well. Raises LinAlgError where nothing can be regressed.
    """
    layers = [layer, *others]
    pool = _Pool(
        [[fold for fold in _gather(one) if fold is not None] for one in layers],
        shares(layers),
    )
    whole = pool.moments(range(pool.folds))
    own = layer.weight.astype(np.float64).reshape(whole.cross.shape)
    if ridge is None:
        ridge = _validated_ridge(pool, own)
    parts = [pool.moments([place]).covariance for place in range(pool.folds)]
    shrinkage = _shrinkage(parts, whole.covariance)
    weight = whole.solve(own, whole.lack(own), ridge).reshape(layer.weight.shape)
    return Regression(weight, whole.covariance, ridge, shrinkage)


def shares(layers: Sequence[CalibratedLayer]) -> list[float]:
    """What to multiply squares of the layers' results by for all to count alike; the first 1."""
    powers = [float(one.float_moments.variance.mean()) for one in layers]
    return [powers[0] / power if powers[0] > 0 and power > 0 else 1.0 for power in powers]


@dataclass(frozen=True)
class _Moments:
    """covariance: of the patches, ``[g, K, K]``. cross: of targets with patches, ``[g, O/g,
    K]``.
    """

    covariance: Floats
    cross: Floats

    def lack(self, own: Floats) -> Floats:
        """What the weights ``own`` leave of ``cross``, ``[g, O/g, K]``."""
        return self.cross - own @ self.covariance

    def solve(self, own: Floats, lack: Floats, ridge: float) -> Floats:
        """The regressed weights, drawn towards ``own``, ``[g, O/g, K]``. lack: theirs."""
        columns = self.covariance.shape[1]
        variance = np.einsum("gkk->g", self.covariance) / columns
        pull = ridge * np.where(variance > 0, variance, 1.0)
        normal = self.covariance.copy()
        np.einsum("gkk->gk", normal)[...] += pull[:, None]
        change = np.linalg.solve(normal, lack.transpose(0, 2, 1)).transpose(0, 2, 1)
        return own + change

    def loss(self, weight: Floats) -> float:
        """Mean squared error of the targets, but for a constant."""
        return float(np.sum((weight @ self.covariance - 2 * self.cross) * weight))


@dataclass(frozen=True)
class _Origin:
    """What patches and targets of one layer are counted from, and in which power of two.

    Squares of large, nearly constant values would drown what varies, and those of huge or tiny ones
    leave float32. patch: ``[g, K]``. target: ``[g, O/g]``; None for zeros. patch_exponent,
    target_exponent: of their units."""

    patch: NDArray[np.float32] | None
    target: NDArray[np.float32] | None
    patch_exponent: int
    target_exponent: int

    @classmethod
    def of(cls, p: NDArray[np.float32], t: NDArray[np.float32]) -> "_Origin":
        """The means of a first block where they hide its spread, and units near that."""
        origin, exponents = [], []
        for part in (p, t):
            mean = part.mean(axis=2, dtype=np.float64).astype(np.float32)
            spread = float(np.abs(part - mean[:, :, None]).max(initial=0.0))
            exponent = math.frexp(spread)[1] if spread > 0 else 0
            hidden = float(np.abs(mean).max(initial=0.0)) > _HIDING * spread
            origin.append(mean if hidden else None)
            exponents.append(exponent if abs(exponent) > _HARMLESS else 0)
        return cls(origin[0], origin[1], exponents[0], exponents[1])

    def shifted(
        self, p: NDArray[np.float32], t: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.patch is not None:
            p = p - self.patch[:, :, None]
        if self.target is not None:
            t = t - self.target[:, :, None]
        if self.patch_exponent:
            p = np.ldexp(p, -self.patch_exponent)
        if self.target_exponent:
            t = np.ldexp(t, -self.target_exponent)
        return p, t


@dataclass(frozen=True)
class _Sums:
    """Sums over ``count`` patches p and targets t, counted from ``origin``: p p', t p', p, t."""

    origin: _Origin
    products: Floats
    cross: Floats
    patch: Floats
    target: Floats
    count: int

    @classmethod
    def of(
        cls,
        p: NDArray[np.float32],
        t: NDArray[np.float32],
        origin: _Origin,
        onto: "_Sums | None" = None,
    ) -> "_Sums":
        """onto: sums that they are added to, in their place."""
        with np.errstate(over="ignore", invalid="ignore"):
            p, t = origin.shifted(p, t)
            turned = p.transpose(0, 2, 1)
            parts = p @ turned, t @ turned, p.sum(2), t.sum(2)
            count = turned.shape[1]
            if onto is None:
                products, cross, patch, target = (part.astype(np.float64) for part in parts)
                return cls(origin, products, cross, patch, target, count)
            sums = onto.products, onto.cross, onto.patch, onto.target
            for total, part in zip(sums, parts, strict=True):
                total += part
        return replace(onto, count=onto.count + count)

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.origin,
            self.products + other.products,
            self.cross + other.cross,
            self.patch + other.patch,
            self.target + other.target,
            self.count + other.count,
        )

    def moments(self) -> _Moments:
        patch, target = self.patch / self.count, self.target / self.count
        p, t = self.origin.patch_exponent, self.origin.target_exponent
        return _Moments(
            np.ldexp(self.products / self.count - patch[:, :, None] * patch[:, None, :], 2 * p),
            np.ldexp(self.cross / self.count - target[:, :, None] * patch[:, None, :], p + t),
        )


def _added(folds: Sequence[_Sums]) -> _Sums:
    total = folds[0]
    for fold in folds[1:]:
        total = total + fold
    return total


def _gather(layer: CalibratedLayer) -> list[_Sums | None]:
    """Sums over every fourth image, four times; None where there are fewer images."""
    node = layer.group.layer
    assert node is not None
    sums: list[_Sums | None] = [None] * FOLDS
    origin: _Origin | None = None
    seen = 0
    every = _thinning(layer)
    sources = zip(layer.inputs(), layer.float_accumulators, layer.residual_errors(), strict=True)
    for index, (inputs, targets, lack) in enumerate(sources):
        # Batches take turns with the grid's origin, so that edges count as often as they occur.
        offset = index % every
        for fold in range(min(FOLDS, len(inputs))):
            number = (seen + fold) % FOLDS
            x = inputs[fold::FOLDS]
            y = targets[fold::FOLDS]
            if lack is not None:
                y = y + lack[fold::FOLDS]
            if node.op_type == "Conv":
                y = y[:, :, offset::every, offset::every]
            for start in range(0, len(x), step := images_per_block(node, x)):
                p = patches(node, x[start : start + step], every, offset)
                t = _rows(y[start : start + step], layer.channel_axis, len(p))
                origin = origin or _Origin.of(p, t)
                sums[number] = _Sums.of(p, t, origin, onto=sums[number])
        seen += len(inputs)
    return sums


@dataclass(frozen=True)
class _Pool:
    """Folds of one layer or several; ``shares``: how much the layers' count."""

    sums: Sequence[Sequence[_Sums]]
    shares: Sequence[float]

    def __post_init__(self) -> None:
        every = [fold for layer in self.sums for fold in layer]
        if not all(np.isfinite(f.products).all() and np.isfinite(f.cross).all() for f in every):
            raise np.linalg.LinAlgError("the products of patches leave float32")

    @property
    def folds(self) -> int:
        return len(self.sums[0])

    def moments(self, places: Sequence[int]) -> _Moments:
        """Those of the folds at the given places, the layers' added up."""
        parts = [_added([layer[place] for place in places]).moments() for layer in self.sums]
        whole = parts[0]
        for part, share in zip(parts[1:], self.shares[1:], strict=True):
            whole = _Moments(
                whole.covariance + share * part.covariance, whole.cross + share * part.cross
            )
        return whole


def _validated_ridge(pool: _Pool, own: Floats) -> float:
    """The strength whose weights predict the other folds' targets best."""
    if pool.folds < 2:
        return RIDGES[-1]
    splits = []
    for held_out in range(FOLDS // 2):
        train = pool.moments([place for place in range(pool.folds) if place != held_out])
        splits.append((train, train.lack(own), pool.moments([held_out])))

    def loss(place: int) -> float:
        return sum(test.loss(train.solve(own, lack, RIDGES[place])) for train, lack, test in splits)

    return RIDGES[_valley(loss, _FIRST_TRIED, len(RIDGES))]


def _valley(loss: Callable[[int], float], start: int, count: int) -> int:
    """Walk downhill from ``start`` to the place in 0..count-1 where a valley-shaped loss is
    least.
    """
    known = {start: loss(start)}
    for direction in (1, -1):
        place = start
        while 0 <= place + direction < count:
            known[place + direction] = loss(place + direction)
            if known[place + direction] >= known[place]:
                break
            place += direction
        if place != start:
            return place
    return start


def _shrinkage(parts: Sequence[Floats], whole: Floats) -> float:
    """The share by which correlations are overestimated, from their scatter between folds, 0..1."""
    if len(parts) < 2:
        return 1.0
    diagonal = np.eye(whole.shape[1], dtype=bool)
    scatter = sum(float(np.sum((part - whole)[:, ~diagonal] ** 2)) for part in parts)
    signal = float(np.sum(whole[:, ~diagonal] ** 2))
    if signal <= 0.0:
        return 0.0
    return min(1.0, scatter / (len(parts) * (len(parts) - 1)) / signal)


def _thinning(layer: CalibratedLayer) -> int:
    """Every how manieth output row and column of a convolution is enough."""
    shapes = list(layer.float_accumulators.shapes.values())
    if len(shapes[0]) != 4:
        return 1
    positions = sum(shape[0] * shape[2] * shape[3] for shape in shapes)
    most = min(len(shapes), *(min(shape[2:]) for shape in shapes))
    wanted = PATCHES_A_COLUMN * layer.weight[0].size
    enough = min(max(wanted, FEWEST_PATCHES), ENOUGH_PATCHES)
    return max(1, min(most, math.isqrt(positions // enough)))


def _rows(accumulators: NDArray[np.float32], channel_axis: int, groups: int) -> NDArray[np.float32]:
    """``[groups, O/groups, B * positions]``, positions in the order of ``patches``."""
    rows = np.moveaxis(accumulators, channel_axis, 0)
    return np.ascontiguousarray(rows).reshape(groups, rows.shape[0] // groups, -1)
