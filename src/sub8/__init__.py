"""sub8: ternary, 4-bit and 8-bit networks, quantised without training and run in integers on a CPU.

>>> import sub8
>>> recipe = sub8.Recipe(weights=sub8.Ternary(cluster=4))
>>> model = sub8.quantize("model.onnx", calibration="photos/", recipe=recipe)  # doctest: +SKIP
>>> model.save("model-t4.onnx")  # doctest: +SKIP
>>> logits = sub8.Session("model-t4.onnx", threads=2).run(images)  # doctest: +SKIP
"""

import importlib
from typing import TYPE_CHECKING, Any

from sub8.errors import InputError, Sub8Error, UnsupportedModelError
from sub8.version import __version__

if TYPE_CHECKING:
    from sub8.data import Dataset, open_dataset
    from sub8.data.preprocess import Preprocess
    from sub8.engine.session import Session
    from sub8.mixed.budget import Budget, MaxDrop, MaxLatencyRatio, MeanBits
    from sub8.quality import Quality
    from sub8.quantized_model import QuantizedModel
    from sub8.recipe import Dfp8, Int4, Int8, Recipe, Ternary, WeightFormat
    from sub8.study.compare import compare
    from sub8.study.point import Setting
    from sub8.study.report import report
    from sub8.study.sweep import settings, sweep
    from sub8.train.finetune import finetune as finetune
    from sub8.train.settings import Training
    from sub8.verbs.benchmark import Benchmark, benchmark
    from sub8.verbs.classify import classify
    from sub8.verbs.compile import Compilation
    from sub8.verbs.compile import compile as compile
    from sub8.verbs.detect import Detection, detect
    from sub8.verbs.doctor import doctor
    from sub8.verbs.error_budget import ErrorBudget, error_budget
    from sub8.verbs.evaluate import Evaluation, evaluate
    from sub8.verbs.export import Export, export
    from sub8.verbs.inspect import Inspection, inspect
    from sub8.verbs.predict import predict
    from sub8.verbs.quantize import quantize
    from sub8.verbs.quickstart import quickstart
    from sub8.verbs.score import Score, score
    from sub8.verbs.segment import Segmentation, segment
    from sub8.verbs.verify import Verification, verify

# Name -> module that defines it; imported on first use, so that `import sub8` and `sub8 --help` are
# quick.
_HOMES = {
    "Benchmark": "verbs.benchmark",
    "Budget": "mixed.budget",
    "Compilation": "verbs.compile",
    "Dataset": "data",
    "Detection": "verbs.detect",
    "Dfp8": "recipe",
    "ErrorBudget": "verbs.error_budget",
    "Evaluation": "verbs.evaluate",
    "Export": "verbs.export",
    "Inspection": "verbs.inspect",
    "Int4": "recipe",
    "Int8": "recipe",
    "MaxDrop": "mixed.budget",
    "MaxLatencyRatio": "mixed.budget",
    "MeanBits": "mixed.budget",
    "Preprocess": "data",
    "Quality": "quality",
    "QuantizedModel": "quantized_model",
    "Recipe": "recipe",
    "Score": "verbs.score",
    "Segmentation": "verbs.segment",
    "Session": "engine.session",
    "Setting": "study.point",
    "Ternary": "recipe",
    "Verification": "verbs.verify",
    "WeightFormat": "recipe",
    "benchmark": "verbs.benchmark",
    "classify": "verbs.classify",
    "compare": "study.compare",
    "compile": "verbs.compile",
    "detect": "verbs.detect",
    "doctor": "verbs.doctor",
    "error_budget": "verbs.error_budget",
    "predict": "verbs.predict",
    "report": "study.report",
    "settings": "study.sweep",
    "score": "verbs.score",
    "segment": "verbs.segment",
    "sweep": "study.sweep",
    "Training": "train.settings",
    "evaluate": "verbs.evaluate",
    "export": "verbs.export",
    "finetune": "train.finetune",
    "inspect": "verbs.inspect",
    "open_dataset": "data",
    "quantize": "verbs.quantize",
    "quickstart": "verbs.quickstart",
    "verify": "verbs.verify",
}

# ``finetune`` is left out: it needs packages that ``from sub8 import *`` must do without; so is
# ``compile``, which Python has too.
__all__ = [
    "Benchmark",
    "Budget",
    "Compilation",
    "Dataset",
    "Detection",
    "Dfp8",
    "ErrorBudget",
    "Evaluation",
    "Export",
    "InputError",
    "Inspection",
    "Int4",
    "Int8",
    "MaxDrop",
    "MaxLatencyRatio",
    "MeanBits",
    "Preprocess",
    "Quality",
    "QuantizedModel",
    "Recipe",
    "Score",
    "Segmentation",
    "Session",
    "Setting",
    "Sub8Error",
    "Ternary",
    "Training",
    "UnsupportedModelError",
    "Verification",
    "WeightFormat",
    "__version__",
    "benchmark",
    "classify",
    "compare",
    "detect",
    "doctor",
    "error_budget",
    "evaluate",
    "export",
    "inspect",
    "open_dataset",
    "predict",
    "quantize",
    "quickstart",
    "report",
    "score",
    "segment",
    "settings",
    "sweep",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sub8' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"sub8.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if name != "finetune" or str(error.name).startswith("sub8"):
            raise
        from sub8.extras import install_command

        raise ImportError(f"{error.name} is needed to train; {install_command('train')}") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_HOMES})
