"""Which names a file has, for what it lacks to be added under a name that is free."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.analysis.tree import imported
from flake8_task_refs.fix.source import SourceFile, dotted, statement_expression

if TYPE_CHECKING:
    from collections.abc import Container

    from flake8_task_refs.analysis.names import Names

_LOGGER_NAMES: Final = ("logger", "LOGGER", "_logger", "_LOGGER", "log", "LOG", "_log")
_LOG_METHODS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical"})


class FileNames:
    """The names that the file binds. ``analysis`` tells what each of them means where it stands."""

    def __init__(self, file: SourceFile, analysis: Names) -> None:
        """Look at the imports and the assignments of ``file``."""
        self._file = file
        self.analysis = analysis

    @cached_property
    def imports(self) -> dict[str, str]:
        """Local name to dotted origin, of every import statement in the file."""
        found: dict[str, str] = {}
        for plain in self._file.all(syntax.Import):
            found.update(imported(plain))
        for node in self._file.all(syntax.ImportFrom):
            found.update(imported(node))
        return found

    @cached_property
    def module_imports(self) -> dict[str, str]:
        """Local name to dotted origin, of the module's imports before its first definition."""
        found: dict[str, str] = {}
        for statement in self._file.module.body:
            if isinstance(statement, (syntax.FunctionDef, syntax.ClassDef)):
                break
            found.update(self.imported_by(statement))
        return {name: origin for name, origin in found.items() if name not in self._deleted}

    @cached_property
    def _deleted(self) -> frozenset[str]:
        """The names that the module itself deletes."""
        return frozenset(
            node.value
            for part in self._file.inside(self._file.module, into_scopes=False)
            if isinstance(part, syntax.Del)
            for node in self._file.inside(part)
            if isinstance(node, syntax.Name)
        )

    def imported_by(self, statement: syntax.Node) -> dict[str, str]:
        """Return what a statement of the module imports, local name to dotted origin.

        What stands under an ``if`` may not be imported.
        """
        if not isinstance(statement, (syntax.SimpleStatementLine, syntax.Try)):
            return {}
        found: dict[str, str] = {}
        for node in self._file.inside(statement, into_scopes=False):
            if isinstance(node, (syntax.Import, syntax.ImportFrom)):
                found.update(imported(node))
        return found

    @cached_property
    def module_assignments(self) -> dict[str, syntax.BaseExpression | None]:
        """Name to value, of the module's own assignments (the first, if there are several)."""
        found: dict[str, syntax.BaseExpression | None] = {}
        for node in self._file.inside(self._file.module, into_scopes=False):
            if isinstance(node, syntax.Assign):
                for target in node.targets:
                    if isinstance(target.target, syntax.Name):
                        found.setdefault(target.target.value, node.value)
            elif isinstance(node, syntax.AnnAssign) and isinstance(node.target, syntax.Name):
                found.setdefault(node.target.value, node.value)
        return found

    @cached_property
    def _made_at_once(self) -> dict[str, syntax.BaseExpression]:
        """Name to value, of the module's assignments of what is called or looked up, in any case.

        What stands under an ``if`` may never be assigned, and ``None`` waits for something else.
        """
        found: dict[str, syntax.BaseExpression] = {}
        for statement in self._file.module.body:
            small = statement_expression(statement)
            targets = (
                [item.target for item in small.targets] if isinstance(small, syntax.Assign) else []
            )
            if isinstance(small, syntax.AnnAssign):
                targets = [small.target]
            for target in targets:
                value = getattr(small, "value", None)
                if isinstance(target, syntax.Name) and isinstance(
                    value, (syntax.Call, syntax.Attribute)
                ):
                    found[target.value] = value
        return found

    @cached_property
    def all_names(self) -> frozenset[str]:
        """Every name that occurs anywhere in the file, but for those of attributes alone."""
        attributes = {id(node.attr) for node in self._file.all(syntax.Attribute)}
        return frozenset(
            node.value for node in self._file.all(syntax.Name) if id(node) not in attributes
        )

    def canonical(self, node: syntax.Node | None) -> str:
        """Return the dotted name that ``node`` stands for; as it is written, if that is unknown."""
        if node is None:
            return ""
        return self.analysis.canonical(self._file.tree, node) or dotted(node)

    def module_alias(self, module: str) -> str:
        """Return the name under which the module imports ``module``, or ``""``."""
        if "." in module and module in self._dotted_imports:
            return module
        for name, origin in self.module_imports.items():
            if origin == module:
                return name
        return ""

    def in_annotations(self, module: str, name: str) -> str:
        """Return how the file writes ``name`` of ``module`` as imported for type checkers alone.

        ``""`` if it is not. Where annotations are evaluated, one with such a name must be quoted.
        """
        for part in self._type_imports:
            if isinstance(part, syntax.ImportFrom):
                local = {origin: bound for bound, origin in imported(part)}.get(f"{module}.{name}")
                if local:
                    return local
            elif any(dotted(item.name) == module and not item.asname for item in part.names):
                return f"{module}.{name}"
        return ""

    @cached_property
    def evaluates_annotations(self) -> bool:
        """Whether annotations are code that runs."""
        return "__future__.annotations" not in self.imports.values()

    @cached_property
    def _type_imports(self) -> list[syntax.Import | syntax.ImportFrom]:
        """The module's imports under ``if TYPE_CHECKING:``."""
        return [
            part
            for statement in self._file.module.body
            if isinstance(statement, syntax.If) and last_name(statement.test) == "TYPE_CHECKING"
            for part in self._file.inside(statement.body, into_scopes=False)
            if isinstance(part, (syntax.Import, syntax.ImportFrom))
        ]

    @cached_property
    def quote(self) -> str:
        """The quote that the file uses most, for strings on one line; ``""`` if it has none."""
        outline = self._file.tree.outline
        ends = [
            outline.source[max(start, end - 3) : end]
            for start, end, kind in outline.blanks
            if kind != "comment"
        ]
        quotes = [text[-1:] for text in ends if text not in ('"""', "'''")]
        if not quotes:
            return ""
        return "'" if quotes.count("'") > quotes.count('"') else '"'

    @cached_property
    def _dotted_imports(self) -> frozenset[str]:
        return frozenset(
            dotted(alias.name)
            for node in self._file.module.body
            if isinstance(node, syntax.SimpleStatementLine)
            for part in node.body
            if isinstance(part, syntax.Import)
            for alias in part.names
            if alias.asname is None
        )

    @cached_property
    def logger(self) -> tuple[str, bool]:
        """Return the module's logger and whether it takes ``%``-style arguments; else ``""``."""
        made = self._made_at_once
        for name, value in made.items():
            if isinstance(value, syntax.Call) and last_name(value.func) == "getLogger":
                return name, True
        for name in _LOGGER_NAMES:
            if name in made or name in self.module_imports:
                if name.strip("_").lower() == "log" and not self._logs_with(name):
                    continue
                return name, False
        for name in [*self.module_imports, *made]:
            if name.lower().endswith("logger") and self._logs_with(name):
                return name, False
        return "", True

    @cached_property
    def logger_module(self) -> str:
        """The package that the logger is of, as far as the file shows: ``loguru``, for example."""
        name, percent = self.logger
        if percent:
            return "logging"
        made = self._made_at_once.get(name)
        path = self.module_imports.get(name, "")
        if made is not None:
            path = self.canonical(made.func if isinstance(made, syntax.Call) else made)
        return path.partition(".")[0]

    def _logs_with(self, name: str) -> bool:
        return any(
            isinstance(node.value, syntax.Name)
            and node.value.value == name
            and node.attr.value in _LOG_METHODS
            for node in self._file.all(syntax.Attribute)
        )

    def binds(self, name: str) -> bool:
        """Tell whether the module itself binds ``name`` by import, assignment, def or class.

        It may delete it as well.
        A later or conditional ``import name`` binds it to what it is anyway.
        """
        return (
            name in self.module_imports
            or name in self.module_assignments
            or name in self._defined
            or name in self._deleted
            or any(
                dict(imported(node)).get(name, name) != name
                for node in self._file.inside(self._file.module, into_scopes=False)
                if isinstance(node, (syntax.Import, syntax.ImportFrom))
            )
        )

    @cached_property
    def _defined(self) -> frozenset[str]:
        return frozenset(
            node.name.value
            for node in self._file.module.body
            if isinstance(node, (syntax.FunctionDef, syntax.ClassDef))
        )


def names_in(file: SourceFile, node: syntax.Node) -> frozenset[str]:
    """Return every name that occurs in ``node``: variables, attributes and parameters."""
    return frozenset(inner.value for inner in file.inside(node) if isinstance(inner, syntax.Name))


def fresh(wanted: str, taken: Container[str]) -> str:
    """Return ``wanted``, or ``wanted_2``, ``wanted_3`` and so on if that is taken."""
    if wanted not in taken:
        return wanted
    number = 2
    while f"{wanted}_{number}" in taken:
        number += 1
    return f"{wanted}_{number}"


def outermost_function(file: SourceFile, node: syntax.Node) -> syntax.Node:
    """Return the outermost function around ``node``, or the module."""
    found: syntax.Node = node if isinstance(node, syntax.FunctionDef) else file.module
    for outer in file.ancestors(node):
        if isinstance(outer, syntax.FunctionDef):
            found = outer
    return found


class Locals:
    """Hands out local names that nothing around them uses."""

    def __init__(self, file: SourceFile) -> None:
        """Start with no name handed out."""
        self._file = file
        self._given: list[tuple[syntax.Node, str]] = []
        self._again: dict[tuple[syntax.Node, str, str], str] = {}
        self._used: dict[syntax.Node, frozenset[str]] = {}

    def taken(self, node: syntax.Node) -> set[str]:
        """Return the names that are in use around ``node``, those handed out included."""
        inner = self._function(node)
        given = {
            name
            for function, name in self._given
            if self._file.within(function, inner) or self._file.within(inner, function)
        }
        around = outermost_function(self._file, node)
        if around not in self._used:
            self._used[around] = names_in(self._file, around)
        return given | self._used[around]

    def _function(self, node: syntax.Node) -> syntax.Node:
        if isinstance(node, syntax.FunctionDef):
            return node
        return self._file.function(node) or self._file.module

    def again(self, wanted: str, node: syntax.Node, kind: str) -> str:
        """Return the name handed out in the same function for ``kind``; ``free`` if none was.

        An empty ``kind`` is like no other.
        """
        key = self._function(node), wanted, kind
        if key not in self._again or not kind:
            self._again[key] = self.free(wanted, node)
        return self._again[key]

    def free(self, wanted: str, node: syntax.Node) -> str:
        """Return ``wanted`` or a numbered form of it that is free around ``node``."""
        name = fresh(wanted, self.taken(node))
        self._given.append((self._function(node), name))
        return name
