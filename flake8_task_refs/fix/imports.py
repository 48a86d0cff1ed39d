"""New imports, put where isort would have them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from flake8_task_refs.analysis import syntax
from flake8_task_refs.fix.edits import Edit, Place
from flake8_task_refs.fix.project import ImportStyle
from flake8_task_refs.fix.source import SourceFile, dotted

_STDLIB = frozenset(sys.stdlib_module_names)
_DEFINITIONS = ("def ", "async def ", "class ", "@")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One import statement at the top of the file."""

    statement: syntax.SimpleStatementLine
    part: syntax.Import | syntax.ImportFrom
    module: str
    block: int  # how many other statements stand before it

    @property
    def is_from(self) -> bool:
        return isinstance(self.part, syntax.ImportFrom)

    @property
    def is_stdlib(self) -> bool:
        return self.module.partition(".")[0] in _STDLIB

    @property
    def is_future(self) -> bool:
        return self.module == "__future__"


def _entries(file: SourceFile) -> list[_Entry]:
    """Return the import statements before the first function or class."""
    found = []
    others = 0
    for statement in file.module.body:
        if isinstance(statement, (syntax.FunctionDef, syntax.ClassDef)):
            break
        if isinstance(statement, syntax.SimpleStatementLine) and len(statement.body) == 1:
            part = statement.body[0]
            if isinstance(part, syntax.Import):
                found.append(_Entry(statement, part, dotted(part.names[0].name), others))
                continue
            if isinstance(part, syntax.ImportFrom):
                module = "." * part.level + dotted(part.module)
                found.append(_Entry(statement, part, module, others))
                continue
        others += 1
    return found


def takes_imports_below(file: SourceFile, statement: syntax.Node) -> bool:
    """Tell whether ``add_imports`` may put something below ``statement`` of the module."""
    start = file.span(statement).start
    return any(
        entry.is_stdlib and file.span(entry.statement).start > start for entry in _entries(file)
    )


def docstring_end(file: SourceFile) -> int:
    """Return the line after the module's docstring and head comments: where code may begin."""
    body = file.module.body
    if not body:
        return file.last_line_number() + 1
    first = body[0]
    if (
        isinstance(first, syntax.SimpleStatementLine)
        and isinstance(first.body[0], syntax.Expr)
        and isinstance(first.body[0].value, (syntax.SimpleString, syntax.ConcatenatedString))
    ):
        return file.last_line(first) + 1
    line = 1
    while line < file.first_line(first) and file.line_text(line).startswith("#"):
        line += 1
    return line


def add_imports(
    file: SourceFile,
    modules: Sequence[str],
    members: Sequence[tuple[str, str]],
    line_length: int,
    told: ImportStyle,
    *,
    with_head: bool = False,
) -> list[Edit]:
    """Return the edits that import ``modules`` and the ``(module, name)`` pairs in ``members``.

    None of them may be imported already. ``told`` is what isort was told, where the file itself
    does not show how it is written. ``with_head`` says that other lines will be inserted
    before the first function or class.
    """
    entries = _entries(file)
    style = _style(file, entries, told)
    stdlib = [entry for entry in entries if entry.is_stdlib and not entry.is_future]
    edits: list[Edit] = []
    new: list[tuple[str, bool]] = [(module, False) for module in sorted(modules)]
    for module in sorted({module for module, _ in members}):
        names = sorted((name for m, name in members if m == module), key=_member_key)
        existing = next((e for e in stdlib if e.is_from and e.module == module), None)
        if style.single_line:
            new += [(f"{module} {name}", True) for name in names]
        elif existing and isinstance(existing.part, syntax.ImportFrom):
            edits += _with_members(file, existing, names, line_length)
        else:
            new.append((f"{module} {', '.join(names)}", True))
    if new and not stdlib:
        texts = [_text(*item) for item in new]
        first_from = next((n for n, (_, is_from) in enumerate(new) if is_from), 0)
        texts[first_from:first_from] = [""] * (style.lines_between_types if first_from else 0)
        edits.append(_new_section(file, entries, texts, with_head=with_head))
    elif new:
        # Code may stand between two blocks, such as a change of sys.path.
        best = next((e for e in stdlib if e.module == "asyncio"), stdlib[0]).block
        block = [entry for entry in stdlib if entry.block == best]
        for number, (module, is_from) in enumerate(new):
            is_first = not any(kind is is_from for _, kind in new[:number])
            apart = style.lines_between_types if is_first else 0
            edits.append(_beside(file, block, module, apart, is_from=is_from))
    return edits


def lines_after_imports(file: SourceFile, last: syntax.Node, told: ImportStyle) -> int:
    """Return how many blank lines part the imports, which end with ``last``, from other code.

    Two before a function or a class say nothing: they stand there in any case.
    """
    line = file.last_line(last) + 1
    below = line + next(
        (n for n in range(file.last_line_number() - line + 1) if file.line_text(line + n).strip()),
        0,
    )
    code = below
    while code < file.last_line_number() and file.line_text(code)[:1] in ("", "#"):
        code += 1
    if below == line or file.line_text(code).startswith(_DEFINITIONS):
        return 1 if told.lines_after is None else told.lines_after
    return min(2, below - line)


def _is_same_section(one: _Entry, other: _Entry) -> bool:
    """Tell whether blank lines between the two surely do not part the sections of isort."""
    packages = {entry.module.partition(".")[0] for entry in (one, other)}
    return (one.is_stdlib and other.is_stdlib) or len(packages) == 1


def _style(file: SourceFile, entries: Sequence[_Entry], told: ImportStyle) -> ImportStyle:
    """Return how the file writes its imports, or as isort was ``told`` where it does not show."""
    between, single = told.lines_between_types, told.single_line
    for one, other in pairwise(entries):
        if one.block != other.block or one.is_future or not _is_same_section(one, other):
            continue
        if not one.is_from and other.is_from:
            between = file.first_line(other.statement) - file.last_line(one.statement) - 1
        if one.is_from and other.is_from and one.module == other.module:
            single = True
    names = (getattr(entry.part, "names", ()) for entry in entries if entry.is_from)
    if any(isinstance(several, Sequence) and len(several) > 1 for several in names):
        single = False
    return ImportStyle(told.lines_after, between, single)


def _text(module: str, is_from: bool) -> str:
    if not is_from:
        return f"import {module}"
    origin, _, names = module.partition(" ")
    return f"from {origin} import {names}"


def _beside(
    file: SourceFile, stdlib: list[_Entry], module: str, apart: int, *, is_from: bool
) -> Edit:
    """Insert one import among the standard library's, in the order that they are in.

    ``apart`` is how many blank lines part it from those of the other kind.
    """
    name, _, member = module.partition(" ")
    kinds = [entry.is_from for entry in stdlib]
    mixed = any(one and not other for one, other in pairwise(kinds))

    def comes_before(entry: _Entry) -> bool:
        if not mixed and entry.is_from != is_from:
            return is_from
        if entry.module == name and entry.is_from and is_from:
            return _member_key(_first_name(entry)) < _member_key(member)
        return entry.module.lower() < name.lower()

    before = [entry for entry in stdlib if comes_before(entry)]
    next_at = stdlib.index(before[-1]) + 1 if before else 0
    following = stdlib[next_at] if next_at < len(stdlib) else None
    is_last_of_other = bool(before) and before[-1].is_from is not is_from and not mixed
    if before and not (is_last_of_other and following and following.is_from is is_from):
        line = file.last_line(before[-1].statement) + 1
        lead = "" if line <= file.last_line_number() or file.text.endswith("\n") else "\n"
        lead += "\n" * apart * is_last_of_other
        offset = file.line_start(line)
        return Edit(offset, offset, f"{lead}{_text(module, is_from)}\n", Place.HEADER)
    # Below a licence or a heading, which is about all that follows.
    first = following or stdlib[0]
    offset = file.line_start(file.first_line(first.statement))
    gap = "\n" * apart * (first.is_from is not is_from and not mixed)
    return Edit(offset, offset, f"{_text(module, is_from)}\n{gap}", Place.HEADER)


def _first_name(entry: _Entry) -> str:
    names = entry.part.names
    return dotted(names[0].name) if isinstance(names, Sequence) and names else ""


def _new_section(
    file: SourceFile, entries: list[_Entry], texts: list[str], *, with_head: bool
) -> Edit:
    """Insert a section of its own, before the third party's imports, after ``__future__``'s."""
    future = [entry for entry in entries if entry.is_future]
    others = [entry for entry in entries if not entry.is_future]
    block = "".join(f"{text}\n" for text in texts)
    if future:
        line = file.last_line(future[-1].statement) + 1
        text = f"\n{block}"
    elif others:
        line = file.first_line_with_comments(others[0].statement)
        if line == 1 and file.line_text(1).startswith("#"):
            line = file.first_line(others[0].statement)
        offset = file.line_start(line)
        return Edit(offset, offset, f"{block}\n", Place.HEADER)
    else:
        line = docstring_end(file)
        text = f"\n{block}" if line > 1 else block
    # What follows an import section: its own blank lines, or two before a function or class.
    following = file.line_text(line) if line <= file.last_line_number() else ""
    if following.strip():
        is_definition = following.startswith(("def ", "async ", "class ", "@"))
        text += "\n" * (2 if is_definition and not with_head else 1)
    offset = file.line_start(line)
    lead = "" if offset == 0 or file.text[offset - 1] == "\n" else "\n"
    return Edit(offset, offset, lead + text, Place.HEADER)


def _with_members(
    file: SourceFile, entry: _Entry, names: Sequence[str], line_length: int
) -> list[Edit]:
    """Add ``names`` to ``from module import …``, in the order of ruff's isort."""
    part = entry.part
    code = file.code(entry.statement)
    if not isinstance(part, syntax.ImportFrom) or isinstance(part.names, syntax.ImportStar):
        offset = file.line_start(file.last_line(entry.statement) + 1)
        line = f"from {entry.module} import {', '.join(names)}\n"
        return [Edit(offset, offset, line, Place.HEADER)]
    if "\n" in code:
        return [_inserted(file, part.names, name) for name in names]
    span = file.span(entry.statement)
    # The aliases' spans may end in their comma.
    texts = [file.code(alias).rstrip(", ") for alias in part.names]
    for name in names:
        later = (
            n for n, text in enumerate(texts) if _member_key(text.split()[0]) > _member_key(name)
        )
        texts.insert(next(later, len(texts)), name)
    line = f"from {entry.module} import {', '.join(texts)}"
    # What was too long before, may stay: its file does not mind.
    if len(line) > line_length >= len(code):
        inner = f",\n{file.indent_unit}".join(texts)
        line = f"from {entry.module} import (\n{file.indent_unit}{inner},\n)"
    return [Edit(span.start, span.end, line)]


def _inserted(file: SourceFile, aliases: Sequence[syntax.ImportAlias], name: str) -> Edit:
    """Add ``name`` on a line of its own, or beside the others of its line."""
    later = next((a for a in aliases if _member_key(dotted(a.name)) > _member_key(name)), None)
    if later is not None:
        offset = file.span(later).start
        return Edit(offset, offset, f"{name},{_gap(file, later)}")
    end = file.span(aliases[-1]).end
    return Edit(end, end, f",{_gap(file, aliases[-1])}{name}")


def _blank(text: str) -> bool:
    return bool(text) and not text.strip()


def _gap(file: SourceFile, alias: syntax.ImportAlias) -> str:
    """Return the line break and indentation before ``alias``, or one space."""
    start = file.span(alias).start
    line = file.line_of(start)
    before = file.text[file.line_start(line) : start]
    return f"\n{before}" if _blank(before) else " "


def _member_key(name: str) -> tuple[int, str, str]:
    """Sort constants first, then classes, then the rest, as isort's ``order-by-type`` does.

    Within these, case decides only between names that differ in nothing else.
    """
    if name.isupper() and len(name) > 1:
        return 0, name.lower(), name
    return (1 if name[:1].isupper() else 2), name.lower(), name
