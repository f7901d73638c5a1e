"""JSON Schemas of what sub8 prints with ``--json``, of recipes (TOML) and of a study's
``study.json``: ``python tools/json_schemas.py FOLDER`` writes them, and the site holds them.

They leave room for keys that they do not name: a key that is added is no new version.
"""

import json
import sys
from pathlib import Path
from typing import Any

from sub8.cli.json_output import schema_name
from sub8.numerics.weight_format import WEIGHT_FORMATS
from sub8.recipe import METHODS
from sub8.targets import TARGETS

Schema = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def _is(kind: str, text: str, **more: Any) -> Schema:
    return {"type": kind, "description": text, **more}


def text(what: str) -> Schema:
    return _is("string", what)


def count(what: str) -> Schema:
    return _is("integer", what, minimum=0)


def whole(what: str) -> Schema:
    return _is("integer", what)


def number(what: str) -> Schema:
    return _is("number", what)


def part(what: str) -> Schema:
    return _is("number", f"{what} (0 to 1)", minimum=0, maximum=1)


def per_cent(what: str) -> Schema:
    return _is("number", f"{what} (per cent)", minimum=0, maximum=100)


def truth(what: str) -> Schema:
    return _is("boolean", what)


def sha256(what: str) -> Schema:
    return _is("string", f"SHA-256 {what}", pattern="^[0-9a-f]{64}$")


def either(*values: str) -> Schema:
    return {"enum": list(values)}


def maybe(inner: Schema) -> Schema:
    """Or null: where it cannot be told."""
    return {**inner, "type": [inner["type"], "null"]}


def listed(inner: Schema, what: str = "") -> Schema:
    return {"type": "array", "items": inner, **({"description": what} if what else {})}


def by_name(inner: Schema, what: str) -> Schema:
    return {"type": "object", "additionalProperties": inner, "description": what}


def table(what: str = "", optional: tuple[str, ...] = (), **keys: Schema) -> Schema:
    found: Schema = {
        "type": "object",
        "properties": keys,
        "required": [key for key in keys if key not in optional],
    }
    return {"description": what, **found} if what else found


SHAPE = listed(count("size of an axis"))
SHAPES = {"anyOf": [SHAPE, by_name(SHAPE, "by input, where there are several")]}
ISLANDS = listed(listed(text("a node")), "nodes that run in float32, island by island")
WARNINGS = listed(text("one line"), "what was told on stderr")
BYTES = count("bytes of the file")
OUTPUT = text("the file written")
MACHINE = text("the processor")
THREADS = count("threads")
CLUSTER = {
    "description": "input channels that share a scale",
    "anyOf": [{"type": "integer", "minimum": 1}, {"const": "all"}],
}

LAYER = dict(
    name=text("the layer's, as in the model"),
    operator=text("ONNX operator"),
    shape=listed(count("size of an axis"), "of the weight"),
    input=listed(count("size of an axis"), "of one image's input"),
    output=listed(count("size of an axis"), "of one image's output"),
    kind=text("of weights: float32, int8, int4, ternary, or a sum of two"),
    cluster=maybe(count("input channels that share a scale; null: all")),
    input_exponent=maybe(whole("of two: the unit of the input's integers")),
    weight_exponent=maybe(whole("of two: the unit of the scales")),
    output_exponent=maybe(whole("of two: the unit of the output's integers")),
    macs=count("multiply-accumulates of one image"),
    replaced=part("multiplications replaced by additions"),
    bytes=count("of weights, scales and bias"),
    signal_to_noise=maybe(number("of the layer's output, in decibels")),
)
LAYER_OF_POINT = (
    "name", "kind", "cluster", "macs", "replaced", "bytes", "signal_to_noise",
)  # fmt: skip
POINT_OF_FRONT = table(
    mean_bits=number("bits a weight"),
    error=number("predicted, relative to the output's power"),
    milliseconds=maybe(number("of one image, the layers' sum")),
    optional=("milliseconds",),
)
CHOICE = table(
    "of weights to a budget",
    budget=table(
        kind=either("MaxDrop", "MeanBits", "MaxLatencyRatio"),
        points=number("of MaxDrop"),
        metric=text("of MaxDrop"),
        bits=number("of MeanBits"),
        ratio=number("of MaxLatencyRatio"),
        optional=("points", "metric", "bits", "ratio"),
    ),
    chosen=POINT_OF_FRONT,
    latency_ratio=maybe(number("to int8's, as measured; of MaxLatencyRatio")),
    front=listed(POINT_OF_FRONT, "of cost and error, none dominated"),
    trials=listed(
        table(
            mean_bits=number("bits a weight"),
            error=number("predicted"),
            mean=number("expected drop, in the metric's points"),
            standard_error=number("of it"),
            changed=number("answers that changed (per cent)"),
            bound=number("what the drop exceeds with a probability of 5 %"),
        ),
        "of MaxDrop: points of the front that were quantised and measured",
    ),
    layers=listed(
        table(
            name=text("the layer"),
            weights=text("chosen for it"),
            bits=number("a weight"),
            error=number("it adds, predicted"),
            milliseconds=maybe(number("of one image")),
            gain=number("from its own error's power to the output's"),
            errors=by_name(number("predicted"), "of every option"),
        )
    ),
)
INSPECTION = dict(
    layers=listed(table(**LAYER)),
    islands=ISLANDS,
    island_costs=listed(
        table(
            reason=text("why it is one"),
            milliseconds=maybe(number("of a run; null for a float model")),
            part=maybe(part("of a run's time")),
        ),
        "of every island, in their order",
    ),
    input_shape=SHAPES,
    totals=table(
        macs=count("multiply-accumulates of one image"),
        replaced=part("multiplications replaced by additions"),
        bytes=count("of weights, scales and biases"),
        replaced_as_published=part("as the paper counts"),
        potential=number("times less arithmetic than float32; of compare"),
        optional=("replaced_as_published", "potential"),
    ),
    choice=CHOICE,
)
QUALITY = maybe(
    table(
        "beside float32; null where it could not be measured",
        images=count("compared"),
        held_out=truth("whether calibration did not see them"),
        signal_to_noise=by_name(number("decibels"), "by output"),
        agreement={
            **table(
                "of classifiers",
                top1=per_cent("images whose likeliest class is float32's"),
                margin=number("points it may be off, with 95 % confidence"),
                expected_drop=number("of top-1, in points, without labels"),
                drop_bound=number("what the drop exceeds with a probability of 5 %"),
            ),
            "type": ["object", "null"],
        },
    )
)
RUNTIME = table(
    runtime=text("its name"),
    version=text("its version"),
    python=text("the interpreter it ran in"),
    error=maybe(text("why the file does not run")),
    elements=maybe(count("output elements compared with the engine's")),
    differing=maybe(count("of them")),
    largest=maybe(number("difference")),
    milliseconds=maybe(number("of the sample, the median")),
    ratio=maybe(number("to the engine's")),
)
EXPORT = dict(
    output=OUTPUT,
    target=either(*TARGETS),
    bytes=BYTES,
    images=count("compared"),
    elements=count("output elements compared"),
    differing=count("that are not the engine's"),
    largest=number("difference"),
    same_top1=maybe(count("images whose largest output is the engine's")),
    notes=listed(text("one line"), "what is not the artifact's number"),
    runtimes=listed(RUNTIME, "of --check"),
)
SETTING = table(weights=either(*WEIGHT_FORMATS), cluster=CLUSTER, method=either(*METHODS))
POINT = table(
    setting=SETTING,
    top1=per_cent("right answers"),
    top5=per_cent("right among five"),
    images=count("of the test set"),
    replaced=part("multiplications replaced by additions"),
    mean_bits=number("stored bits a weight"),
    bytes=BYTES,
    artifact_sha256=sha256("of the file"),
    seconds=number("of quantising"),
    mismatches=count("with ONNX Runtime, on a few test images"),
    layers=listed(table(**{key: LAYER[key] for key in LAYER_OF_POINT})),
    latency={
        **by_name(number("milliseconds of one image"), "sub8's and the peers'; null until timed"),
        "type": ["object", "null"],
    },
    right=text("which images it is right for, a bit each, hexadecimal"),
    model=text("the source's file name"),
    metrics=by_name(number("as above"), "what a replication record states"),
    sha256=table(source=sha256("of the source"), artifact=sha256("of the file"),
                 data=sha256("of the test set")),
    optional=("model", "metrics", "sha256"),
)  # fmt: skip
STUDY = dict(
    format={"const": 1},
    sub8_version=text("that measured"),
    question=table(
        "what identifies the study",
        model=text("file name"),
        model_sha256=sha256("of the model"),
        data=text("name of the test set"),
        data_sha256=sha256("of the test set"),
        calibration=text("name of the samples"),
        calibration_sha256=sha256("of the samples"),
        images=maybe(text("range of the test set; null: all")),
        calibration_images=maybe(text("range of the samples; null: at most 300")),
        preprocess=maybe(text("as given; null: the model's own")),
        sub8=text("version"),
    ),
    machine=table(
        cpu=MACHINE, processors=count("at hand"), platform=text("system"), python=text("version")
    ),
    baselines=listed(
        table(
            name=either("ONNX Runtime fp32", "ONNX Runtime int8"),
            top1=per_cent("right answers"),
            top5=per_cent("right among five"),
            bytes=BYTES,
            right=text("which images it is right for, a bit each, hexadecimal"),
        )
    ),
    points=listed(POINT),
    sources=table(
        "as they were given",
        model=text("path"), data=text("path"), calibration=text("path"),
    ),
)  # fmt: skip

# By verb: its own keys, and those of them that may be absent.
VERBS: dict[str, tuple[dict[str, Schema], tuple[str, ...]]] = {
    "quantize": (
        dict(
            output=OUTPUT,
            bytes=BYTES,
            source_bytes=count("bytes of the source"),
            quality=QUALITY,
            calibration=table(images=count("calibrated on"), offered=count("in DATA")),
            warnings=WARNINGS,
            layers=count("of the model"),
            replaced=part("multiplications replaced by additions"),
            islands=ISLANDS,
            choice=CHOICE,
            export=table("with --target", **EXPORT),
        ),
        ("layers", "replaced", "islands", "choice", "export"),
    ),
    "evaluate": (
        dict(
            top1=per_cent("right answers"),
            top1_margin=number("points it may be off, with 95 % confidence"),
            top5=per_cent("right among five"),
            top5_margin=number("points it may be off, with 95 % confidence"),
            images=count("measured on"),
            few_images=truth("whether small differences mean nothing"),
        ),
        (),
    ),
    "score": (
        dict(
            metric=either("map50", "miou", "text", "cosine", "error"),
            value=number("per cent; of error in the output's unit"),
            parts=by_name(number("as value"), "further figures"),
            images=count("measured on"),
        ),
        (),
    ),
    "verify": (
        dict(
            images=count("compared"),
            elements=count("output elements compared"),
            mismatches=count("that differ and should not"),
            beyond_exact_float=count("that float32 cannot hold exactly"),
            largest_step=count("of an operator beyond exact float32"),
            wrong_operators=listed(text("an operator"), "more than one step away"),
        ),
        (),
    ),
    "run": (
        dict(
            predictions=listed(
                table(
                    name=text("the image"),
                    top=listed(
                        table(
                            label=text("of the class"),
                            logit=number("raw"),
                            probability=part("softmax of the logits"),
                        ),
                        "the likeliest first",
                    ),
                )
            )
        ),
        (),
    ),
    "detect": (
        dict(
            found=listed(
                table(
                    name=text("the image"),
                    boxes=listed(
                        table(
                            name=text("of the class"),
                            label=count("the class"),
                            score=number("0 to 1"),
                            **{
                                side: number("pixel") for side in ("left", "top", "right", "bottom")
                            },
                        ),
                        "the likeliest first",
                    ),
                )
            ),
            pictures=listed(text("a file written")),
        ),
        (),
    ),
    "segment": (
        dict(
            found=listed(
                table(
                    name=text("the image"),
                    parts=by_name(part("of the image's pixels"), "by class"),
                )
            ),
            pictures=listed(text("a file written")),
        ),
        (),
    ),
    "outputs": (
        dict(output=OUTPUT, shapes=by_name(SHAPE, "of the arrays")),
        (),
    ),
    "inspect": (INSPECTION, ("choice",)),
    "cost": (
        dict(
            layers=listed(
                table(
                    name=text("the layer"),
                    multiplications=count("of one image"),
                    scalings=count("of one image"),
                    narrow_additions=count("of 16 bits"),
                    wide_additions=count("of 32 bits"),
                    weight_bytes=count("read"),
                    activation_bytes=count("read and written"),
                    work=number("in 8-bit additions"),
                )
            ),
            totals=table(
                work=number("in 8-bit additions"),
                float_work=number("of float32, in the same unit"),
                bytes_moved=count("bytes"),
                float_bytes=count("bytes of float32"),
                potential=number("times less work than float32"),
                traffic=number("times fewer bytes than float32"),
            ),
        ),
        (),
    ),
    "sensitivity": (
        dict(
            shares=listed(
                table(
                    name=text("the layer, an operator between layers, or an input"),
                    weights=maybe(number("error of its integer weights; null without weights")),
                    statistics=maybe(number("error of shifted means; makes up for others")),
                    activation=maybe(number("error of rounding its result to 8 bits")),
                ),
                "errors in parts of the outputs' variance, each quantised alone",
            ),
            total=number("error of the whole quantised network"),
            images=count("samples measured on"),
        ),
        (),
    ),
    "benchmark": (
        dict(
            sub8=maybe(number("milliseconds; null for a float model")),
            float32=number("milliseconds in ONNX Runtime"),
            threads=THREADS,
            runs=count("timed, of each"),
            machine=MACHINE,
            layers=listed(
                table(
                    name=text("the layer"),
                    operator=text("ONNX operator"),
                    sub8=number("milliseconds"),
                    float32=maybe(number("milliseconds in ONNX Runtime")),
                ),
                "of --profile",
            ),
            input_shape=SHAPES,
            speedup=maybe(number("float32's milliseconds over sub8's")),
        ),
        (),
    ),
    "quickstart": (
        dict(
            folder=text("of the files"),
            photographs=listed(text("name"), "that calibration did not see"),
            crops=count("of them"),
            verified=count("of the crops, element by element"),
            rows=listed(
                table(
                    name=text("precision"),
                    file=text("path"),
                    bytes=BYTES,
                    milliseconds=number("of one image"),
                    speedup=number("float32's milliseconds over these"),
                    replaced=part("multiplications replaced by additions"),
                    agreement=maybe(per_cent("crops whose likeliest class is float32's")),
                    margin=maybe(number("points it may be off, with 95 % confidence")),
                    mismatches=maybe(count("with ONNX Runtime")),
                    beyond_exact_float=maybe(count("elements that float32 cannot hold exactly")),
                    labels=listed(text("of a photograph")),
                ),
                "float32 first; null: has no meaning there",
            ),
            threads=THREADS,
            machine=MACHINE,
            seconds=number("of the whole run"),
            warnings=WARNINGS,
        ),
        (),
    ),
    "export": (EXPORT, ()),
    "compile": (
        dict(
            output=OUTPUT,
            bytes=BYTES,
            input_shapes=listed(SHAPES, "that it was compiled for"),
            inputs=listed(text("name, type and sizes; None: any")),
            outputs=listed(text("name, type and sizes; None: any")),
        ),
        (),
    ),
    "finetune": (
        dict(
            output=OUTPUT,
            validation_top1=per_cent("of the epoch that was kept"),
            epochs=listed(table(loss=number("mean"), top1=per_cent("on the validation images"))),
        ),
        (),
    ),
    "sweep": (STUDY, ()),
    "report": (
        dict(
            page=text("report.html"),
            pictures=listed(text("a chart's file")),
            chosen=text("the recommended setting"),
        ),
        (),
    ),
    "compare": (
        dict(models=listed(table(name=text("file"), optional=("choice",), **INSPECTION))),
        (),
    ),
    "zoo": (dict(output=OUTPUT, bytes=BYTES), ()),
    "doctor": (
        dict(
            versions=by_name(text("version"), "of sub8, Python and packages"),
            platform=text("system"),
            processor=MACHINE,
            processors=count("at hand"),
            cpu_features=listed(text("that kernels use")),
            instruction_sets=listed(text("that are compiled in")),
            chosen=maybe(text("the instruction set that runs")),
            package=text("where sub8 lies"),
            extras=listed(
                table(
                    name=text("the extra"),
                    brings=text("what for"),
                    missing=listed(text("a package")),
                    install=text("the command"),
                )
            ),
            problems=listed(text("one line")),
        ),
        (),
    ),
    "record-verify": (
        dict(
            valid=truth("no check is invalid"),
            checks=listed(
                table(
                    check=text("its name"),
                    outcome=either("valid", "invalid", "not checkable"),
                    detail=text("why"),
                )
            ),
        ),
        (),
    ),
    "record-merge": (
        dict(
            output=OUTPUT,
            state_sha256=sha256("of the state"),
            applied=count("events"),
            equivocations=count("slots with different events"),
            equivocating=count("events in them"),
            invalid=by_name(count("events"), "by reason"),
            repeated=count("events that came again"),
        ),
        (),
    ),
    "record-replicate": (
        dict(
            output=OUTPUT,
            event_id=text("sha256: and its hash"),
            event=by_name({}, "the event (src/sub8/record/schemas/event.schema.json)"),
        ),
        (),
    ),
    "record-keygen": (
        dict(
            private_key=text("file"),
            public_key=text("file"),
            fingerprint=_is("string", "of the public key", pattern="^[0-9a-f]{32}$"),
        ),
        (),
    ),
}

_WEIGHTS = {
    **table(
        kind=either(*WEIGHT_FORMATS),
        cluster={**CLUSTER, "default": "all"},
        terms={"enum": [1, 2], "default": 1, "description": "2: a sum of two such weights"},
        optional=("cluster", "terms"),
    ),
    "additionalProperties": False,
}
RECIPE: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "weights": {**_WEIGHTS, "description": "of every layer not named below"},
        "first": {**_WEIGHTS, "description": "of the first layer"},
        "last": {**_WEIGHTS, "description": "of the last layer"},
        "depthwise": {**_WEIGHTS, "description": "of depthwise layers"},
        "overrides": by_name(_WEIGHTS, "by shell-style pattern of layers' names, the first wins"),
        "keep_float": listed(text("pattern"), "names of nodes that stay in float32"),
        "activations": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "exponent": {**either("static", "dynamic"), "default": "static"},
                "calibration": {**either("mse", "max", "percentile"), "default": "mse"},
                "percentile": _is("number", "of that rule", exclusiveMinimum=50, maximum=100),
            },
        },
        "input_bits": by_name(
            {"enum": [6, 7, 8]}, "of what a layer reads, by shell-style pattern of layers' names"
        ),
        "method": {**either(*METHODS), "default": "hessian"},
        "reconstruction": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "steps": _is("integer", "per block", minimum=1, default=600),
                "batch": _is("integer", "images per step", minimum=1, default=32),
                "drop": _is("number", "part left unquantised", minimum=0, exclusiveMaximum=1),
                "seed": _is("integer", "of order and drop", minimum=0, default=0),
                "minutes": _is("number", "of the method auto", exclusiveMinimum=0, default=10),
            },
        },
        "correct_statistics": {"type": "boolean", "default": True},
    },
}


def schemas() -> dict[str, Schema]:
    """Every schema by its name: ``quantize-1`` is that of ``sub8/quantize/1``."""
    found = {}
    for verb, (keys, optional) in VERBS.items():
        name = schema_name(verb)
        frame = dict(
            schema={"const": name},
            version=text("of sub8"),
            **keys,
            units=by_name(text("unit"), "of every figure, by its key"),
        )
        found[name.removeprefix("sub8/").replace("/", "-")] = _headed(
            name, table(f"What sub8 {verb.replace('-', ' ')} --json prints", optional, **frame)
        )
    found["recipe-1"] = _headed("sub8/recipe/1", {"description": "--recipe FILE.toml", **RECIPE})
    found["study-1"] = _headed("sub8/study/1", table("A study's study.json", **STUDY))
    return found


def _headed(name: str, schema: Schema) -> Schema:
    return {"$schema": DRAFT, "$id": f"urn:{name.replace('/', ':')}", **schema}


def text_of(schema: Schema) -> str:
    return json.dumps(schema, indent=1) + "\n"


def write(folder: Path) -> None:
    """A file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (folder / f"{name}.json").write_text(text_of(schema), "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
