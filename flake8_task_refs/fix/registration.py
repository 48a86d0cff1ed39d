"""The edits at a creation site: give the task a name, put it into its registry, wrap the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flake8_task_refs.analysis import syntax
from flake8_task_refs.fix.edits import Edit, Place, apply, in_order
from flake8_task_refs.fix.layout import (
    Unknown,
    is_pragma,
    silences_a_dropped_awaitable,
    silences_types,
)
from flake8_task_refs.fix.repair_sites import (
    Site,
    is_returned,
    may_be_named,
    named_callee,
    takes_name,
)
from flake8_task_refs.fix.source import SourceFile, Statement, last_part, statement_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.analysis.spans import Span
    from flake8_task_refs.fix.free_names import FileNames
    from flake8_task_refs.fix.layout import Layout


@dataclass(frozen=True, slots=True)
class Registry:
    """A container of tasks as an expression at the site, and its methods to add and to discard."""

    expression: str
    add: str = "add"
    discard: str = "discard"

    def lines(self, task: str, log_failed: str = "") -> list[str]:
        """Return the statements that register the local ``task``."""
        found = [
            f"{self.expression}.{self.add}({task})",
            f"{task}.add_done_callback({self.expression}.{self.discard})",
        ]
        return [*found, f"{task}.add_done_callback({log_failed})"] if log_failed else found


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the edits of sites in one file. ``layout`` is how the file is formatted.

    ``names_tasks`` tells whether a task may be given a name, as it may since Python 3.8.
    """

    file: SourceFile
    names: FileNames
    layout: Layout
    names_tasks: bool = True

    def register(
        self, site: Site, task: str, registry: Registry, log_failed: str = "", deeper: str = ""
    ) -> list[Edit]:
        """Keep the task of a statement, or one that is just returned, in ``registry``.

        ``task`` is the local that holds it; ``deeper`` the indentation that the statement gains.
        """
        statement, returned = site.statement, is_returned(self.file, site)
        if statement is None or (site.form == "expression" and not returned):
            raise ValueError("only a statement can be followed by others")
        indent = self.file.indent(statement) + deeper
        lines = [
            line
            for code in registry.lines(task, log_failed)
            for line in self.layout.best(code, indent)
        ]
        if site.form == "assign":
            return [self.insert_after(statement, lines)]
        edits, rest = self._bind(site, statement, task, indent)
        if rest:
            lines += self.layout.best(f"{task}{rest}", indent)
        if returned:
            lines.append(f"{indent}return {task}")
        return [*edits, self.insert_after(statement, lines)]

    def bind(self, site: Site, task: str) -> list[Edit]:
        """Let the local ``task`` hold the task of a statement that only makes it."""
        statement = site.statement
        if statement is None or site.form != "discard":
            raise ValueError("only a statement can be bound")
        edits, _ = self._bind(site, statement, task, self.file.indent(statement))
        return edits

    def _bind(
        self, site: Site, statement: Statement, task: str, indent: str
    ) -> tuple[list[Edit], str]:
        """Return the edits for ``task = create_task(...)``, and the method call that follows."""
        call = self.file.span(site.call)
        whole = self.file.span(statement)
        named = self.with_name(site)
        rest = self.file.text[call.end : whole.end] if site.form == "chain" else ""
        original = self.file.text[whole.start : whole.end]
        comment = self.comment_after(statement)
        anew = "\n" not in original or self._grows_too_long(
            f"{indent}{original}{comment}", f"{indent}{task} = {named}{comment}"
        )
        edits = []
        if site.form == "discard" and silences_a_dropped_awaitable(comment):
            # It is kept now: with `warn_unused_ignores`, the comment would be an error itself.
            edits.append(Edit(whole.end, whole.end + len(comment), ""))
            comment = ""
        if anew or self.layout.is_formatted(original, self.file.indent(statement), comment):
            lines = self.layout.best(f"{task} = {named}", indent, comment)
            return [self.replace(whole, lines, indent), *edits], rest
        head = Edit(whole.start, call.start, f"{task} = ")
        if whole.start == call.start:
            head = Edit(whole.start, whole.start, f"{task} = ")
        edits += [head, *self.name_edit(site), *self._shift(site.call, head)]
        if call.end < whole.end:
            edits.append(Edit(call.end, whole.end, ""))
        return edits, rest

    def _shift(self, call: syntax.Call, head: Edit) -> list[Edit]:
        """Move continuation lines that are aligned with the opening bracket along with it."""
        span = self.file.span(call)
        first = self.file.span(call.args[0]).start if call.args else span.end
        if self.file.line_of(first) != self.file.line_of(span.start):
            return []
        below = self.file.line_text(self.file.line_of(span.start) + 1)
        column = (
            self.file.line_start(self.file.line_of(span.start)) + len(below) - len(below.lstrip())
        )
        if not span.start < column <= span.end or self.file.text[column - 1] not in "([{":
            return []  # it hangs from the line, not from a bracket in it
        wider = len(head.text) - (head.end - head.start)
        inside = self.file.string_continuations(
            self.file.line_of(span.start), self.file.line_of(span.end)
        )
        lines = range(self.file.line_of(span.start) + 1, self.file.line_of(span.end) + 1)
        starts = [self.file.line_start(line) for line in lines if line not in inside]
        return [Edit(start, start, " " * wider, Place.INDENT) for start in starts if wider > 0]

    def with_name(self, site: Site) -> str:
        """Return the creating call's text, with ``name=`` if it can and should have one."""
        span = self.file.span(site.call)
        text = self.file.text[span.start : span.end]
        edits = [
            Edit(edit.start - span.start, edit.end - span.start, edit.text)
            for edit in self.name_edit(site)
        ]
        return apply(text, edits)

    def name_edit(self, site: Site) -> list[Edit]:
        """Return the edit that gives the task of ``site`` a name, none if it can have none."""
        callee = self._name_of(site)
        if (
            not callee
            or not self.names_tasks
            or not takes_name(self.file, self.names.analysis, site)
        ):
            return []
        if self._is_in_string(site.call):
            return []
        if site.statement is not None and site.code != "TSK303":
            comment = self.comment_after(site.statement)
            if silences_types(comment) and not self._spans_lines(site):
                return []  # the line cannot be broken, and is long already
            if is_pragma(comment) and not self._fits_on_its_line(site, callee):
                return []  # broken, it would leave the comment on a line of its own
        name = self.layout.string(callee)
        return self.added_argument(site.call, site.call.args[-1], f"name={name}")

    def _fits_on_its_line(self, site: Site, callee: str) -> bool:
        """Tell whether the statement of ``site`` may be named ``callee`` and stay one line."""
        if site.statement is None or self._spans_lines(site):
            return True
        span = self.file.span(site.statement)
        code = self.file.indent(site.statement) + self.file.text[span.start : span.end]
        # A local or a helper comes in front of it, a `try` perhaps around it.
        return self.layout.fits(f'{self.layout.step}task_2 = {code}, name="{callee}"')

    def name_of_new(self, site: Site) -> str:
        """Return ``name=...`` for the task that a repair makes of what ``site`` runs, or ``""``."""
        callee = self._name_of(site)
        if not callee or not self.names_tasks or not may_be_named(self.file):
            return ""
        return "" if self._is_in_string(site.call) else f"name={self.layout.string(callee)}"

    def _is_in_string(self, call: syntax.Call) -> bool:
        """Tell whether a name's quotes could not be told from a string's before Python 3.12."""
        return any(isinstance(at, syntax.FormattedString) for at in self.file.ancestors(call))

    def _name_of(self, site: Site) -> str:
        """Return what to call the task: as much of the coroutine's path as fits on a line."""
        path = named_callee(self.file, self.names.analysis, site)
        if not last_part(path).strip("_"):
            return ""  # `_` says nothing
        line = self.file.line_text(self.file.line_of(self.file.span(site.call).start))
        indent = line[: len(line) - len(line.lstrip())] + 3 * self.layout.step
        parts = path.split(".")
        names = (".".join(parts[-count:]) for count in (len(parts), 2, 1))
        return next((n for n in names if self.layout.fits(f'{indent}name="{n}",')), "")

    def added_argument(self, call: syntax.Call, after: syntax.Arg, argument: str) -> list[Edit]:
        """Return the edits that give ``call`` one more argument; none where a comment is."""
        end = self.file.span(after.value).end
        # A trailing comma stays the last thing: its bracket stays broken into lines.
        whole, start = self.file.span(call), self.file.span(after).start
        line = self.file.line_of(start)
        before = self.file.text[self.file.line_start(line) : start]
        one_line = self.file.line_of(whole.start) == self.file.line_of(whole.end)
        if before.strip() or one_line:
            return [Edit(end, end, f", {argument}")]
        if "#" in self.file.text[end : whole.end]:
            return []
        is_last = after is call.args[-1] and "\n" in self.file.text[end : whole.end]
        comma = "," if is_last and not self.file.has_comma(after) else ""
        return [Edit(end, end, f",\n{before}{argument}{comma}")]

    def _spans_lines(self, site: Site) -> bool:
        span = self.file.span(site.call)
        return self.file.line_of(span.start) != self.file.line_of(span.end)

    def can_wrap(self, site: Site, helper: str) -> bool:
        """Tell whether a call of ``helper`` around that of ``site`` would be formatted, too."""
        statement = site.statement
        if statement is None or not self._spans_lines(site):
            return True
        span = self.file.span(statement)
        code = self.file.text[span.start : span.end]
        indent, comment = self.file.indent(statement), self.comment_after(statement)
        try:
            self.layout.statement(f"{helper}({self.with_name(site)})", indent, comment)
        except Unknown:
            return False
        return self.layout.is_formatted(code, indent, comment)

    def wrap(
        self, sites: Sequence[Site], before: str, deeper: str = "", after: str = ""
    ) -> list[Edit]:
        """Put ``before(…after)`` around the calls of ``sites``, which share a statement or none.

        A task gets no name where that makes a line too long, and nobody can break it.
        """
        found: list[Edit] = []
        with_names = [self.name_edit(site) for site in sites]
        without: list[list[Edit]] = [[] for _ in sites]
        for names in (with_names, without):
            edits = []
            for site, name in zip(sites, names, strict=True):
                span = self.file.span(site.call)
                edits.append(Edit(span.start, span.start, f"{before}("))
                edits += name
                edits.append(Edit(span.end, span.end, f"{after})"))
            found = self.laid_out(sites[0].statement, edits, deeper)
            if found is not edits:
                break
            if not deeper:
                found = [
                    edit
                    for site, name in zip(sites, names, strict=True)
                    for edit in self._around(site, name, before, after)
                ]
            if not self.makes_too_long(found):
                break
        return found

    def _around(self, site: Site, name: Sequence[Edit], before: str, after: str) -> Sequence[Edit]:
        """Put ``before(…after)`` around one call, whose lines go a step further if it has several.

        That is for a statement of which nobody knows how it is laid out.
        """
        span = self.file.span(site.call)
        plain = [
            Edit(span.start, span.start, f"{before}("),
            *name,
            Edit(span.end, span.end, f"{after})"),
        ]
        local = [Edit(e.start - span.start, e.end - span.start, e.text) for e in name]
        original = self.file.text[span.start : span.end]
        call = apply(original, local)
        first, last = self.file.line_of(span.start), self.file.line_of(span.end)
        line = self.file.line_text(first)
        margin = line[: len(line) - len(line.lstrip())]
        rest = self.file.line_text(last)[span.end - self.file.line_start(last) :]
        is_alone = self.file.line_start(first) + len(margin) == span.start and not rest.strip(",")
        if is_alone and self.layout.is_formatted(original, margin, rest):
            laid_out = self.layout.best(f"{before}({call}{after})", margin, rest)
            return [self.replace(span, laid_out, margin)]
        moved = self._moved(call.split("\n"), margin, after)
        if not moved or self.file.string_continuations(first, last):
            return plain
        return [Edit(span.start, span.end, "\n".join([f"{before}(", *moved, f"{margin})"]))]

    def _moved(self, call: Sequence[str], margin: str, after: str) -> list[str]:
        """Return the lines of a call as an argument that has its own, with ``after`` below it.

        Nothing if they are not laid out like that, or get too long, and were not before.
        """
        if call[-1] != f"{margin})" or not call[0].endswith("("):
            return []
        fit_before = all(map(self.layout.fits, call))
        inner, joined = f"{margin}{self.layout.step}", _joined(call)
        lines = [inner + call[0], *(f"{self.layout.step}{line}" for line in call[1:])]
        if joined and self.layout.fits(f"{inner}{joined}{',' * bool(after)}"):
            lines = [inner + joined]
        if after:
            lines[-1] += ","
            lines.append(f"{inner}{after.removeprefix(', ')},")
        return lines if all(map(self.layout.fits, lines)) or not fit_before else []

    def makes_too_long(self, edits: Sequence[Edit]) -> bool:
        """Tell whether a line with one of ``edits`` in it is too long after them."""
        first, last = (self.file.line_of(edits[at].start) for at in (0, -1))
        start = self.file.line_start(first)
        text = "\n".join(self.file.line_text(line) for line in range(first, last + 1))
        local = [Edit(e.start - start, e.end - start, e.text, e.place) for e in edits]
        after = apply(text, in_order(local))
        return not all(map(self.layout.fits, after.split("\n")))

    def call_instead(self, sites: Sequence[Site], helper: str) -> list[Edit]:
        """Let ``helper``, which makes a task of a coroutine itself, be called by ``sites``."""
        edits = []
        for site in sites:
            span = self.file.span(site.call.func)
            edits.append(Edit(span.start, span.end, helper))
        return self.laid_out(sites[0].statement, edits, "")

    def laid_out(
        self, statement: Statement | None, edits: list[Edit], deeper: str = ""
    ) -> list[Edit]:
        """Return ``edits``, or one for the whole statement if it must be broken into lines anew."""
        if statement is None or statement_expression(statement) is None:
            return edits
        span = self.file.span(statement)
        original = self.file.text[span.start : span.end]
        indent, comment = self.file.indent(statement), self.comment_after(statement)
        local = [Edit(e.start - span.start, e.end - span.start, e.text, e.place) for e in edits]
        changed = apply(original, in_order(local))
        if not self.layout.is_formatted(original, indent, comment) and not self._grows_too_long(
            f"{indent}{original}{comment}", f"{indent}{deeper}{changed}{comment}"
        ):
            return edits
        try:
            lines = self.layout.statement(changed, indent + deeper, comment)
        except Unknown:
            return edits
        return [self.replace(span, lines, indent + deeper)]

    def _grows_too_long(self, before: str, after: str) -> bool:
        """Tell whether ``after`` has lines that are too long, and ``before`` none, or just one."""
        lines = before.split("\n")
        return not all(map(self.layout.fits, after.split("\n"))) and (
            len(lines) == 1 or all(map(self.layout.fits, lines))
        )

    def replace(self, span: Span, lines: Sequence[str], indent: str) -> Edit:
        """Replace ``span``, which begins after its indentation, by ``lines`` that have theirs."""
        return Edit(span.start, span.end, "\n".join(lines)[len(indent) :])

    def insert_after(
        self, statement: syntax.Node, lines: Sequence[str], place: Place = Place.AFTER_STATEMENT
    ) -> Edit:
        """Insert ``lines`` after the last line of ``statement``."""
        return self.insert_at(self.file.last_line(statement) + 1, lines, place)

    def insert_at(self, line: int, lines: Sequence[str], place: Place) -> Edit:
        """Insert ``lines`` before ``line``, which may be the one after the last."""
        # A form feed before a statement stays above what now comes first.
        before = place is Place.BEFORE_STATEMENT
        offset = self.file.margin(line) if before else self.file.line_start(line)
        if offset and not before and self.file.text[offset - 1] != "\n":
            return Edit(offset, offset, "".join(f"\n{text}" for text in lines), place)
        return Edit(offset, offset, "".join(f"{text}\n" for text in lines), place)

    def comment_after(self, statement: syntax.Node) -> str:
        """Return what follows ``statement`` on its last line."""
        end = self.file.span(statement).end
        line = self.file.line_of(end)
        return self.file.line_text(line)[end - self.file.line_start(line) :]

    def indent_lines(self, first: int, last: int, edits: Sequence[Edit]) -> list[Edit]:
        """Indent the lines from ``first`` to ``last`` by one step, but not inside strings.

        Lines inside what ``edits`` replace are theirs. A simple statement that becomes too long
        is broken as the formatter would.
        """
        strings = self.file.string_continuations(first, last)
        replaced = [(edit.start, edit.end) for edit in edits if edit.end > edit.start]
        found = self._broken(first, last, edits)
        replaced += [(edit.start, edit.end) for edit in found]
        for line in range(first, last + 1):
            start = self.file.line_start(line)
            if line in strings or not self.file.line_text(line).strip():
                continue
            if any(low < start < high for low, high in replaced):
                continue
            margin = self.file.margin(line)
            found.append(Edit(margin, margin, self.layout.step, Place.INDENT))
        return found

    def _broken(self, first: int, last: int, edits: Sequence[Edit]) -> list[Edit]:
        found = []
        for node in self.file.all(syntax.SimpleStatementLine):
            if len(node.body) != 1:
                continue
            begin, end = self.file.first_line(node), self.file.last_line(node)
            if not first <= begin <= end <= last or not self._too_long(begin, end):
                continue
            span = self.file.span(node)
            if any(span.start <= edit.start < span.end for edit in edits):
                continue
            code = self.file.text[span.start : span.end]
            indent, comment = self.file.indent(node), self.comment_after(node)
            if self.layout.is_formatted(code, indent, comment):
                lines = self.layout.best(code, indent + self.layout.step, comment)
                found.append(self.replace(span, lines, indent + self.layout.step))
        return found

    def _too_long(self, first: int, last: int) -> bool:
        step = len(self.layout.step.expandtabs(4))
        return any(
            len(self.file.line_text(line).expandtabs(4)) + step > self.layout.line_length
            for line in range(first, last + 1)
        )


def _joined(lines: Sequence[str]) -> str:
    """Return the ``lines`` of a call as one, ``""`` where a comma or a comment keeps them apart."""
    code = ""
    for line in map(str.strip, lines):
        is_end = line.startswith((")", "]", "}"))
        if "#" in line or (is_end and code.endswith(",")):
            return ""
        code += line if is_end or code.endswith(("(", "[", "{")) or not code else f" {line}"
    return code
