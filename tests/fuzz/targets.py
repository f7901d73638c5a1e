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


def _recipes() -> Target:
    from mutants_of_settings import Recipes

    return Recipes()


def _studies() -> Target:
    from mutants_of_settings import Studies

    return Studies()


def _checkpoints() -> Target:
    from mutants_of_settings import Checkpoints

    return Checkpoints()


def _data() -> Target:
    from mutants_of_data import Data

    return Data()


def _compiled() -> Target:
    from mutants_of_compiled import Compiled

    return Compiled()


TARGETS: dict[str, Callable[[], Target]] = {
    "records": _records,
    "models": _models,
    "model-bytes": _model_bytes,
    "recipes": _recipes,
    "studies": _studies,
    "checkpoints": _checkpoints,
    "data": _data,
    "s8": _compiled,
}
