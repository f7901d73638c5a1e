"""Calibration data beyond the memory's limit: in temporary files or computed again, with the same
bits.
"""

import gc
import os
from pathlib import Path

import numpy as np
import pytest
from inputs_of import calibrated, given

from sub8.errors import InputError
from sub8.numerics.dfp import Format
from sub8.progress import Work
from sub8.ptq.activation_cache import Kept, KeptQuantised, Memory, Quantised, Repeated
from sub8.ptq.calibration_pass import calibration_pass
from sub8.ptq.quantiser import LayerQuantiser
from sub8.recipe import Dfp8, Recipe, Ternary


def kept(batches, limit: int) -> Kept:
    found = Kept(Memory(limit))
    for batch in batches:
        found.append(batch)
    return found


@pytest.mark.parametrize("limit", [0, 500, 1 << 20])
def test_arrays_come_back_wherever_they_lie(limit):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(size, 3, 5)).astype(np.float32) for size in (4, 4, 1)]
    found = kept(arrays, limit)
    assert found.memory.held <= limit
    for place in (2, 0, 1):
        np.testing.assert_array_equal(found[place], arrays[place])
    assert [len(batch) for batch in found[::2]] == [4, 1]
    np.testing.assert_array_equal(found.rows(1, [3, 0, 3]), arrays[1][[3, 0, 3]])
    numbers = kept([np.arange(5, dtype=np.float32)], limit)
    np.testing.assert_array_equal(numbers.rows(0, [4, 1]), [4, 1])
    quantised = KeptQuantised.of([Quantised.of(a, None) for a in arrays], found.memory)
    np.testing.assert_array_equal(quantised[-1].real(), arrays[2])
    memory = found.memory
    del found, quantised
    gc.collect()
    assert memory.held == 0


def test_what_memory_does_not_hold_is_computed_again():
    memory, made = Memory(600), []

    def make(place: int) -> np.ndarray:
        made.append(place)
        return np.full((2, 50), place, np.float32)

    repeated = Repeated(make, 3, memory)
    for _ in range(2):
        assert [float(array[0, 0]) for array in repeated] == [0, 1, 2]
    # Three quarters of the limit hold one of them.
    assert made == [0, 1, 2, 1, 2] and memory.held == 400
    assert repeated.take(0)[0, 0] == 0 and memory.held == 0


def test_what_is_costly_to_compute_is_written_and_read_again():
    memory, made = Memory(600), []

    def make(place: int) -> np.ndarray:
        made.append(place)
        return np.full((2, 50), place, np.float32)

    repeated = Repeated(make, 4, memory, costly=True)
    for places in (2, 0, 1), (0, 1, 2):
        assert [float(repeated[place][1, 7]) for place in places] == list(places)
    assert made == [2, 0, 1]
    assert [float(repeated.take(place)[0, 0]) for place in range(4)] == [0, 1, 2, 3]
    assert made == [2, 0, 1, 3] and memory.held == 0


def test_a_block_is_used_again_only_when_its_arrays_are_gone():
    found = kept([np.full((2, 40), number, np.float32) for number in range(6)], 0)
    first = found[0]
    held = [first[1:, ::2].T, *(found[number] for number in range(1, 6))]
    address = first.ctypes.data
    del first
    for number, array in enumerate(held):
        np.testing.assert_array_equal(array, np.full(array.shape, number))
    held.clear()
    assert found[3].ctypes.data == address
    memory = Memory(0)
    integers = np.arange(12, dtype=np.uint8).reshape(2, 6)
    batch = Quantised(integers, np.array([0.5, 2], np.float32))
    expected = [integers[0] * np.float32(0.5), integers[1] * np.float32(2)]
    real = batch.real(memory)
    np.testing.assert_array_equal(real, expected)
    fmt = Format.dfp(False, -1)
    for other in (Quantised.of(real, fmt, memory), Quantised.of(real, fmt)):
        np.testing.assert_array_equal(other.values, np.array(expected) * 2)
    np.testing.assert_array_equal(real, expected)


@pytest.mark.parametrize("method", ["hessian", "optimal"])
@pytest.mark.parametrize("exponent", ["static", "dynamic"])
def test_the_limit_changes_no_bit(network, images, tmp_path, monkeypatch, method, exponent):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    batches = [images[:10], images[10:20], images[20:]]
    how = Dfp8(exponent=exponent)
    solved = calibrated(network, batches, how)
    recipe = Recipe(weights=Ternary(4), method=method, activations=how)
    found = [
        calibration_pass(
            solved.on(given(network, kept(batches, limit))),
            LayerQuantiser(recipe),
            work=Work(threads=1),
        )
        for limit in (1 << 30, 20_000, 0)
    ]
    assert not os.listdir(tmp_path)
    for other in found[1:]:
        assert other.signal_to_noise == found[0].signal_to_noise
        for name, layer in found[0].layers.items():
            same = other.layers[name]
            np.testing.assert_array_equal(layer.bias, same.bias)
            for term, twin in zip(layer.terms, same.terms, strict=True):
                np.testing.assert_array_equal(term.scaled_integers(), twin.scaled_integers())
                assert term.exponent == twin.exponent


def test_a_full_disk_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(Path("/nowhere")))
    with pytest.raises(InputError, match=r"temporary files in /nowhere.*TMPDIR"):
        kept([np.zeros((2, 2), np.float32)], 0)
