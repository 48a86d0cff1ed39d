"""Files for MicroPython, whose event loop holds its tasks strongly: no rule speaks of them.

Its ``asyncio`` keeps every task in a queue of its own, and its tasks have neither names nor
done-callbacks (its extmod/asyncio/core.py and task.py).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flake8_task_refs.analysis.outline import Outline

# Its own modules; ``machine`` is a usual name, so one of its members must be there, too.
_MODULE: Final = re.compile(
    r"(?:import|from)[ \t]+(?:"
    r"(?:uasyncio|micropython|utime|pyb|rp2|esp32|usocket|ustruct|ubinascii|umqtt|urequests|mqtt_as)\b"
    r"|machine[ \t]+import\b[^\n]*\b(?:Pin|I2C|SPI|UART|RTC|ADC|PWM|WDT|Timer|reset)\b"
    r"|time[ \t]+import\b[^\n]*\b(?<! as )(?:ticks_(?:us|ms|cpu|diff|add)|sleep_[um]s)\b)"
)
_MACHINE: Final = re.compile(r"import[ \t][\w, \t]*\bmachine\b")
_OF_A_MACHINE: Final = re.compile(
    r"\bmachine\.(?:Pin|I2C|SPI|UART|RTC|ADC|PWM|WDT|Timer|reset|unique_id|freq|deepsleep)\b"
)
# Its own functions, of modules that CPython has as well or that may be somebody's own.
_WORDS: Final = ("sleep_ms", "sleep_us", "wait_for_ms", "ThreadSafeFlag", "ticks_", "network.WLAN")
_FUNCTION: Final = re.compile(
    r"\basyncio\.(?:sleep_ms|wait_for_ms|ThreadSafeFlag)\b"
    r"|\btime\.(?:ticks_(?:us|ms|cpu|diff|add)|sleep_[um]s)\b"
    r"|\bnetwork\.WLAN\b"
)


def is_micropython(outline: Outline) -> bool:
    """Tell whether a file uses what only MicroPython has."""
    source = outline.source
    if any(_MODULE.match(source, at) for at in outline.imports):
        return True
    if any(_MACHINE.match(source, at) for at in outline.imports):
        return _OF_A_MACHINE.search(outline.code) is not None
    return outline.mentions(_WORDS) and _FUNCTION.search(outline.code) is not None
