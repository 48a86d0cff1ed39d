"""Imports that a repair leaves without a use: ``create_task``, where a helper is called instead.

Only what stands by itself in the module or in a function goes, and only a name of the standard
library that the file used before the repair. It stays where the file may mean it to be there: with
a comment or a ``noqa`` beside it, written as ``import x as x``, under an ``if`` or a ``try``, named
in a string that may be code (``__all__``, an annotation), or where the file looks names up itself.

Other files may take what a module imports for itself, too: tests that patch it, above all. Whoever
calls knows them (``is_taken``). Of an ``__init__.py`` everything may be taken: for those,
``keep_imports`` is set.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

from flake8_task_refs.fix.edits import Edit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Names and attributes by which a file may get at its own names without writing them.
_LOOK_UPS: Final = frozenset({"globals", "locals", "vars", "dir", "eval", "exec", "import_module"})
_NAMESPACES: Final = frozenset({"modules", "f_globals", "f_locals", "__dict__", "__globals__"})
_WORD: Final = re.compile(r"[^\W\d]\w*")
_ALONE: Final = re.compile(r"(?<![\w.])[^\W\d]\w*")  # not an attribute
_TYPE_COMMENT: Final = re.compile(r"#[ \t]*type:(.*)")
_NOQA: Final = re.compile(r"#.*\bnoqa\b", re.IGNORECASE)
_DOCTEST: Final = ">>>"
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def unused_import(before: str, after: str, is_taken: Callable[[str], bool]) -> Edit | None:
    r"""Return the edit of ``after`` that takes out one name whose last use was in ``before``.

    ``None`` if there is no such name, or none that may go. Both texts have ``\n`` for line ends.
    ``is_taken`` tells whether another file takes a name from the module.
    """
    # Few repairs take any word out; the rest need not be parsed for it.
    rarer = Counter(_ALONE.findall(before)) - Counter(_ALONE.findall(after))
    new = _parsed(after) if rarer else None
    if new is None or _looks_names_up(new):
        return None
    imported = _imported(new)
    once = {name for name, scopes in imported.items() if len(scopes) == 1} & rarer.keys()
    # A name that is imported twice may be wanted for what another import makes of it, unless each
    # stands in a function of its own.
    often = {
        name
        for name in imported.keys() & rarer.keys()
        if None not in imported[name] and len(imported[name]) == len(set(imported[name])) > 1
    }
    old = _parsed(before) if once or often else None
    if old is None:
        return None
    gone = _used(old, before, once) - _used(new, after, once)
    of_module = {name for name in gone if imported[name] == [None]}
    unused = [(new.body, {name for name in of_module if not is_taken(name)})]
    unused += [(function.body, gone - of_module) for function in _functions(new).values()]
    if often:
        olds = _functions(old)
        unused += [
            (function.body, _used(olds[path], before, often) - _used(function, after, often))
            for path, function in _functions(new).items()
            if path in olds
        ]
    lines = _Lines(after)
    edits = (
        _without(lines, body, statement, alias)
        for body, names in unused
        for statement in body
        for alias in _standard_names(statement)
        if _bound(alias) in names
    )
    return next((edit for edit in edits if edit is not None), None)


def _parsed(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _functions(module: ast.Module) -> dict[tuple[str, int], _Function]:
    """Return the functions by their dotted names; of those of one name, each has its number."""
    found: dict[tuple[str, int], _Function] = {}
    seen = Counter[str]()
    todo: list[tuple[ast.AST, str]] = [(module, "")]
    while todo:
        node, path = todo.pop()
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            path = f"{path}.{node.name}"
        if isinstance(node, _FUNCTIONS):
            found[path, seen[path]] = node
            seen[path] += 1
        todo += [(child, path) for child in ast.iter_child_nodes(node)]
    return found


def _imported(module: ast.Module) -> dict[str, list[_Function | None]]:
    """Return in which function each name is imported, None for the module and for classes."""
    found: dict[str, list[_Function | None]] = {}
    todo: list[tuple[ast.AST, _Function | None]] = [(module, None)]
    while todo:
        node, scope = todo.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                found.setdefault(_bound(alias), []).append(scope)
        inner = node if isinstance(node, _FUNCTIONS) else scope
        inner = None if isinstance(node, ast.ClassDef) else inner
        todo += [(child, inner) for child in ast.iter_child_nodes(node)]
    return found


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _standard_names(statement: ast.stmt) -> list[ast.alias]:
    """Return what ``statement`` imports of the standard library, if it is an import."""
    if isinstance(statement, ast.ImportFrom):
        module = "" if statement.level else statement.module or ""
        if module == "__future__" or not _is_standard(module):
            return []
        named = statement.names
    elif isinstance(statement, ast.Import):
        # `import a.b` also puts b into a.
        plain = [alias for alias in statement.names if "." not in alias.name]
        named = [alias for alias in plain if _is_standard(alias.name)]
    else:
        return []
    return [alias for alias in named if alias.name not in ("*", alias.asname)]


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


# What a file uses.


def _looks_names_up(module: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id in _LOOK_UPS)
        or (isinstance(node, ast.Attribute) and node.attr in _NAMESPACES | _LOOK_UPS)
        or _is_computed_all(node)
        for node in ast.walk(module)
    )


def _is_computed_all(node: ast.AST) -> bool:
    """Tell whether ``node`` gives ``__all__`` more than names that stand there."""
    if not isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if not any(isinstance(at, ast.Name) and at.id == "__all__" for at in targets):
        return False
    return not all(
        isinstance(part, (ast.Constant, ast.List, ast.Tuple, ast.expr_context))
        for part in (ast.walk(node.value) if node.value is not None else ())
    )


def _used(module: ast.AST, text: str, names: set[str]) -> set[str]:
    """Return those of ``names`` that ``module`` reads, binds or deletes, imports aside.

    ``text`` is that of the file, whose comments may mean a type.
    """
    found: set[str] = set()
    for comment in _TYPE_COMMENT.findall(text):
        found.update(_WORD.findall(comment))
    docstrings = {
        node.value
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant):
            found.update(_names_in(node.value, names, is_docstring=node in docstrings))
        elif not isinstance(node, (ast.alias, ast.Attribute, ast.ImportFrom, ast.keyword)):
            # Names, parameters, functions, `global` and `except ... as`: each has them as strings.
            for _, value in ast.iter_fields(node):
                words = value if isinstance(value, list) else [value]
                found.update(word for word in words if isinstance(word, str))
    return found & names


def _names_in(constant: object, names: set[str], *, is_docstring: bool) -> list[str]:
    """Return the words of a string that may be code: an annotation, a path, a doctest.

    None if it holds none of ``names``.
    """
    if not isinstance(constant, str) or not any(name in constant for name in names):
        return []
    if is_docstring:
        return _WORD.findall(constant) if _DOCTEST in constant else []
    return _WORD.findall(constant) if _may_be_code(constant) else []


def _may_be_code(text: str) -> bool:
    if not re.search(r"\s", text):
        return True
    return _parsed(text.strip()) is not None


# What is taken out.


class _Lines:
    """A text, and where its lines are."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.all = text.split("\n")
        self.starts = [0]
        for line in self.all:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def offset(self, line: int, column: int) -> int:
        """Return the offset of ``line``, from 1, and ``column``, in bytes as in ``ast``."""
        before = self.all[line - 1].encode()[:column].decode()
        return self.starts[line - 1] + len(before)

    def span(self, node: ast.stmt | ast.alias) -> tuple[int, int]:
        """Return the offsets of ``node``."""
        end = self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        return self.offset(node.lineno, node.col_offset), end

    def is_blank(self, line: int) -> bool:
        return not self.all[line - 1].strip()

    def is_comment(self, line: int) -> bool:
        return line > 0 and self.all[line - 1].lstrip().startswith("#")


def _without(
    lines: _Lines, body: Sequence[ast.stmt], statement: ast.stmt, alias: ast.alias
) -> Edit | None:
    """Return the edit that takes ``alias`` out of ``statement`` of ``body``, if it may go."""
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    if any(_NOQA.search(line) for line in lines.all[first - 1 : last]):
        return None
    names: list[ast.alias] = getattr(statement, "names", [alias])
    if len(names) > 1:
        return _without_name(lines, names, alias)
    return _without_statement(lines, body, statement) if len(body) > 1 else None


def _without_name(lines: _Lines, names: Sequence[ast.alias], alias: ast.alias) -> Edit | None:
    """Take one of several names out, with its comma. What is between other names stays."""
    number = names.index(alias)
    start, end = lines.span(alias)
    line = alias.lineno
    if names[0].lineno < names[-1].lineno and (
        "#" in lines.text[end : lines.starts[line]] or lines.is_comment(line - 1)
    ):
        return None  # the comment would seem to be another's
    first, last = start, end
    if number + 1 < len(names):
        last = lines.span(names[number + 1])[0]
    else:
        first = lines.span(names[number - 1])[1]
    if "#" not in lines.text[first:last]:
        return Edit(first, last, "")
    # A comment beside one of its neighbours: its own line may go, if it has one.
    before, after = lines.starts[line - 1], lines.starts[line]
    alone = lines.text[before:start] + lines.text[end:after]
    return Edit(before, after, "") if alone.strip() in ("", ",") else None


def _without_statement(lines: _Lines, body: Sequence[ast.stmt], statement: ast.stmt) -> Edit | None:
    """Take a whole statement out, and what is left over of the blank lines around it."""
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    whole = "\n".join(lines.all[first - 1 : last])
    start, end = lines.span(statement)
    if "#" in whole or whole.strip() != lines.text[start:end] or _is_explained(lines, first):
        return None
    above = below = 0
    while first - above > 1 and lines.is_blank(first - above - 1):
        above += 1
    while last + below < len(lines.all) and lines.is_blank(last + below + 1):
        below += 1
    if statement is not body[0] and first - above > 1:
        below = min(above, below)
    return Edit(lines.starts[first - 1], min(lines.starts[last + below], len(lines.text)), "")


def _is_explained(lines: _Lines, first: int) -> bool:
    """Tell whether a comment stands right above the line ``first``, other than the file's head."""
    line = first - 1
    while line >= 1 and lines.is_comment(line):
        line -= 1
    return 1 <= line < first - 1
