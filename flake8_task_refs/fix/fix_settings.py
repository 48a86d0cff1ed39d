"""How to repair: the settings of the fixer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from flake8_task_refs.fix.project import ImportStyle
from flake8_task_refs.options import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

# The first Python in which a task has a name.
_NAMES: Final = (3, 8)


def _by_nobody(*_names: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class FixSettings:
    """How to repair. ``analysis`` are the linter's settings.

    ``shutdown_timeout`` is how many seconds a shutdown waits for its tasks, ``None`` for ever.
    ``unsafe_fixes`` allows changes that can alter what the program does. ``line_length`` is in
    characters; ``quote`` is for a file that has no string yet; ``python`` is the oldest that is to
    run the file, None if that is not known. ``select`` holds codes or their beginnings; if empty,
    everything is repaired. ``keep_imports`` keeps those that a repair leaves without a use: other
    files may want them; ``is_taken`` tells of a name whether one does, ``is_asked_for`` of a class
    and an attribute whether one uses that. ``imports`` is how the project writes its own.
    """

    analysis: Settings = field(default_factory=Settings)
    shutdown_timeout: float | None = 10
    unsafe_fixes: bool = False
    line_length: int = 88
    quote: str = '"'
    imports: ImportStyle = field(default_factory=ImportStyle)
    python: tuple[int, int] | None = None
    select: tuple[str, ...] = ()
    keep_imports: bool = False
    is_taken: Callable[[str], bool] = _by_nobody
    is_asked_for: Callable[[str, str], bool] = _by_nobody

    @property
    def names_tasks(self) -> bool:
        """Whether tasks have names in every Python that is to run the file."""
        return (self.python or _NAMES) >= _NAMES

    @property
    def registry_name(self) -> str:
        """The name of a registry without a leading underscore."""
        return self.analysis.registry_name.strip("_") or "background_tasks"
