"""The kinds of input that mutants are made of, each imported where it is used."""

from collections.abc import Callable

from judging import Target


def _records() -> Target:
    from mutants_of_records import Records

    return Records()


def _models() -> Target:
    from mutants_of_models import Models

    return Models(of_bytes=False)


def _model_bytes() -> Target:
    from mutants_of_models import Models

    return Models(of_bytes=True)


TARGETS: dict[str, Callable[[], Target]] = {
    "records": _records,
    "models": _models,
    "model-bytes": _model_bytes,
}
