"""Notes in a sound, found in integers and drawn as a piano roll: basic-pitch, a network over time.

Two seconds of chords are made up of decaying tones; the network answers for 172 moments which of
88 keys sound.

    pip install basic-pitch --no-deps
    python examples/notes.py -o notes.png
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

import sub8
from sub8.verbs.predict import predict_all

RATE, LENGTH = 22050, 43844
NOTES = "StatefulPartitionedCall:1"  # the output: [B, moments, keys], 0 to 1
LOWEST_KEY = 21  # as MIDI counts


def chords(seed: int, keys: list[int]) -> np.ndarray:
    """Float32 ``[LENGTH, 1]``: tones that begin at random times."""
    rng, time = np.random.default_rng(seed), np.arange(LENGTH) / RATE
    sound = 0.003 * rng.standard_normal(LENGTH)
    for key in keys:
        pitch, since = 440.0 * 2 ** ((key - 69) / 12), time - rng.uniform(0.0, 1.0)
        tone = sum(np.sin(2 * np.pi * pitch * n * time) / n**1.5 for n in range(1, 6))
        sound += 0.15 * tone * np.exp(-2 * since.clip(0)) * (since > 0)
    return sound.astype(np.float32)[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", default="notes.png", help="picture")
    target = parser.parse_args().output
    package = importlib.util.find_spec("basic_pitch")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("needs the package basic-pitch")
    folder = Path(package.submodule_search_locations[0])
    model = folder / "saved_models" / "icassp_2022" / "nmp.onnx"

    rng = np.random.default_rng(0)
    calibration = np.stack([chords(n, list(rng.integers(40, 80, 4))) for n in range(12)])
    quantised = sub8.quantize(model, calibration)
    played = [48, 55, 64, 72]
    sound = chords(99, played)[None]
    expected, found = (predict_all(one, sound)[NOTES][0] for one in (model, quantised))
    for name, answer in (("float32", expected), ("int8", found)):
        keys = np.flatnonzero((answer > 0.5).sum(axis=0) >= 10) + LOWEST_KEY
        print(f"{name:8} keys {keys.tolist()}, played {played}")
    roll = np.concatenate([expected, np.ones((4, 88), np.float32), found]).T[::-1]
    pixels = (255 * roll.clip(0, 1)).astype(np.uint8)
    Image.fromarray(pixels).resize((4 * roll.shape[1], 6 * 88), 0).save(target)


if __name__ == "__main__":
    main()
