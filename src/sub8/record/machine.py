"""The machine that figures were measured on, without its name or its user's."""

import platform
from typing import Any

from sub8.machine import available_processors, processor_name


def describe_machine() -> dict[str, Any]:
    """``platform`` (system and architecture), ``cpu`` (model name), ``cores`` (those this process
    may use).
    """
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": processor_name(),
        "cores": available_processors(),
    }
