"""Files for MicroPython, whose event loop holds its tasks strongly: no rule speaks of them.

Its ``asyncio`` keeps every task in a queue of its own, and its tasks have neither names nor
done-callbacks (extmod/asyncio/core.py and task.py of MicroPython 1.24).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flake8_task_refs.analysis.outline import Outline

# Words without which a file shows no sign of it; most have none, and are asked no more.
_WORDS: Final = (
    "uasyncio", "micropython", "utime", "machine", "pyb", "rp2", "esp32", "usocket", "ustruct",
    "ubinascii", "umqtt", "urequests", "mqtt_as", "sleep_ms", "ticks_ms",
    "ThreadSafeFlag", "network.WLAN",
)  # fmt: skip
# Its own modules and functions; ``machine`` is a usual name, so one of its members must be there.
_SIGN: Final = re.compile(
    r"^[ \t]*(?:import|from)[ \t]+"
    r"(?:uasyncio|micropython|utime|pyb|rp2|esp32|usocket|ustruct|ubinascii|umqtt|urequests|mqtt_as)\b"
    r"|^[ \t]*from[ \t]+machine[ \t]+import\b"
    r"[^\n]*\b(?:Pin|I2C|SPI|UART|RTC|ADC|PWM|WDT|Timer|reset)\b"
    r"|\basyncio\.(?:sleep_ms|wait_for_ms|ThreadSafeFlag)\b"
    r"|\btime\.ticks_(?:ms|us|diff)\b"
    r"|\bnetwork\.WLAN\b",
    re.MULTILINE,
)
_MACHINE: Final = re.compile(r"^[ \t]*import[ \t][\w, \t]*\bmachine\b", re.MULTILINE)
_OF_A_MACHINE: Final = re.compile(
    r"\bmachine\.(?:Pin|I2C|SPI|UART|RTC|ADC|PWM|WDT|Timer|reset|unique_id|freq|deepsleep)\b"
)


def is_micropython(outline: Outline) -> bool:
    """Tell whether a file uses what only MicroPython has."""
    if not outline.mentions(_WORDS):
        return False
    code = outline.code
    imports_machine = _MACHINE.search(code) is not None
    return _SIGN.search(code) is not None or (
        imports_machine and _OF_A_MACHINE.search(code) is not None
    )
