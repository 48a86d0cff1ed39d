"""The map as one HTML page that needs nothing else: who holds each task, and who ends it.

Jinja2 escapes everything that comes from user code; the page loads nothing, and says so in its
content security policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from flake8_task_refs.map import wording
from flake8_task_refs.map.inventory import FINDING, OPEN, SETTLED, STATES, questions, state

if TYPE_CHECKING:
    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.analysis.task import Holder, Task
    from flake8_task_refs.map.inventory import MappedFile, TaskMap

# Each state with its sign and its words: never colour alone.
_STATES: Final = {
    FINDING: ("✖", "finding"),
    OPEN: ("?", "open question"),
    SETTLED: ("✓", "settled"),
}
# The holders of one task, the longest-lived first: the diagram draws it from the first.
_RANK: Final = (
    "container", "attribute", "variable", "group", "factory", "loop",
    "captured", "passed", "returned", "local", "unclear",
)  # fmt: skip
# So many tasks are shown at once; beyond, files without a finding are folded.
_UNFOLDED: Final = 40


@dataclass(frozen=True)
class _Card:
    """One task as the page shows it. ``ends`` are the numbers of the ends it leads to."""

    task: Task
    title: str
    state: str
    where: str
    held: list[str]
    ended: list[str]
    heard: list[str]
    questions: tuple[str, ...]
    ends: list[int]


@dataclass
class _Owner:
    """One owner, the tasks that it holds, and who ends those, each with what it does."""

    title: str
    kind: str
    cards: list[_Card] = field(default_factory=list)
    ends: list[tuple[str, str]] = field(default_factory=list)

    def add(self, task: Task) -> None:
        """Add a task that this owner holds."""
        numbers = []
        for end in wording.endings(task).items():
            if end not in self.ends:
                self.ends.append(end)
            numbers.append(self.ends.index(end))
        self.cards.append(
            _Card(
                task,
                wording.title(task),
                state(task),
                wording.where(task.function),
                wording.holders(task),
                wording.ends(task),
                wording.listeners(task),
                questions(task),
                numbers,
            )
        )


@dataclass(frozen=True)
class _Module:
    """One file: its owners, and how many of its tasks are in each state."""

    name: str
    owners: list[_Owner]
    counts: dict[str, int]
    other_findings: tuple[Finding, ...]
    unfolded: bool


def render(tasks: TaskMap) -> str:
    """Return the page that shows ``tasks``: the same for the same tasks, in ASCII alone."""
    summary = tasks.summary()
    all_unfolded = summary["tasks"] <= _UNFOLDED
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(printable=wording.printable, breakable=_breakable)
    text = environment.from_string(_asset("page.html.jinja")).render(
        modules=[
            _module(file, unfolded=all_unfolded)
            for file in tasks.files
            if file.tasks or file.other_findings
        ],
        summary=summary,
        errors=tasks.errors,
        states=_STATES,
        style=_asset("page.css"),
        script=_asset("page.js"),
        nobody=(wording.NOBODY, wording.NOT_SEEN),
    )
    # Whatever the encoding of the terminal, file or server it goes through.
    return text.encode("ascii", "xmlcharrefreplace").decode()


def _module(file: MappedFile, *, unfolded: bool) -> _Module:
    owners: dict[tuple[str, str], _Owner] = {}
    for task in file.tasks:
        title, kind = _owner(task)
        owners.setdefault((title, kind), _Owner(title, kind)).add(task)
    states = [state(task) for task in file.tasks]
    return _Module(
        file.name,
        list(owners.values()),
        {name: states.count(name) for name in STATES if name in states},
        file.other_findings,
        unfolded or FINDING in states or bool(file.other_findings),
    )


def _owner(task: Task) -> tuple[str, str]:
    """Return the owner that the diagram draws ``task`` from: what it is called, and its kind."""
    if not task.held_by:
        return wording.NOBODY, ""
    held = min(task.held_by, key=lambda holder: _RANK.index(holder.kind))
    return _named(held)


def _named(held: Holder) -> tuple[str, str]:
    if held.kind in ("attribute", "container", "variable"):
        if not held.owner:
            return "the module", ""
        if held.name.startswith(("self.", "cls.")):
            return held.owner, "class"
        if held.name.startswith(held.owner):
            return held.owner, "object"
        return (held.owner, "class") if held.kind == "attribute" else _function(held)
    if held.kind == "group":
        return held.name, "task group"
    return _function(held) if held.kind == "local" else (wording.holder(held), "")


def _function(held: Holder) -> tuple[str, str]:
    return wording.where(held.owner), "function"


def _breakable(text: str) -> Markup:
    """Let a browser break lines within long names: after a dot, before an underscore."""
    return escape(text).replace(".", Markup(".<wbr>")).replace("_", Markup("<wbr>_"))


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
