"""``fix_source``: plan, edit, check again. Text in, repaired text out; no files."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import libcst as cst

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.check import Judged, check_source, judge_source
from flake8_task_refs.analysis.finding import TOO_COMPLEX, Finding, SourceError
from flake8_task_refs.analysis.outline import Outline, normalise_newlines, skim
from flake8_task_refs.fix.additions import Additions
from flake8_task_refs.fix.contract import Context, Declined, Plan
from flake8_task_refs.fix.early_reads import read_too_early
from flake8_task_refs.fix.edits import Edit, Moves, OverlapError, apply, in_line_ends_of, in_order
from flake8_task_refs.fix.fix_settings import FixSettings
from flake8_task_refs.fix.free_names import FileNames, Locals
from flake8_task_refs.fix.layout import Layout, silences_a_dropped_awaitable
from flake8_task_refs.fix.planner import plan
from flake8_task_refs.fix.registration import Writer
from flake8_task_refs.fix.source import SourceFile
from flake8_task_refs.fix.unused_imports import unused_import

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Declined", "FixResult", "FixSettings", "fix_source"]

_PASSES: Final = 4
# How often a file's repairs are tried in other combinations where they spoil one another.
_MAX_ATTEMPTS: Final = 100
WORSE: Final = "the repaired code would still have a finding here, or a new one"
BROKEN: Final = "the repaired code would not compile: repair it by hand"
TOO_MANY: Final = (
    "the function would mention more tasks than a check follows: share it out among several"
)
OVERLAPS: Final = "this site is intertwined with another: repair it by hand"
CLASHES: Final = "the module means something else by a name that the repair would import"
READ_TOO_EARLY: Final = (
    "{function}() binds a name {name} of its own (an import, perhaps), and the repair would need "
    "the module's above that: rename it, or move the import to the module"
)
LOSES_COMMENT: Final = "the repair would lose a comment: repair it by hand"
_WORD: Final = re.compile(r"[^\W\d]\w*")
_ENDINGS: Final = frozenset({"TSK201", "TSK204"})
# One site has one code, the worst: what may come to light when that is gone.
_BEHIND: Final = _ENDINGS | {"TSK301", "TSK304"}
_HIDES: Final = {"TSK002": _BEHIND, "TSK101": _BEHIND, "TSK201": _BEHIND, "TSK204": _BEHIND}


@dataclass(frozen=True, slots=True)
class FixResult:
    """The repaired text, what it repairs and what it leaves. Positions are those of the input.

    Those of ``fixed`` whose tasks are kept now, and still told to have no end, are in ``unended``
    as well, with the code of which the new text has a finding instead.
    """

    text: str
    fixed: tuple[Finding, ...]
    declined: tuple[Declined, ...]
    unended: tuple[tuple[Finding, str], ...] = ()


class _RefusedError(Exception):
    """The plan does not lead to better text; ``reason`` says why.

    ``again`` tells whether it may do so once other repairs are made.
    """

    def __init__(self, reason: str, *, again: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again


def fix_source(source: str, settings: FixSettings | None = None) -> FixResult:
    """Repair the findings of ``source`` and return the new text with an account of each finding.

    ``source`` is decoded text without a byte order mark, its line ends as in the file. Raises
    ``SourceError`` if it is not valid Python, or nested too deeply.
    """
    try:
        return _fix_source(source, settings or FixSettings())
    except Exception as error:
        # libcst's position provider makes a KeyError of a RecursionError on its way out.
        if _is_recursion(error):
            raise SourceError(TOO_COMPLEX) from None
        raise


def _is_recursion(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, RecursionError):
        error = error.__context__
    return error is not None


def _fix_source(source: str, settings: FixSettings) -> FixResult:
    text = source
    judged = judge_source(normalise_newlines(text), settings.analysis)
    # Each finding of the text as it is now, and the one of the input that it was.
    now = {
        finding: finding
        for finding in (judged.verdicts if judged else ())
        if not settings.select or finding.code.startswith(settings.select)
    }
    fixed: set[Finding] = set()
    unended: dict[Finding, str] = {}
    declined: dict[Finding, Declined] = {}
    for _ in range(_PASSES):
        if not now or judged is None:
            break
        done = _Repair(judged, settings).of(list(now))
        for refusal in done.plan.declined:
            origin = now[refusal.finding]
            declined[origin] = replace(refusal, finding=origin)
        fixed |= {now[finding] for finding in done.plan.fixed}
        for finding in done.plan.fixed:
            unended.pop(now[finding], None)
        behind = done.behind(settings.select)
        unended |= {now[finding]: told.code for finding, told in behind if told.code in _ENDINGS}
        if not done.plan.fixed:
            break
        text = apply(text, in_line_ends_of(text, done.edits))
        # What could not be done beside other repairs may go alone; a reasoned refusal is final.
        refused = {origin for origin, refusal in declined.items() if not refusal.again}
        gone = set(done.plan.fixed)
        left = [f for f in now if f not in gone and now[f] not in refused]
        if not left and not behind:
            break
        judged = judge_source(done.text, settings.analysis)
        found = {_place(finding): finding for finding in (judged.verdicts if judged else ())}
        # A task that is kept now, and told to have no end, is given one in the next pass.
        still = {
            found[_place(told)]: now[finding] for finding, told in behind if _place(told) in found
        }
        for finding, there in zip(left, done.moved(left), strict=True):
            if _place(there) in found:
                still[found[_place(there)]] = now[finding]
            else:  # another's repair was its own, too
                fixed.add(now[finding])
        now = still
    return FixResult(
        text if settings.keep_imports else _without_unused_imports(source, text, settings.is_taken),
        tuple(sorted(fixed)),
        tuple(declined[finding] for finding in sorted(declined) if finding not in fixed),
        tuple(sorted(unended.items())),
    )


def _without_unused_imports(source: str, text: str, is_taken: Callable[[str], bool]) -> str:
    """Return ``text``, made of ``source``, without the imports that nobody uses any more."""
    if text == source:
        return text
    before = normalise_newlines(source)
    while (edit := unused_import(before, normalise_newlines(text), is_taken)) is not None:
        text = apply(text, in_line_ends_of(text, [edit]))
    return text


@dataclass(frozen=True, slots=True)
class _Done:
    """A plan that was carried out: ``edits`` made ``text``, which has the findings ``left``."""

    before: str
    plan: Plan
    edits: list[Edit]
    text: str
    left: Sequence[Finding] = ()

    def behind(self, select: tuple[str, ...]) -> list[tuple[Finding, Finding]]:
        """Return what was repaired where the new text has another finding, of ``select``.

        Each comes with the one that it hid: a task that is kept may have no end.
        """
        told = {
            (finding.line, finding.column): finding
            for finding in self.left
            if finding.code in _BEHIND and (not select or finding.code.startswith(select))
        }
        places = ((finding.line, finding.column) for finding in self.moved(self.plan.fixed))
        found = zip(self.plan.fixed, map(told.get, places), strict=True)
        return [(finding, there) for finding, there in found if there is not None]

    def moved(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return ``findings`` at their places in the new text."""
        old, new = Outline(self.before), Outline(self.text)
        moved = Moves(self.before, self.edits)
        found = []
        for finding in findings:
            place = new.position(moved(old.offset(finding.line, finding.column)))
            found.append(Finding(*place, finding.code, finding.message, finding.coroutine))
        return found


class _Repair:
    """One pass over a judged file."""

    def __init__(self, judged: Judged, settings: FixSettings) -> None:
        self._judged = judged
        self._settings = settings
        self._file = SourceFile(judged.tree)
        self._names = FileNames(self._file, judged.judge.ownership.names)
        self._attempts = 0

    def of(self, wanted: list[Finding]) -> _Done:
        """Repair as many of ``wanted`` as possible at once; those that spoil it are declined."""
        try:
            return self._attempt(wanted)
        except _RefusedError:
            good, refused = self._together([], wanted)
            done = self._attempt(good)
            done.plan.declined += refused
            return done

    def _together(
        self, base: list[Finding], wanted: list[Finding]
    ) -> tuple[list[Finding], list[Declined]]:
        """Find out which of ``wanted`` can be repaired beside ``base`` and each other."""
        try:
            self._attempt([*base, *wanted])
        except _RefusedError as error:
            if len(wanted) == 1 or self._attempts > _MAX_ATTEMPTS:
                return [], [Declined(finding, error.reason, error.again) for finding in wanted]
        else:
            return wanted, []
        middle = len(wanted) // 2
        first, refused = self._together(base, wanted[:middle])
        if any(declined.reason == TOO_MANY for declined in refused):
            # There is no room for one more.
            rest = [Declined(finding, TOO_MANY, again=False) for finding in wanted[middle:]]
            return first, [*refused, *rest]
        second, more = self._together([*base, *first], wanted[middle:])
        return [*first, *second], [*refused, *more]

    def _attempt(self, wanted: Sequence[Finding]) -> _Done:
        """Plan and make the repair of ``wanted``. Raises ``_RefusedError`` if it does no good."""
        self._attempts += 1
        file, names, settings = self._file, self._names, self._settings
        quote = names.quote or settings.quote
        layout = Layout(settings.line_length, file.indent_unit, quote)
        context = Context(
            judge=self._judged.judge,
            file=file,
            names=names,
            locals=Locals(file),
            writer=Writer(file, names, layout, settings.names_tasks),
            additions=Additions(file, names, layout, settings),
            settings=settings,
        )
        made = plan(context, {finding: self._judged.verdicts[finding] for finding in wanted})
        if not made.fixed:
            return _Done(file.text, made, [], file.text)
        try:
            edits = in_order([*made.edits, *context.additions.edits()])
        except OverlapError:
            raise _RefusedError(OVERLAPS) from None
        if context.additions.clashes():
            raise _RefusedError(CLASHES, again=False)
        done = _Done(file.text, made, edits, apply(file.text, edits))
        return replace(done, left=self._verify(done))

    def _uses_locals(self, edits: Sequence[Edit]) -> bool:
        """Tell whether a function with ``edits`` in it may bind a name that they add to it."""
        tree, file = self._file.tree, self._file
        words: set[str] = set()
        for edit in edits:
            replaced = _WORD.findall(file.text, edit.start, edit.end)
            words.update(set(_WORD.findall(edit.text)).difference(replaced))
        for function, scope in tree.inner.items():
            if not isinstance(function, syntax.FunctionDef):
                continue
            bound = words.intersection(scope.imports) | {
                name
                for name in words.intersection(scope.stores)
                if not all(isinstance(tree.parent[at], syntax.Param) for at in scope.stores[name])
            }
            if bound:
                span = file.span(function)
                if any(span.start <= edit.start < span.end for edit in edits):
                    return True
        return False

    def _verify(self, done: _Done) -> list[Finding]:
        """Check that the new text compiles if the old one did, and has only findings left over.

        It has all comments, too. Return its findings.
        """
        if not _compiles(done.text) and (_compiles(done.before) or not _parses(done.text)):
            raise _RefusedError(BROKEN)
        if self._uses_locals(done.edits):
            early = read_too_early(done.text)
            if early:
                early -= read_too_early(done.before)
            for path, name in sorted(early):
                reason = READ_TOO_EARLY.format(function=path.removeprefix("."), name=name)
                raise _RefusedError(reason, again=False)
        lost = _comments(done.before) - _comments(done.text)
        if not all(map(silences_a_dropped_awaitable, lost)):
            raise _RefusedError(LOSES_COMMENT)
        try:
            found = check_source(done.text, self._settings.analysis)
        except SourceError as error:
            if str(error) == TOO_COMPLEX:
                raise _RefusedError(TOO_MANY, again=False) from None
            raise _RefusedError(BROKEN) from None
        gone = set(done.plan.fixed)
        places = Counter(map(_place, found))
        left = [finding for finding in self._judged.verdicts if finding not in gone]
        wanted = Counter(map(_place, done.moved(left)))
        # A task that is kept may now be told to have no end; that is another fault, and was there.
        allowed = {
            (there.line, there.column, code)
            for finding, there in zip(gone, done.moved(gone), strict=True)
            for code in _HIDES.get(finding.code, _ENDINGS)
        }
        new = sorted({at[2] for at in places - wanted if at not in allowed})
        if new:
            raise _RefusedError(f"{WORSE} ({', '.join(new)}): repair it by hand")
        return found


def _place(finding: Finding) -> tuple[int, int, str]:
    return finding.line, finding.column, finding.code


def _comments(text: str) -> Counter[str]:
    if "#" not in text:
        return Counter()
    blanks = skim(text).blanks
    return Counter(text[start:end].rstrip() for start, end, kind in blanks if kind == "comment")


def _parses(text: str) -> bool:
    """Tell whether libcst can read ``text``, which may be of a newer Python than this one."""
    try:
        cst.parse_module(text)
    except (cst.ParserSyntaxError, cst.CSTValidationError):
        return False
    return True


def _compiles(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "<text>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True
