"""``task_map``: paths in, every task out; and the documented form that JSON shows of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from flake8_task_refs import __version__
from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.analysis.python_parser import syntax_error
from flake8_task_refs.files import FileError, decode, read_bytes
from flake8_task_refs.processes import each
from flake8_task_refs.scanning import (
    describe,
    internal_error,
    may_hold_findings,
    without_stdin,
)
from flake8_task_refs.worklist import Worklist

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.analysis.task import Task
    from flake8_task_refs.files import SourceText
    from flake8_task_refs.options import Settings
    from flake8_task_refs.worklist import Item

# Of the JSON form: raised when a field is taken away or means something else.
FORMAT: Final = 1
# The states of a task, the worst first.
FINDING: Final = "finding"
OPEN: Final = "open"
SETTLED: Final = "settled"
STATES: Final = (FINDING, OPEN, SETTLED)


@dataclass(frozen=True, slots=True)
class MappedFile:
    """The tasks of one file, in source order. ``error`` is one line, empty if it could be read.

    ``other_findings`` belong to no task of the file.
    """

    name: str
    tasks: tuple[Task, ...] = ()
    other_findings: tuple[Finding, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class TaskMap:
    """Every file that was read, in order of the names, with its tasks."""

    files: tuple[MappedFile, ...]

    @property
    def tasks(self) -> Iterator[tuple[str, Task]]:
        """Every task with the name of its file, in order."""
        return ((file.name, task) for file in self.files for task in file.tasks)

    @property
    def errors(self) -> tuple[MappedFile, ...]:
        """The files that could not be read."""
        return tuple(file for file in self.files if file.error)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON shows: plain data, always in the same order.

        Its form is described by ``schema.json`` beside this module.
        """
        return {
            "format": FORMAT,
            "generator": f"flake8-task-refs {__version__}",
            "summary": self.summary(),
            "tasks": [
                {
                    "path": name,
                    **asdict(task),
                    "findings": [finding._asdict() for finding in task.findings],
                    "state": state(task),
                }
                for name, task in self.tasks
            ],
            "other_findings": [
                {"path": file.name, **finding._asdict()}
                for file in self.files
                for finding in file.other_findings
            ],
            "errors": [{"path": file.name, "error": file.error} for file in self.errors],
        }

    def summary(self) -> dict[str, Any]:
        """Return how much of everything there is."""
        states = Counter(state(task) for _, task in self.tasks)
        return {
            "files": len(self.files),
            "tasks": sum(states.values()),
            "states": {name: states[name] for name in STATES},
            "codes": dict(sorted(self._codes().items())),
            "errors": len(self.errors),
        }

    def _codes(self) -> Counter[str]:
        # One finding can be about several tasks: a pool that is closed before all its workers.
        found = {(name, finding) for name, task in self.tasks for finding in task.findings}
        found |= {(file.name, f) for file in self.files for f in file.other_findings}
        return Counter(finding.code for _, finding in found)


def state(task: Task) -> str:
    """Return the state of ``task``: "finding", "open" or "settled".

    Open is what no rule speaks of but a reader may want to look at: the file shows all that is
    done with the task, and nothing ends it though it is endless, or nothing hears its errors.
    """
    if task.findings:
        return FINDING
    return OPEN if questions(task) else SETTLED


def questions(task: Task) -> tuple[str, ...]:
    """Return what is open about ``task``, in words."""
    if not task.in_sight:
        return ()
    found = []
    if task.endless and all(end.kind == "replaced" for end in task.ended_by):
        found.append("nothing in this file ends it")
    if not task.heard_by:
        found.append("nothing in this file hears its errors")
    return tuple(found)


def schema() -> str:
    """Return the JSON Schema (draft 2020-12) of what ``as_dict`` returns."""
    return resources.files(__package__).joinpath("schema.json").read_text("utf-8")


def task_map(
    paths: Sequence[str] = (), options: Sequence[str] = (), jobs: int | None = None
) -> TaskMap:
    """Return every task of each Python file under ``paths``, faults or not.

    ``options`` are flake8's, as strings; its configuration files are read as well, and decide
    which findings are told. ``jobs`` is the number of processes, flake8's setting if ``None``.
    Raises ``options.ConfigError``.
    """
    worklist = Worklist(options, paths)
    items = without_stdin(worklist.items())
    work = partial(map_file, worklist.config.settings)
    return TaskMap(tuple(each(work, items, jobs or worklist.config.jobs, lost=unmapped)))


def unmapped(item: Item, reason: str) -> MappedFile:
    """Return what the map says of a file whose process died or took too long."""
    return MappedFile(item[0], error=reason)


def map_file(settings: Settings, item: Item) -> MappedFile:
    """Map one file; ``item`` is its name and the codes that may speak of it. Raises nothing."""
    name, codes = item
    try:
        data = read_bytes(name)
        # Most files end here, before anything is decoded.
        if not may_hold_findings(data, settings) and not _may_spawn(data, settings):
            return MappedFile(name)
        return map_text(settings, name, decode(data), codes)
    except FileError as error:
        return MappedFile(name, error=str(error))


def map_text(
    settings: Settings, name: str, source: SourceText, codes: tuple[str, ...]
) -> MappedFile:
    """Map ``source``, read from the file ``name``; tell findings of ``codes``. Raises nothing."""
    from flake8_task_refs.analysis.survey import survey_source  # noqa: PLC0415

    try:
        survey = survey_source(source.text, settings)
    except SourceError as error:
        return MappedFile(name, error=describe(error, source.text, "mapped"))
    except Exception as error:  # noqa: BLE001 (one file must not end the run for all others)
        return MappedFile(name, error=internal_error(error))
    # The analysis reads no more of a file than it needs.
    broken = syntax_error(source.text) if survey.tasks else None
    if broken:
        return MappedFile(name, error=describe(broken, source.text))
    tasks = tuple(replace(task, findings=_told(task.findings, codes)) for task in survey.tasks)
    return MappedFile(name, tasks, _told(survey.other_findings, codes))


def _told(findings: tuple[Finding, ...], codes: tuple[str, ...]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.code in codes)


def _may_spawn(data: bytes, settings: Settings) -> bool:
    """Tell whether a file mentions a group or a managed spawner, which the rules pass over."""
    from flake8_task_refs.analysis.groups import may_hold_groups  # noqa: PLC0415

    if may_hold_groups(data):
        return True
    names = (glob.rpartition(".")[2] for glob in settings.managed_spawners)
    return any(name.encode() in data for name in names if name.isidentifier())
