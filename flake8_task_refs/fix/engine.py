"""``fix_source``: plan, edit, check again. Text in, repaired text out; no files."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis.check import check_source
from flake8_task_refs.analysis.finding import Finding, SourceError
from flake8_task_refs.fix.additions import Additions
from flake8_task_refs.fix.edits import Edit, OverlapError, apply, in_order, moved
from flake8_task_refs.fix.layout import Layout
from flake8_task_refs.fix.names import FileNames, Locals
from flake8_task_refs.fix.plan import Context, Declined, FixSettings, Plan
from flake8_task_refs.fix.planner import plan
from flake8_task_refs.fix.registration import Writer
from flake8_task_refs.fix.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Declined", "FixResult", "FixSettings", "fix_source"]

_PASSES: Final = 4
WORSE: Final = "the repaired code would still have a finding here, or a new one"
BROKEN: Final = "the repaired code would not compile: repair it by hand"
OVERLAPS: Final = "this site is intertwined with another: repair it by hand"
_ENDINGS: Final = frozenset({"TSK201", "TSK204"})
_TRY_AGAIN: Final = (WORSE, BROKEN, OVERLAPS)


@dataclass(frozen=True, slots=True)
class FixResult:
    """The repaired text, what it repairs and what it leaves. Positions are those of the input."""

    text: str
    fixed: tuple[Finding, ...]
    declined: tuple[Declined, ...]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One text on the way, and its findings, each with the one of the input that it was."""

    text: str
    open: dict[Finding, Finding]


class _RefusedError(Exception):
    """The plan does not lead to better text; the message is the reason."""


def fix_source(source: str, settings: FixSettings | None = None) -> FixResult:
    """Repair the findings of ``source`` and return the new text with an account of each finding.

    ``source`` is decoded text without a byte order mark, its line ends as in the file. Raises
    ``SourceError`` if it is not valid Python.
    """
    settings = settings or FixSettings()
    findings = check_source(source, settings.analysis)
    now = _Attempt(
        source,
        {
            finding: finding
            for finding in findings
            if not settings.select or finding.code.startswith(settings.select)
        },
    )
    fixed: set[Finding] = set()
    declined: dict[Finding, Declined] = {}
    for _ in range(_PASSES):
        if not now.open:
            break
        following, plan_made = _one_pass(now, settings, findings_of=findings)
        for refusal in plan_made.declined:
            origin = now.open[refusal.finding]
            declined[origin] = Declined(origin, refusal.reason)
        fixed |= {now.open[finding] for finding in plan_made.fixed}
        if following is now:
            break
        # What could not be done beside other repairs may go alone; a reasoned refusal is final.
        refused = {o for o, r in declined.items() if not r.reason.startswith(_TRY_AGAIN)}
        still = {finding: o for finding, o in following.open.items() if o not in refused}
        now = _Attempt(following.text, still)
        if now.open:
            findings = check_source(now.text, settings.analysis)
    return FixResult(
        now.text,
        tuple(sorted(fixed)),
        tuple(declined[finding] for finding in sorted(declined) if finding not in fixed),
    )


def _one_pass(
    now: _Attempt, settings: FixSettings, *, findings_of: Sequence[Finding]
) -> tuple[_Attempt, Plan]:
    """Repair as many findings as possible at once; those that spoil it are declined."""
    file = SourceFile(now.text)
    wanted = list(now.open)
    refused: list[Declined] = []
    try:
        made, text, edits = _attempt(file, wanted, findings_of, settings)
    except _RefusedError:
        wanted, refused = _one_by_one(file, wanted, findings_of, settings)
        made, text, edits = _attempt(file, wanted, findings_of, settings)
    made.declined += refused
    if not made.fixed:
        return now, made
    left = {}
    gone = set(made.fixed)
    for finding, origin in now.open.items():
        if finding not in gone:
            left[_moved(file, text, finding, edits)] = origin
    return _Attempt(text, left), made


def _one_by_one(
    file: SourceFile,
    wanted: Sequence[Finding],
    findings: Sequence[Finding],
    settings: FixSettings,
) -> tuple[list[Finding], list[Declined]]:
    """Find out which of ``wanted`` can be repaired together, taking one more at a time."""
    good: list[Finding] = []
    refused = []
    for finding in wanted:
        reason = _refusal(file, [*good, finding], findings, settings)
        if reason:
            refused.append(Declined(finding, reason))
        else:
            good.append(finding)
    return good, refused


def _refusal(
    file: SourceFile, wanted: Sequence[Finding], findings: Sequence[Finding], settings: FixSettings
) -> str:
    """Return why ``wanted`` cannot be repaired together, or ``""``."""
    try:
        _attempt(file, wanted, findings, settings)
    except _RefusedError as reason:
        return str(reason)
    return ""


def _attempt(
    file: SourceFile,
    wanted: Sequence[Finding],
    findings: Sequence[Finding],
    settings: FixSettings,
) -> tuple[Plan, str, list[Edit]]:
    """Plan and make the repair of ``wanted``. Raises ``_RefusedError`` if the text isn't better."""
    layout = Layout(settings.line_length, file.indent_unit)
    names = FileNames(file)
    registry = settings.analysis.registry_name.strip("_") or "background_tasks"
    context = Context(
        file=file,
        names=names,
        locals=Locals(file),
        writer=Writer(file, names, layout),
        additions=Additions(file, names, layout, registry),
        settings=settings,
    )
    made = plan(context, wanted)
    if not made.fixed:
        return made, file.text, []
    try:
        edits = in_order([*made.edits, *context.additions.edits()])
    except OverlapError:
        raise _RefusedError(OVERLAPS) from None
    text = apply(file.text, edits)
    _verify(file, text, edits, [f for f in findings if f not in set(made.fixed)], settings)
    return made, text, edits


def _verify(
    file: SourceFile,
    text: str,
    edits: Sequence[Edit],
    expected: Sequence[Finding],
    settings: FixSettings,
) -> None:
    """Check ``text``: it compiles if the original did, and its findings are those ``expected``."""
    if _compiles(file.text) and not _compiles(text):
        raise _RefusedError(BROKEN)
    try:
        found = check_source(text, settings.analysis)
    except SourceError:
        raise _RefusedError(BROKEN) from None
    places = Counter((f.line, f.column, f.code) for f in found)
    wanted = Counter(
        (f.line, f.column, f.code) for f in (_moved(file, text, f, edits) for f in expected)
    )
    # A task that is kept may now be told to have no end; that is another fault, and was there.
    for place in list(places):
        if place[2] in _ENDINGS and place not in wanted:
            del places[place]
    if places != wanted:
        new = sorted({code for _, _, code in places - wanted})
        raise _RefusedError(f"{WORSE} ({', '.join(new)}): repair it by hand" if new else WORSE)


def _compiles(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "<text>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _moved(file: SourceFile, text: str, finding: Finding, edits: Sequence[Edit]) -> Finding:
    """Return ``finding`` at its place in ``text``, which ``edits`` made of the file's text."""
    offset = moved(file.offset(finding.line, finding.column - 1), edits)
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return Finding(line, column, finding.code, finding.message, finding.coroutine)
