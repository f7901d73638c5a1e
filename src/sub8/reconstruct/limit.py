"""How long fitting may take, and whether the user has asked it to stop."""

import time


class Limit:
    """Wall clock from now on. minutes: None for no limit."""

    def __init__(self, minutes: float | None = None):
        self._end = None if minutes is None else time.monotonic() + 60.0 * minutes
        self._stopped = False

    @property
    def over(self) -> bool:
        """Whether nothing more may be begun."""
        return self._stopped or (self._end is not None and time.monotonic() >= self._end)

    def stop(self) -> None:
        """From now on it is over."""
        self._stopped = True
