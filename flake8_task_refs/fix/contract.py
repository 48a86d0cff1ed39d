"""What a home is given and gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.analysis.tree import Tree
    from flake8_task_refs.analysis.verdict import Judge
    from flake8_task_refs.fix.additions import Additions
    from flake8_task_refs.fix.edits import Edit
    from flake8_task_refs.fix.fix_settings import FixSettings
    from flake8_task_refs.fix.free_names import FileNames, Locals
    from flake8_task_refs.fix.registration import Writer
    from flake8_task_refs.fix.repair_sites import Site
    from flake8_task_refs.fix.source import SourceFile


# What is said beside "fixed" of a task that is kept from now on, and no more than that.
NO_END_YET: Final = "but nothing ends the task yet"


@dataclass(frozen=True, slots=True)
class Declined:
    """A finding that is left alone, and why, in words for the user.

    ``again`` tells whether it may be repaired once others are; it is nothing to the user.
    """

    finding: Finding
    reason: str
    again: bool = field(default=False, compare=False, repr=False)


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
