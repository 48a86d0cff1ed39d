"""What a home is given and gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from flake8_task_refs.fix.project import ImportStyle
from flake8_task_refs.options import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.analysis.tree import Tree
    from flake8_task_refs.analysis.verdict import Judge
    from flake8_task_refs.fix.additions import Additions
    from flake8_task_refs.fix.edits import Edit
    from flake8_task_refs.fix.free_names import FileNames, Locals
    from flake8_task_refs.fix.registration import Writer
    from flake8_task_refs.fix.repair_sites import Site
    from flake8_task_refs.fix.source import SourceFile


# The first Python in which a task has a name.
_NAMES: Final = (3, 8)
# What is said beside "fixed" of a task that is kept from now on, and no more than that.
NO_END_YET: Final = "but nothing ends the task yet"


def _by_nobody(_name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class FixSettings:
    """How to repair. ``analysis`` are the linter's settings.

    ``shutdown_timeout`` is how many seconds a shutdown waits for its tasks, ``None`` for ever.
    ``unsafe_fixes`` allows changes that can alter what the program does. ``line_length`` is in
    characters; ``quote`` is for a file that has no string yet; ``python`` is the oldest that is to
    run the file, None if that is not known. ``select`` holds codes or their beginnings; if empty,
    everything is repaired. ``keep_imports`` keeps those that a repair leaves without a use: other
    files may want them; ``is_taken`` tells of a name whether one does. ``imports`` is how the
    project writes its own.
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

    @property
    def names_tasks(self) -> bool:
        """Whether tasks have names in every Python that is to run the file."""
        return (self.python or _NAMES) >= _NAMES

    @property
    def registry_name(self) -> str:
        """The name of a registry without a leading underscore."""
        return self.analysis.registry_name.strip("_") or "background_tasks"


@dataclass(frozen=True, slots=True)
class Declined:
    """A finding that is left alone, and why, in words for the user."""

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True)
class Context:
    """The file that is being repaired, and what the homes share.

    ``judge`` answers what the analysis knows: what a call creates, who owns it, how it ends.
    """

    judge: Judge
    file: SourceFile
    names: FileNames
    locals: Locals
    writer: Writer
    additions: Additions
    settings: FixSettings

    @property
    def tree(self) -> Tree:
        """The tree of the whole file, which the analysis made."""
        return self.file.tree

    @property
    def registry_name(self) -> str:
        """The name of a registry without a leading underscore."""
        return self.settings.registry_name


@dataclass(slots=True)
class Plan:
    """The edits that repair ``fixed``; the findings in ``declined`` stay."""

    edits: list[Edit] = field(default_factory=list)
    fixed: list[Finding] = field(default_factory=list)
    declined: list[Declined] = field(default_factory=list)

    def take(self, other: Plan) -> None:
        """Add what ``other`` holds."""
        self.edits += other.edits
        self.fixed += other.fixed
        self.declined += other.declined

    def decline(self, sites: Sequence[Site], reason: str) -> None:
        """Leave ``sites`` alone for ``reason``."""
        self.declined += [Declined(site.finding, reason) for site in sites]


class Home(Protocol):
    """One way to repair: where a task is kept from now on, or what is mended where it is kept.

    Homes are made anew for each plan, with its ``Context``.
    """

    def accepts(self, site: Site) -> bool:
        """Tell whether this home is the one for ``site``, all homes before it having refused."""

    def plan(self, sites: Sequence[Site]) -> Plan:
        """Plan the repair of the ``sites`` that were accepted; each is fixed or declined."""
