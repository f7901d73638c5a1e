"""The errors sub8 raises on purpose. Each message says what is wrong, where, and what to do about it."""


class Sub8Error(Exception):
    """Base of every deliberate error; the command line prints it in one line and exits with code 2."""


class InputError(Sub8Error):
    """A file, array or option that the user gave cannot be used."""


class UnsupportedModelError(Sub8Error):
    """A model holds a construct that sub8 cannot represent; the message names the node."""
