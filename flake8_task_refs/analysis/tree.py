"""A parsed region as a navigable tree: parents, source order, scopes and positions.

One walk over the libcst nodes fills everything. It visits children through a table of fields
in source order, because libcst's own visitors rebuild every node and its metadata providers cost
more than the parse. Whitespace and punctuation are never looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final, TypeGuard

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.analysis.outline import TOO_COMPLEX, lexemes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.analysis.outline import Outline, Region

# Where libcst's field order is not the source's.
_SOURCE_ORDER: Final[dict[type[cst.CSTNode], tuple[str, ...]]] = {
    cst.FunctionDef: ("decorators", "name", "type_parameters", "params", "returns", "body"),
    cst.ClassDef: ("decorators", "name", "type_parameters", "bases", "keywords", "body"),
    cst.Arg: ("keyword", "value"),
    cst.Parameters: ("posonly_params", "params", "star_arg", "kwonly_params", "star_kwarg"),
    cst.IfExp: ("body", "test", "orelse"),
    cst.ExceptHandler: ("type", "name", "body"),
    cst.ExceptStarHandler: ("type", "name", "body"),
    cst.MatchCase: ("pattern", "guard", "body"),
    cst.ImportFrom: ("module", "names"),
    cst.TypeAlias: ("name", "type_parameters", "value"),
}
_LAYOUT = re.compile(
    r"whitespace|lpar|rpar|lbrac|rbrac|lcurly|rcurly|header|footer|leading_lines|lines_after|comma|"
    r"semicolon|colon|equal|asynchronous|dot$|star$|operator|indent|newline|posonly_ind|ampersand|"
    r"separator|relative|first_|second_|lpar|trailing|start$|end$|quote|prefix|raw_value"
)

# What a name does where it stands, told by its parent's field. Anything else is a load.
_TARGETS: Final[dict[type[cst.CSTNode], tuple[str, ...]]] = {
    cst.AssignTarget: ("target",),
    cst.AnnAssign: ("target",),
    cst.For: ("target",),
    cst.CompFor: ("target",),
    cst.NamedExpr: ("target",),
    cst.Del: ("target",),
    cst.AsName: ("name",),
    cst.Param: ("name",),
    cst.FunctionDef: ("name",),
    cst.ClassDef: ("name",),
    cst.MatchAs: ("name",),
    cst.MatchStar: ("name",),
    cst.MatchMapping: ("rest",),
    cst.TypeVar: ("name",),
    cst.TypeAlias: ("name",),
}
_NOT_A_VARIABLE: Final = {(cst.Attribute, "attr"), (cst.Arg, "keyword"), (cst.NameItem, "name")}
# Containers of targets: what they hold is stored to if they are.
_TARGET_PARTS: Final = (cst.Tuple, cst.List, cst.Element, cst.StarredElement)
# Nodes with a namespace of their own, and the kind of their scope.
_SCOPES: Final[dict[type[cst.CSTNode], str]] = {
    cst.FunctionDef: "function",
    cst.Lambda: "function",
    cst.ClassDef: "class",
    cst.GeneratorExp: "comprehension",
    cst.ListComp: "comprehension",
    cst.SetComp: "comprehension",
    cst.DictComp: "comprehension",
}
# The skim takes these for strings, and does not see the names in them.
_UNSEEN: Final = (cst.FormattedString, cst.TemplatedString)
_BLOCKS: Final = (cst.IndentedBlock, cst.SimpleStatementSuite, cst.Module)


def _child_fields(cls: type[cst.CSTNode]) -> tuple[str, ...]:
    if cls in _SOURCE_ORDER:
        return _SOURCE_ORDER[cls]
    return tuple(item.name for item in fields(cls) if not _LAYOUT.match(item.name))


_FIELDS: dict[type[cst.CSTNode], tuple[str, ...]] = {}
# CSTNode is an abstract class, whose isinstance is slow; each class is asked once.
_IS_NODE: dict[type, bool] = {}


def _is_node(value: object) -> TypeGuard[cst.CSTNode]:
    cls = type(value)
    known = _IS_NODE.get(cls)
    if known is None:
        known = _IS_NODE[cls] = issubclass(cls, cst.CSTNode)
    return known


def children(node: cst.CSTNode) -> list[tuple[str, cst.CSTNode]]:
    """Return the meaningful children of ``node`` in source order, each with its field's name."""
    cls = type(node)
    names = _FIELDS.get(cls)
    if names is None:
        names = _FIELDS[cls] = _child_fields(cls)
    found: list[tuple[str, cst.CSTNode]] = []
    for name in names:
        value = getattr(node, name)
        if value is None:
            continue
        if type(value) in (list, tuple):
            found += [(name, item) for item in value if _is_node(item)]
        elif _is_node(value):
            found.append((name, value))
    return found


@dataclass(eq=False)
class Scope:
    """A namespace: ``kind`` is module, class, function or comprehension.

    ``stores`` and ``loads`` map a name to its nodes in this scope, in source order; ``imports``
    maps a name to the dotted origins that it is imported from here.
    """

    kind: str
    node: cst.CSTNode
    parent: Scope | None
    stores: dict[str, list[cst.Name]] = field(default_factory=dict)
    loads: dict[str, list[cst.Name]] = field(default_factory=dict)
    imports: dict[str, list[str]] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)  # declared global or nonlocal
    children: list[Scope] = field(default_factory=list)

    def binds(self, name: str) -> bool:
        """Tell whether ``name`` is a variable of this very scope."""
        return name not in self.elsewhere and (name in self.stores or name in self.imports)

    def owner(self, name: str) -> Scope | None:
        """Return the scope that ``name`` belongs to, seen from here; None if no scope binds it."""
        scope: Scope | None = self
        first = True
        while scope is not None:
            if (first or scope.kind != "class") and scope.binds(name):
                return scope
            first = False
            scope = scope.parent
        return None

    def uses(self, name: str) -> Iterator[cst.Name]:
        """Yield every load of this scope's variable ``name``, closures included."""
        yield from self.loads.get(name, ())
        for child in self.children:
            if not child.binds(name):
                yield from child.uses(name)
            elif child.kind == "class":
                for grandchild in child.children:
                    if not grandchild.binds(name):
                        yield from grandchild.uses(name)

    @property
    def function(self) -> Scope:
        """The scope itself, or the one around it if this is a comprehension."""
        scope = self
        while scope.kind == "comprehension" and scope.parent is not None:
            scope = scope.parent
        return scope


def _runs_inside(cls: type[cst.CSTNode], field_name: str) -> bool:
    """Tell whether a field of a scope's node belongs to the new scope."""
    if cls is cst.FunctionDef:
        return field_name in ("params", "body")
    if cls is cst.ClassDef:
        return field_name == "body"
    return True


def module_of(parts: cst.ImportFrom) -> str:
    """Return the dotted module of a ``from`` import, with a dot for each level upward."""
    return "." * len(parts.relative) + (dotted_text(parts.module) or "" if parts.module else "")


def imported(node: cst.Import | cst.ImportFrom) -> Iterator[tuple[str, str]]:
    """Yield the names that an import statement binds, each with its dotted origin."""
    if isinstance(node, cst.Import):
        for alias in node.names:
            path = dotted_text(alias.name) or ""
            bound = alias.evaluated_alias or path.split(".")[0]
            yield bound, path if alias.asname else bound
    elif not isinstance(node.names, cst.ImportStar):
        module = module_of(node)
        for alias in node.names:
            bound = alias.evaluated_alias or alias.evaluated_name
            yield bound, f"{module}.{alias.evaluated_name}"


def dotted_text(node: cst.CSTNode | None) -> str | None:
    """Return ``a.b.c`` as text if ``node`` is such a chain of plain names, else None."""
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    if not isinstance(node, cst.Name):
        return None
    parts.append(node.value)
    return ".".join(reversed(parts))


def last_name(node: cst.CSTNode) -> str:
    """Return the last name of a name or attribute chain: ``c`` of ``a.b().c``, else ``""``."""
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


class Tree:
    """One parsed region. ``offset_of`` maps a node back to the whole source."""

    def __init__(self, outline: Outline, region: Region) -> None:
        """Parse ``region`` of ``outline``'s source. Raises ``SourceError`` if it does not parse."""
        self.outline = outline
        self.region = region
        self.text = region.prefix + outline.source[region.start : region.end]
        if outline.is_too_complex(region):
            raise SourceError(TOO_COMPLEX)
        try:
            self.module = cst.parse_module(self.text)
        except cst.ParserSyntaxError as error:
            raise SourceError(error.message, error.raw_line, error.raw_column + 1) from None
        except cst.CSTValidationError as error:
            # Such as a bare except: before another, or b"" beside "".
            raise SourceError(str(error)) from None
        self.parent: dict[cst.CSTNode, cst.CSTNode] = {}
        self.order: dict[cst.CSTNode, int] = {}
        self.scope: dict[cst.CSTNode, Scope] = {}
        self.inner: dict[cst.CSTNode, Scope] = {}
        self.calls: list[cst.Call] = []
        self._names: list[cst.Name] = []
        self._offsets: dict[cst.CSTNode, int] | None = None
        self._last_yields: dict[cst.FunctionDef, int] = {}
        self._walk()

    # -- the walk ---------------------------------------------------------------------------

    def _walk(self) -> None:
        root = Scope("module", self.module, None)
        self.inner[self.module] = root
        parent, order, scope_of = self.parent, self.order, self.scope
        # (node, its scope, whether it is stored to, whether the skim sees its names)
        stack: list[tuple[cst.CSTNode, Scope, bool, bool]] = [(self.module, root, False, True)]
        count = 0
        while stack:
            node, scope, stored, visible = stack.pop()
            order[node] = count
            scope_of[node] = scope
            count += 1
            if type(node) is cst.Name:
                if visible:
                    self._names.append(node)
                holder = parent[node]
                if (type(holder), self._field(holder, node)) not in _NOT_A_VARIABLE:
                    # A walrus in a comprehension binds in the function around it (PEP 572).
                    target = scope.function if isinstance(holder, cst.NamedExpr) else scope
                    names = target.stores if stored else scope.loads
                    names.setdefault(node.value, []).append(node)
                continue
            cls = type(node)
            if isinstance(node, cst.Call):
                self.calls.append(node)
            elif isinstance(node, (cst.Global, cst.Nonlocal)):
                scope.elsewhere.update(item.name.value for item in node.names)
            elif isinstance(node, (cst.Import, cst.ImportFrom)):
                self._note_import(node, scope)
                self._take_names(node)
                continue
            inner = self._open_scope(node, scope) if cls in _SCOPES else scope
            targets = _TARGETS.get(cls, ())
            parts_stored = stored and cls in _TARGET_PARTS
            shown = visible and cls not in _UNSEEN
            pending = []
            for name, child in children(node):
                parent[child] = node
                outside = inner is not scope and not _runs_inside(cls, name)
                child_scope = scope if outside else inner
                pending.append((child, child_scope, parts_stored or name in targets, shown))
            pending.reverse()
            stack += pending

    @staticmethod
    def _field(holder: cst.CSTNode, node: cst.Name) -> str:
        if isinstance(holder, cst.Attribute):
            return "attr" if holder.attr is node else "value"
        if isinstance(holder, cst.Arg):
            return "keyword" if holder.keyword is node else "value"
        return "name"

    def _take_names(self, node: cst.CSTNode) -> None:
        """Put the names of an import into the name order; they are no variables of their own."""
        for _, child in children(node):
            self.parent[child] = node
            self.order[child] = self.order[node]
            if isinstance(child, cst.Name):
                self._names.append(child)
            self._take_names(child)

    @staticmethod
    def _note_import(node: cst.Import | cst.ImportFrom, scope: Scope) -> None:
        for bound, origin in imported(node):
            scope.imports.setdefault(bound, []).append(origin)

    def _open_scope(self, node: cst.CSTNode, scope: Scope) -> Scope:
        """Return a new scope for a node of ``_SCOPES``."""
        inner = Scope(_SCOPES[type(node)], node, scope)
        scope.children.append(inner)
        self.inner[node] = inner
        return inner

    # -- moving about -----------------------------------------------------------------------

    def ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield the parents of ``node``, innermost first, up to the module."""
        at = self.parent.get(node)
        while at is not None:
            yield at
            at = self.parent.get(at)

    def holds(self, outer: cst.CSTNode, node: cst.CSTNode) -> bool:
        """Tell whether ``node`` is ``outer`` or lies inside it."""
        return node is outer or any(at is outer for at in self.ancestors(node))

    def function_around(self, node: cst.CSTNode) -> cst.FunctionDef | cst.Lambda | None:
        """Return the innermost function around ``node``, or None at module or class level."""
        for at in self.ancestors(node):
            if isinstance(at, (cst.FunctionDef, cst.Lambda)):
                return at
            if isinstance(at, cst.ClassDef):
                return None
        return None

    def class_around(self, node: cst.CSTNode) -> cst.ClassDef | None:
        """Return the innermost class around ``node``, functions passed over."""
        return next((at for at in self.ancestors(node) if isinstance(at, cst.ClassDef)), None)

    def method_class(self, node: cst.CSTNode) -> cst.ClassDef | None:
        """Return the class whose body ``node`` stands in, no function in between."""
        for at in self.ancestors(node):
            if isinstance(at, (cst.FunctionDef, cst.Lambda)):
                return None
            if isinstance(at, cst.ClassDef):
                return at
        return None

    def statement_of(self, node: cst.CSTNode) -> cst.CSTNode:
        """Return the statement around ``node`` that stands directly in a block."""
        at = node
        for outer in self.ancestors(node):
            if isinstance(outer, _BLOCKS):
                return at
            at = outer
        return at

    def blocks(self, node: cst.CSTNode) -> list[tuple[cst.CSTNode, cst.CSTNode]]:
        """Return the (block, statement in it) pairs around ``node``, innermost first.

        They end at the innermost function: what lies outside runs at another time. The name of a
        function or class lies outside of it.
        """
        pairs: list[tuple[cst.CSTNode, cst.CSTNode]] = []
        at = node
        for outer in self.ancestors(node):
            if isinstance(outer, _BLOCKS):
                pairs.append((outer, at))
            elif isinstance(outer, cst.Lambda) or (
                isinstance(outer, (cst.FunctionDef, cst.ClassDef)) and outer.name is not at
            ):
                break
            at = outer
        return pairs

    def last_yield(self, function: cst.FunctionDef) -> int:
        """Return where in the order of the nodes ``function`` yields last, -1 if it never does."""
        found = self._last_yields.get(function)
        if found is None:
            yields = (node for node in self.walk(function.body) if isinstance(node, cst.Yield))
            found = max((self.order[node] for node in yields), default=-1)
            self._last_yields[function] = found
        return found

    def walk(self, node: cst.CSTNode, *, into_functions: bool = False) -> Iterator[cst.CSTNode]:
        """Yield ``node`` and what is in it, in source order, nested functions only on demand."""
        stack = [node]
        while stack:
            at = stack.pop()
            yield at
            nested = isinstance(at, (cst.FunctionDef, cst.Lambda, cst.ClassDef))
            if nested and not into_functions and at is not node:
                continue
            stack += [child for _, child in reversed(children(at))]

    # -- positions --------------------------------------------------------------------------

    def position(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return the 1-based line and column in the whole source where ``node`` begins."""
        offsets = self._offsets
        if offsets is None:
            offsets = self._offsets = self._align()
        if isinstance(node, (cst.ExceptHandler, cst.Finally)):
            return self._exact(node)  # begins with a keyword, not with its first name
        first, opened = node, 0
        while not isinstance(first, cst.Name):
            inner = children(first)
            if not inner:
                return self._exact(node)
            first = inner[0][1]
            opened += len(getattr(first, "lpar", ()))
        at = offsets.get(first)
        if at is None:
            return self._exact(node)
        while opened:
            at = self.text.rindex("(", 0, at)
            opened -= 1
        return self.outline.position(at - len(self.region.prefix) + self.region.start)

    def _align(self) -> dict[cst.CSTNode, int]:
        """Match the tree's names with the text's words: both stand in source order."""
        found: dict[cst.CSTNode, int] = {}
        words = lexemes(self.text)
        for node in self._names:
            for offset, word in words:
                if word == node.value:
                    found[node] = offset
                    break
            else:
                return {}
        return found

    def _exact(self, node: cst.CSTNode) -> tuple[int, int]:
        """Ask libcst for a position: for the rare call inside an f-string, or on odd text."""
        positions = MetadataWrapper(self.module, unsafe_skip_copy=True).resolve(PositionProvider)
        start = positions[node].start
        lines = self.text.split("\n")
        offset = sum(len(line) + 1 for line in lines[: start.line - 1]) + start.column
        return self.outline.position(offset - len(self.region.prefix) + self.region.start)
