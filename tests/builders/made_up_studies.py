"""Made-up studies for tests of what is drawn from them."""

import numpy as np

from sub8.study.point import Layer, Point, Setting
from sub8.study.sweep import PEER_FLOAT, PEER_INT8, Baseline, Study


def made_up_study(clusters=(1, 4, 64, "all"), kinds=("ternary", "int4", "int8")) -> Study:
    random = np.random.default_rng(0)
    points = []
    for kind in kinds:
        for cluster in clusters:
            bits = {"ternary": 2, "int4": 4, "int8": 8}[kind]
            noise = tuple(
                Layer(f"layer<{i}>", kind, None, 1000, 0.5, 100, float(10 * bits - i))
                for i in range(5)
            )
            points.append(
                Point(
                    setting=Setting(kind, cluster, "optimal"),
                    top1=70 + bits + float(random.uniform(0, 3)),
                    top5=99.0,
                    images=100,
                    replaced=float(random.uniform(0.5, 1)) if kind == "ternary" else 0.0,
                    mean_bits=float(bits),
                    bytes=10_000 * bits + len(points),
                    artifact_sha256="0" * 64,
                    seconds=1.5,
                    mismatches=0,
                    layers=noise,
                    latency={"sub8": 1.0 + bits, PEER_FLOAT: 12.0, PEER_INT8: 6.0},
                )
            )
    question = {
        "model": "</script><b>net.onnx",
        "data": "test.parquet",
        "calibration": "train.parquet",
        "images": None,
        "calibration_images": None,
        "preprocess": None,
        "model_sha256": "0" * 64,
        "data_sha256": "0" * 64,
        "calibration_sha256": "0" * 64,
        "sub8": "0.1.0",
    }
    baselines = (
        Baseline(PEER_FLOAT, 80.0, 99.5, 400_000),
        Baseline(PEER_INT8, 79.5, 99.4, 110_000),
    )
    return Study(question, {"cpu": "a processor"}, baselines, tuple(points))
