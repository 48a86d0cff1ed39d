"""Find and repair asyncio tasks that nobody references, awaits or ends.

Public functions: ``check_source`` (source text to findings), ``fix_source`` (source text to
repaired text, under ``FixSettings``), ``scan`` (paths to findings) and ``task_map`` (paths to every
task, with who holds it, who ends it and who hears its errors). They are imported on first use, so
that flake8 can load the plugin without paying for the analysis.
"""

from __future__ import annotations

import os
import sys

# `python -m flake8_task_refs.fix` lets Python look for modules in the directory it is run in, which
# holds the code that is only to be read: a libcst.py there would be run. (While Python looks for
# this package, its first argument is "-m"; a checkout of it is trusted.)
_here = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118
if sys.argv[:1] == ["-m"] and sys.path[:1] == [_here[:-1]] and not __file__.startswith(_here):
    del sys.path[0]

from typing import TYPE_CHECKING  # noqa: E402 (nothing may be imported before)

__version__ = "0.1.0"

if TYPE_CHECKING:
    from flake8_task_refs.analysis.check import check_source
    from flake8_task_refs.analysis.finding import Finding, SourceError
    from flake8_task_refs.fix.engine import Declined, FixResult, FixSettings, fix_source
    from flake8_task_refs.map.inventory import TaskMap, task_map
    from flake8_task_refs.options import ConfigError, Settings
    from flake8_task_refs.scanning import Scanned, scan

__all__ = [
    "ConfigError",
    "Declined",
    "Finding",
    "FixResult",
    "FixSettings",
    "Scanned",
    "Settings",
    "SourceError",
    "TaskMap",
    "__version__",
    "check_source",
    "fix_source",
    "scan",
    "task_map",
]

_DEFINED_IN = {
    "ConfigError": "flake8_task_refs.options",
    "Declined": "flake8_task_refs.fix.engine",
    "Finding": "flake8_task_refs.analysis.finding",
    "FixResult": "flake8_task_refs.fix.engine",
    "FixSettings": "flake8_task_refs.fix.fix_settings",
    "Scanned": "flake8_task_refs.scanning",
    "Settings": "flake8_task_refs.options",
    "SourceError": "flake8_task_refs.analysis.finding",
    "TaskMap": "flake8_task_refs.map.inventory",
    "check_source": "flake8_task_refs.analysis.check",
    "fix_source": "flake8_task_refs.fix.engine",
    "scan": "flake8_task_refs.scanning",
    "task_map": "flake8_task_refs.map.inventory",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it, on first use (PEP 562)."""
    if name not in _DEFINED_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_DEFINED_IN[name]), name)
