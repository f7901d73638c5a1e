"""The errors sub8 raises on purpose. Each message says what is wrong, where, and what to do about
it.
"""

import re


class Sub8Error(Exception):
    """Base of every deliberate error; the command line prints it in one line and exits with
    code 2.
    """


class InputError(Sub8Error):
    """A file, array or option that the user gave cannot be used."""


class UnsupportedModelError(Sub8Error):
    """A model holds a construct that sub8 cannot represent; the message names the node."""


class MissingPreprocessError(InputError):
    """Images are given to a model that does not say how they are prepared."""

    def __init__(self, data: str):
        super().__init__(
            f"{data}: the model does not say how images are prepared; give "
            "preprocess=sub8.Preprocess(size=224, resize=256, scale=1/255, mean=(0.485, 0.456, "
            "0.406), std=(0.229, 0.224, 0.225))"
        )
        self.data = data

    def __reduce__(self) -> tuple[type["MissingPreprocessError"], tuple[str]]:
        return type(self), (self.data,)  # the message is no argument


class Sub8Warning(UserWarning):
    """The result is usable, but something about the input was probably not meant; one line, told
    once.
    """


def innermost(error: BaseException) -> BaseException:
    """The error at the end of a chain of causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def first_line(error: BaseException) -> str:
    """The first line of another library's message, at most 300 characters; its type where it says
    nothing.
    """
    lines = [line.strip() for line in _plain(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def one_line(error: object, most: int = 300) -> str:
    """All of another library's message in one line, at most ``most`` characters."""
    return " ".join(_plain(error).split())[:most]


def _plain(error: object) -> str:
    """The message without a terminal's orders, as for colours."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", str(error))
