"""Layers that have one weight in common: heads on several levels, unrolled recurrent steps.

They share one solution, so that the artifact stores it once as the float model does. It is found at
the first of them, for all: the later ones' inputs are then known only as the float network has
them, in 8 bits.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sub8.graph import constants, patterns
from sub8.graph.groups import Group


def shared_weights(groups: Sequence[Group]) -> dict[str, tuple[Group, ...]]:
    """All layers of the same float weight, in execution order, by the name of each; of weights that
    several layers have.

    The same weight means the same numbers in one form: of convolutions of as many groups, or of
    matrices that lie the same way.
    """
    alike: dict[object, list[Group]] = {}
    for group in groups:
        if group.kind == "layer":
            alike.setdefault(_form(group), []).append(group)
    found: dict[str, tuple[Group, ...]] = {}
    for candidates in alike.values():
        same: dict[bytes, list[Group]] = {}
        for group in candidates if len(candidates) > 1 else ():
            content = hashlib.sha256(np.ascontiguousarray(_weight(group)).data)
            same.setdefault(content.digest(), []).append(group)
        for members in same.values():
            if len(members) > 1:
                found |= {group.name: tuple(members) for group in members}
    return found


def evenly(groups: Sequence[Group], most: int) -> Sequence[Group]:
    """At most so many of the groups, the last one among them where ``most`` is above 1."""
    if len(groups) <= most:
        return groups
    places = np.linspace(0, len(groups) - 1, most).round().astype(int)
    return [groups[place] for place in places]


def _form(group: Group) -> tuple[object, ...]:
    layer = group.layer
    assert layer is not None
    parts = patterns.attribute(layer, "group", 1)
    return layer.op_type, parts, _weight(group).shape


def _weight(group: Group) -> NDArray[np.float32]:
    """As the node has it."""
    assert group.layer is not None
    weight = constants.array(group.layer.inputs[1])
    assert weight is not None
    return weight
