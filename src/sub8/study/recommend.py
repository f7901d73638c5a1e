"""Which setting to ship, why, and what the study's images cannot tell."""

from dataclasses import dataclass

from sub8.study.front import choose
from sub8.study.point import Point, unpack_bits
from sub8.study.sweep import PEER_FLOAT, PEER_INT8, Study, shown
from sub8.uncertainty import FEW_IMAGES, margin, paired_margin, paired_probability

# A difference less likely than that is no chance.
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Drop:
    """Points of top-1 lost against float32 on the same images; margin: 95 %. probability: of such a
    difference between equally good networks (McNemar), None for studies without single answers.
    """

    points: float
    margin: float
    probability: float | None


@dataclass(frozen=True)
class Recommendation:
    """The smallest file within the drop that was allowed, or, where there is none, the most
    accurate (within: False). cautions: what to know before it is shipped, a sentence each.
    """

    point: Point
    drop: Drop
    within: bool
    cautions: tuple[str, ...]


def drop_of(study: Study, point: Point) -> Drop:
    """Of a point against the study's float32 network."""
    baseline = study.baselines[0]
    points = baseline.top1 - point.top1
    if not baseline.right or not point.right:
        apart = margin(point.top1 / 100, point.images), margin(baseline.top1 / 100, point.images)
        return Drop(points, sum(part**2 for part in apart) ** 0.5, None)
    before = unpack_bits(baseline.right, point.images)
    after = unpack_bits(point.right, point.images)
    return Drop(points, paired_margin(before, after), paired_probability(before, after))


def recommend(study: Study, max_drop: float) -> Recommendation:
    """max_drop: points of top-1 that may be lost."""
    point = choose(study.points, study.baselines[0].top1, max_drop)
    drop = drop_of(study, point)
    within = drop.points <= max_drop
    return Recommendation(point, drop, within, tuple(_cautions(study, point, drop, max_drop)))


def _cautions(study: Study, point: Point, drop: Drop, max_drop: float) -> list[str]:
    told = []
    if point.images < FEW_IMAGES:
        told.append(f"Only {point.images} test images: accuracies are coarse; take more.")
    if drop.points <= max_drop < drop.points + drop.margin:
        told.append(
            f"The drop may be as large as {drop.points + drop.margin:.2f} points: these images do "
            f"not prove that it stays within {max_drop:g}."
        )
    if drop.points > max_drop:
        told.append(f"No setting stays within {max_drop:g} points; this one is the most accurate.")
    latency = point.latency
    if latency is not None:
        for peer in (PEER_INT8, PEER_FLOAT):
            if latency["sub8"] > latency[peer]:
                told.append(
                    f"It is slower than {shown(peer)} on this machine: {latency['sub8']:.2f} ms"
                    f" beside {latency[peer]:.2f} ms."
                )
        fastest = min(
            (p for p in study.points if p.latency is not None),
            key=lambda p: (p.latency or {})["sub8"],
        )
        if fastest is not point and (fastest.latency or {})["sub8"] < 0.9 * latency["sub8"]:
            told.append(
                f"Another setting is faster: {fastest.setting.label}, "
                f"{(fastest.latency or {})['sub8']:.2f} ms at {fastest.top1:.2f} % top-1."
            )
    else:
        told.append("Its latency has not been measured.")
    if point.mismatches:
        told.append(f"{point.mismatches} outputs differ from ONNX Runtime's: please report it.")
    return told


def significance(drop: Drop) -> str:
    """In words, for people."""
    if drop.probability is None:
        return "the study holds no answers of single images"
    if drop.probability < _SIGNIFICANT:
        return f"a real difference (McNemar's test, p = {drop.probability:.2g})"
    return f"no significant difference (McNemar's test, p = {drop.probability:.2g})"
