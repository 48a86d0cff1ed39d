"""A parsed region as a navigable tree: parents, source order, scopes and positions.

One walk over the nodes fills everything.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.code import code_of
from flake8_task_refs.analysis.finding import TOO_COMPLEX, SourceError
from flake8_task_refs.analysis.from_python import light_module
from flake8_task_refs.analysis.outline import is_too_complex, lexemes
from flake8_task_refs.analysis.python_parser import python_tree
from flake8_task_refs.analysis.syntax import child_fields, children, dotted_text, last_name

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable, Iterator

    from flake8_task_refs.analysis.excerpt import Excerpt
    from flake8_task_refs.analysis.from_libcst import Layout
    from flake8_task_refs.analysis.outline import Outline, Region

# What a name does where it stands, told by its parent's field. Anything else is a load.
_TARGETS: Final[dict[type[syntax.Node], tuple[str, ...]]] = {
    syntax.AssignTarget: ("target",),
    syntax.AnnAssign: ("target",),
    syntax.For: ("target",),
    syntax.CompFor: ("target",),
    syntax.NamedExpr: ("target",),
    syntax.Del: ("target",),
    syntax.AsName: ("name",),
    syntax.Param: ("name",),
    syntax.FunctionDef: ("name",),
    syntax.ClassDef: ("name",),
    syntax.MatchAs: ("name",),
    syntax.MatchStar: ("name",),
    syntax.MatchMapping: ("rest",),
    syntax.TypeVar: ("name",),
    syntax.TypeAlias: ("name",),
}
_NOT_A_VARIABLE: Final = {
    (syntax.Attribute, "attr"),
    (syntax.Arg, "keyword"),
    (syntax.NameItem, "name"),
}
# Containers of targets: what they hold is stored to if they are.
_TARGET_PARTS: Final = (syntax.Tuple, syntax.List, syntax.Element, syntax.StarredElement)
# Nodes with a namespace of their own, and the kind of their scope.
_SCOPES: Final[dict[type[syntax.Node], str]] = {
    syntax.FunctionDef: "function",
    syntax.Lambda: "function",
    syntax.ClassDef: "class",
    syntax.GeneratorExp: "comprehension",
    syntax.ListComp: "comprehension",
    syntax.SetComp: "comprehension",
    syntax.DictComp: "comprehension",
}
# The skim takes these for strings, and does not see the names in them.
_UNSEEN: Final = (syntax.FormattedString, syntax.TemplatedString)
# What the walk takes notes of.
_NOTED: Final = frozenset(
    {
        syntax.Call, syntax.Global, syntax.Nonlocal, syntax.Import, syntax.ImportFrom,
        syntax.Assign, syntax.AnnAssign, syntax.NamedExpr,
    }
)  # fmt: skip
# Nodes that hold statements, some of which an excerpt may leave out.
_COMPOUND: Final = frozenset(
    {
        syntax.Module,
        syntax.IndentedBlock,
        syntax.FunctionDef,
        syntax.ClassDef,
        syntax.If,
        syntax.Else,
        syntax.For,
        syntax.While,
        syntax.With,
        syntax.Try,
        syntax.TryStar,
        syntax.ExceptHandler,
        syntax.ExceptStarHandler,
        syntax.Finally,
        syntax.Match,
        syntax.MatchCase,
    }
)
_JUMPS: Final = (syntax.Return, syntax.Raise, syntax.Break, syntax.Continue, syntax.Yield)
# What a name does where it stands.
_LOAD, _STORE, _WALRUS, _NO_VARIABLE = range(4)
_BLOCKS: Final = (syntax.IndentedBlock, syntax.SimpleStatementSuite, syntax.Module)
# What begins with a bracket of its own.
_DISPLAYS: Final = frozenset(
    {syntax.List, syntax.Set, syntax.Dict, syntax.ListComp, syntax.SetComp, syntax.DictComp}
)
# What has a body that runs at another time.
_BODIES: Final = (syntax.FunctionDef, syntax.Lambda, syntax.ClassDef)


class _Visit(NamedTuple):
    """What the walk does with the nodes of one class.

    ``steps`` are (field, what a name does in it, whether it belongs to the scope around), in the
    order in which they are put on a stack.
    """

    is_noted: bool
    scope: str
    passes_on: bool
    steps: tuple[tuple[str, int, bool], ...]


class _Visits(dict[type[syntax.Node], _Visit]):
    """The walk's own table: each class is looked at once."""

    def __missing__(self, cls: type[syntax.Node]) -> _Visit:
        steps: list[tuple[str, int, bool]] = []
        # The names of an import are no variables of their own; `_note` takes them.
        is_import = cls in (syntax.Import, syntax.ImportFrom)
        for name in () if is_import else reversed(child_fields(cls)):
            does = _LOAD
            if name in _TARGETS.get(cls, ()):
                does = _WALRUS if cls is syntax.NamedExpr else _STORE
            elif (cls, name) in _NOT_A_VARIABLE:
                does = _NO_VARIABLE
            steps.append((name, does, not _runs_inside(cls, name)))
        visit = self[cls] = _Visit(
            cls in _NOTED, _SCOPES.get(cls, ""), cls in _TARGET_PARTS, tuple(steps)
        )
        return visit


_VISITS: Final = _Visits()
# Scopes in one: to note which names each of so many loads pays from the first question on.
_MANY_SCOPES: Final = 16


@dataclass(eq=False)
class Scope:
    """A namespace: ``kind`` is module, class, function or comprehension.

    ``stores`` and ``loads`` map a name to its nodes in this scope, in source order; ``imports``
    maps a name to the dotted origins that it is imported from here.
    """

    kind: str
    node: syntax.Node
    parent: Scope | None
    stores: dict[str, list[syntax.Name]] = field(default_factory=dict)
    loads: dict[str, list[syntax.Name]] = field(default_factory=dict)
    imports: dict[str, list[str]] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)  # declared global or nonlocal
    children: list[Scope] = field(default_factory=list)

    def binds(self, name: str) -> bool:
        """Tell whether ``name`` is a variable of this very scope."""
        return (name in self.stores or name in self.imports) and name not in self.elsewhere

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

    def uses(self, name: str) -> Iterator[syntax.Name]:
        """Yield every load of this scope's variable ``name``, closures included."""
        yield from self.loads.get(name, ())
        yield from self.inner_uses(name)

    def inner_uses(self, name: str) -> Iterator[syntax.Name]:
        """Yield every load of this scope's variable ``name`` in the scopes within."""
        children = self.children
        if len(children) > _MANY_SCOPES:
            # The excerpt is asked all the same whether it shows them.
            self.loads.get(name)
            children = self._users.get(name, [])
        for child in children:
            if not child.binds(name):
                yield from child.uses(name)
            elif child.kind == "class":
                for grandchild in child.children:
                    if not grandchild.binds(name):
                        yield from grandchild.uses(name)

    @cached_property
    def _users(self) -> dict[str, list[Scope]]:
        """The scopes right within, by the names that they or those in them load."""
        users: dict[str, list[Scope]] = {}
        for child in self.children:
            # An excerpt's names are asked for one by one, and are not complete.
            for name in {**dict.fromkeys(dict.keys(child.loads)), **child._users}:  # noqa: SLF001
                users.setdefault(name, []).append(child)
        return users

    def release(self) -> None:
        """Undo the cycles between scopes: this one cannot be asked for uses any more."""
        self.children.clear()
        self.__dict__.pop("_users", None)

    @property
    def function(self) -> Scope:
        """The scope itself, or the one around it if this is a comprehension."""
        scope = self
        while scope.kind == "comprehension" and scope.parent is not None:
            scope = scope.parent
        return scope


_Node = TypeVar("_Node")
_RETURNED: Final = re.compile(r"\breturn\b(?=(?:[\s(\\]|#[^\n]*\n)*(\w+))")


class _Asked(dict[str, list[_Node]]):
    """Names and their nodes in an excerpt, which must show all of a name that it is asked for."""

    def __init__(self, shows: Callable[[str], None], shows_all: Callable[[], None]) -> None:
        self._shows = shows
        self._shows_all = shows_all

    def __contains__(self, name: object) -> bool:
        self._shows(str(name))
        return super().__contains__(name)

    def __getitem__(self, name: str) -> list[_Node]:
        self._shows(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._shows(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        self._shows_all()
        return super().__iter__()


def _runs_inside(cls: type[syntax.Node], field_name: str) -> bool:
    """Tell whether a field of a node belongs to the scope that it stands in, or opens."""
    if cls is syntax.Param:
        return field_name != "default"
    if cls is syntax.FunctionDef:
        return field_name in ("params", "body")
    if cls is syntax.ClassDef:
        return field_name == "body"
    return True


def module_of(parts: syntax.ImportFrom) -> str:
    """Return the dotted module of a ``from`` import, with a dot for each level upward."""
    return "." * parts.level + (dotted_text(parts.module) or "" if parts.module else "")


def imported(node: syntax.Import | syntax.ImportFrom) -> Iterator[tuple[str, str]]:
    """Yield the names that an import statement binds, each with its dotted origin."""
    if isinstance(node, syntax.Import):
        for alias in node.names:
            path = dotted_text(alias.name) or ""
            bound = alias.evaluated_alias or path.split(".")[0]
            yield bound, path if alias.asname else bound
    elif not isinstance(node.names, syntax.ImportStar):
        module = module_of(node)
        for alias in node.names:
            bound = alias.evaluated_alias or alias.evaluated_name
            yield bound, f"{module}.{alias.evaluated_name}"


def last_small(body: syntax.BaseSuite) -> syntax.Node:
    """Return the last statement of a block; of those in one line, the last one."""
    last = body.body[-1]
    return last.body[-1] if isinstance(last, syntax.SimpleStatementLine) else last


def last_to_run(body: syntax.BaseSuite) -> syntax.Node:
    """Return the last statement of a block; if that is a ``try``, the last of its ``finally``."""
    last = last_small(body)
    while isinstance(last, syntax.Try) and last.finalbody is not None:
        last = last_small(last.finalbody.body)
    return last


def _light(text: str) -> tuple[syntax.Module, dict[syntax.Node, ast.Call]] | None:
    """Have CPython read ``text``; None if what it reads is rare.

    Raises ``SourceError`` if it cannot read it.
    """
    try:
        tree = python_tree(text)
    except SyntaxError as error:
        raise SourceError(error.msg, error.lineno or 0, error.offset or 0) from None
    except (ValueError, RecursionError, MemoryError):
        return None
    try:
        return light_module(tree, text)
    except (ValueError, RecursionError, MemoryError):
        return None


def _layout(text: str) -> Layout:
    # libcst is imported where it is needed: most regions are read without.
    from flake8_task_refs.analysis.from_libcst import Layout  # noqa: PLC0415

    return Layout(text)


def _plain(code: str) -> str:
    """Return ``code`` as a light tree would say it: every kind of tree says the same of a node."""
    try:
        light = _light(code)
    except SourceError:
        light = None
    return code if light is None else code_of(light[0]).rstrip("\n")


class Tree:
    """One parsed region, or as much of it as an ``excerpt`` shows.

    The questions that an excerpt cannot answer raise ``excerpt.Unseen``: those about names, and
    ``walk``, ``blocks``, ``jumps`` and ``calls``. Whoever reads the statements of a block off the
    node itself says so with ``whole`` first.
    """

    def __init__(
        self,
        outline: Outline,
        region: Region,
        excerpt: Excerpt | None = None,
        *,
        light: bool = False,
    ) -> None:
        """Parse ``region`` of ``outline``'s source. Raises ``SourceError`` if it does not parse.

        A ``light`` tree, which CPython's parser has to be able to read, is made ten times as fast,
        but its nodes know nothing of their layout: where brackets, blanks and comments are, and how
        a string is written.
        """
        self.outline = outline
        self.region = region
        self.excerpt = excerpt
        self.text = (
            region.prefix + outline.source[region.start : region.end]
            if excerpt is None
            else excerpt.text
        )
        code = outline.blanked(region.start, region.end) if excerpt is None else excerpt.code
        if is_too_complex(code) or outline.has_complex_strings(region):
            raise SourceError(TOO_COMPLEX)
        made = _light(self.text) if light else None
        self.is_light = made is not None
        self._layout = None if made is not None else _layout(self.text)
        self.module, self._light_calls = made or (self.layout.nodes, {})
        self.parent: dict[syntax.Node, syntax.Node] = {}
        self.scope: dict[syntax.Node, Scope] = {}
        self.inner: dict[syntax.Node, Scope] = {}
        self._calls: list[syntax.Call] = []
        # (new name, last name of what it is another name for) of assignments and imports
        self.renamings: list[tuple[str, str]] = []
        self._jumps: dict[syntax.Node, list[syntax.Node]] = {}
        self._blocks: dict[syntax.Node, list[tuple[syntax.Node, syntax.Node]]] = {}
        self._codes: dict[syntax.Node, str] = {}
        self._offsets: dict[syntax.Node, int] | None = None
        self._mentioned: dict[str, bool] = {}
        self._walk()

    @property
    def layout(self) -> Layout:
        """Libcst's tree of the text. Raises ``TypeError`` for a light tree, which has none."""
        if self._layout is None:
            raise TypeError("a light tree knows no layout")
        return self._layout

    def mentions(self, text: str) -> bool:
        """Tell whether ``text`` stands anywhere in the region, whatever an excerpt shows of it."""
        known = self._mentioned.get(text)
        if known is None:
            source, region = self.outline.source, self.region
            known = self._mentioned[text] = source.find(text, region.start, region.end) >= 0
        return known

    @cached_property
    def order(self) -> dict[syntax.Node, int]:
        """Each node's place in source order."""
        return {node: at for at, node in enumerate(self.scope)}

    @cached_property
    def returned(self) -> frozenset[str]:
        """The names that a ``return`` in the region begins with, brackets passed over."""
        source = self.outline.source
        return frozenset(_RETURNED.findall(source, self.region.start, self.region.end))

    def release(self) -> None:
        """Undo the cycles, so that the tree is freed with the last reference to it.

        Its scopes cannot be asked for uses any more.
        """
        for scope in self.inner.values():
            scope.release()

    # -- the walk ---------------------------------------------------------------------------

    def _walk(self) -> None:
        root = self._new_scope("module", self.module, None)
        parent, scope_of, visits = self.parent, self.scope, _VISITS
        # (node, its parent, its scope, what a name does there)
        stack: list[tuple[syntax.Node, syntax.Node, Scope, int]]
        stack = [(self.module, self.module, root, _LOAD)]
        pop, push = stack.pop, stack.append
        while stack:
            node, holder, scope, role = pop()
            parent[node] = holder
            scope_of[node] = scope
            if isinstance(node, syntax.Name):
                if role == _LOAD:
                    scope.loads.setdefault(node.value, []).append(node)
                elif role != _NO_VARIABLE:
                    # A walrus in a comprehension binds in the function around it (PEP 572).
                    target = scope.function if role == _WALRUS else scope
                    target.stores.setdefault(node.value, []).append(node)
                continue
            is_noted, kind, passes_on, steps = visits[type(node)]
            if is_noted:
                self._note(node, scope)
            inner = self._new_scope(kind, node, scope) if kind else scope
            if not passes_on:
                role = _LOAD
            for name, does, outside in steps:
                value = getattr(node, name)
                if value is None:
                    continue
                # A parameter stands in the scope of its function, its default does not.
                there = inner if not outside else scope if kind else scope.parent or scope
                if type(value) is list:
                    for item in reversed(value):
                        push((item, node, there, does or role))
                else:
                    push((value, node, there, does or role))
        del parent[self.module]

    def _new_scope(self, kind: str, node: syntax.Node, outer: Scope | None) -> Scope:
        excerpt = self.excerpt
        if excerpt is None:
            scope = Scope(kind, node, outer)
        else:
            scope = Scope(
                kind,
                node,
                outer,
                stores=_Asked(excerpt.shows_bindings, excerpt.shows_everything),
                loads=_Asked(excerpt.shows_uses, excerpt.shows_everything),
                imports=_Asked(excerpt.shows_bindings, excerpt.shows_everything),
            )
        if outer is not None:
            outer.children.append(scope)
        self.inner[node] = scope
        return scope

    def _note(self, node: syntax.Node, scope: Scope) -> None:
        """Take notes of a node of the classes in ``_NOTED``."""
        if isinstance(node, syntax.Call):
            self._calls.append(node)
        elif isinstance(node, (syntax.Global, syntax.Nonlocal)):
            scope.elsewhere.update(item.name.value for item in node.names)
        elif isinstance(node, (syntax.Import, syntax.ImportFrom)):
            self._note_import(node, scope)
            self._take_names(node, scope)
        elif isinstance(node, (syntax.Assign, syntax.AnnAssign, syntax.NamedExpr)):
            if not isinstance(node.value, (syntax.Name, syntax.Attribute)):
                return
            known = last_name(node.value)
            targets = node.targets if isinstance(node, syntax.Assign) else [node]
            names = [target.target for target in targets]
            self.renamings += [(at.value, known) for at in names if isinstance(at, syntax.Name)]

    def _take_names(self, node: syntax.Node, scope: Scope) -> None:
        """Put the nodes of an import into the order; its names are no variables of their own."""
        for _, child in children(node):
            self.parent[child] = node
            self.scope[child] = scope
            self._take_names(child, scope)

    def _note_import(self, node: syntax.Import | syntax.ImportFrom, scope: Scope) -> None:
        for bound, origin in imported(node):
            scope.imports.setdefault(bound, []).append(origin)
            self.renamings.append((bound, origin.rpartition(".")[2]))

    # -- moving about -----------------------------------------------------------------------

    def ancestors(self, node: syntax.Node) -> Iterator[syntax.Node]:
        """Yield the parents of ``node``, innermost first, up to the module."""
        at = self.parent.get(node)
        while at is not None:
            yield at
            at = self.parent.get(at)

    def holds(self, outer: syntax.Node, node: syntax.Node) -> bool:
        """Tell whether ``node`` is ``outer`` or lies inside it."""
        at: syntax.Node | None = node
        while at is not None:
            if at is outer:
                return True
            at = self.parent.get(at)
        return False

    def function_around(self, node: syntax.Node) -> syntax.FunctionDef | syntax.Lambda | None:
        """Return the innermost function around ``node``, or None at module or class level."""
        for at in self.ancestors(node):
            if isinstance(at, (syntax.FunctionDef, syntax.Lambda)):
                return at
            if isinstance(at, syntax.ClassDef):
                return None
        return None

    def is_in_function(self, node: syntax.Node) -> bool:
        """Tell whether a ``def`` holds ``node``, directly or not."""
        return any(isinstance(at, syntax.FunctionDef) for at in self.ancestors(node))

    def class_around(self, node: syntax.Node) -> syntax.ClassDef | None:
        """Return the innermost class around ``node``, functions passed over."""
        return next((at for at in self.ancestors(node) if isinstance(at, syntax.ClassDef)), None)

    def method_class(self, node: syntax.Node) -> syntax.ClassDef | None:
        """Return the class whose body ``node`` stands in, no function in between."""
        for at in self.ancestors(node):
            if isinstance(at, (syntax.FunctionDef, syntax.Lambda)):
                return None
            if isinstance(at, syntax.ClassDef):
                return at
        return None

    def statement_of(self, node: syntax.Node) -> syntax.Node:
        """Return the statement around ``node`` that stands directly in a block."""
        at = node
        for outer in self.ancestors(node):
            if type(outer) in _BLOCKS:
                return at
            at = outer
        return at

    def blocks(self, node: syntax.Node) -> list[tuple[syntax.Node, syntax.Node]]:
        """Return the (block, statement in it) pairs around ``node``, innermost first.

        They end at the innermost function: what lies outside runs at another time. The name of a
        function or class lies outside of it, as do its decorators and its parameters' defaults.
        """
        self.steering()
        pairs = self._blocks.get(node)
        if pairs is None:
            pairs = self._blocks[node] = []
            at, outside = node, False
            for outer in self.ancestors(node):
                # Asked of the class itself: isinstance is slow for abstract classes.
                cls = type(outer)
                if cls in _BLOCKS:
                    pairs.append((outer, at))
                elif cls in _BODIES:
                    if not outside and getattr(outer, "name", None) is not at:
                        break
                    outside = False
                elif isinstance(outer, syntax.Decorator) or (
                    isinstance(outer, syntax.Param) and outer.default is at
                ):
                    outside = True
                at = outer
        return pairs

    @property
    def calls(self) -> list[syntax.Call]:
        """Every call, in source order."""
        self.whole()
        return self._calls

    def marked_calls(self) -> list[syntax.Call]:
        """Return at least the calls in the statements that mention a task, in source order."""
        return self._calls

    def calls_near(self, name: str) -> list[syntax.Call]:
        """Return at least the calls in the statements that use the variable ``name``, in order."""
        if self.excerpt is not None:
            self.excerpt.shows_uses(name)
        return self._calls

    def waiting_calls(self) -> list[syntax.Call]:
        """Return at least the calls of a function named ``wait``, in source order."""
        self.steering()
        return self._calls

    def steering(self) -> None:
        """Make sure that no statement is left out that steers the control flow."""
        if self.excerpt is not None:
            self.excerpt.shows_steering()

    def whole(self) -> None:
        """Make sure that no statement is left out, for a look at the statements of a block."""
        if self.excerpt is not None:
            self.excerpt.shows_everything()

    def code_of(self, node: syntax.Node) -> str:
        """Return ``node`` as Python code, whose layout and comments need not be the source's."""
        if type(node) in _COMPOUND:
            self.whole()
        code = self._codes.get(node)
        if code is None:
            code = self._codes[node] = (
                code_of(node) if self._layout is None else _plain(self._layout.code(node))
            )
        return code

    def annotation(self, holder: syntax.Node) -> syntax.BaseExpression | None:
        """Return the annotation of a parameter or an assignment; None of anything else."""
        if isinstance(holder, syntax.Param):
            if self.excerpt is not None:
                self.excerpt.shows_annotation(holder.name.value)
        elif not isinstance(holder, syntax.AnnAssign):
            return None
        return holder.annotation.annotation if holder.annotation is not None else None

    def default(self, param: syntax.Param) -> syntax.BaseExpression | None:
        """Return the default of a parameter."""
        if self.excerpt is not None:
            self.excerpt.shows_annotation(param.name.value)
        return param.default

    def jumps(self, node: syntax.Node) -> list[syntax.Node]:
        """Return what in ``node`` leaves its place: returns, raises, breaks, continues, yields."""
        self.steering()
        found = self._jumps.get(node)
        if found is None:
            found = self._jumps[node] = [
                at for at in self._walk_down(node) if isinstance(at, _JUMPS)
            ]
        return found

    def walk(self, node: syntax.Node, *, into_functions: bool = False) -> Iterator[syntax.Node]:
        """Yield ``node`` and what is in it, in source order, nested functions only on demand."""
        if type(node) in _COMPOUND:
            self.whole()
        return self._walk_down(node, into_functions=into_functions)

    @staticmethod
    def _walk_down(node: syntax.Node, *, into_functions: bool = False) -> Iterator[syntax.Node]:
        stack = [node]
        while stack:
            at = stack.pop()
            yield at
            if type(at) in _BODIES and not into_functions and at is not node:
                continue
            stack += [child for _, child in reversed(children(at))]

    # -- positions --------------------------------------------------------------------------

    def position(self, node: syntax.Node) -> tuple[int, int]:
        """Return the 1-based line and column in the whole source where ``node`` begins."""
        call = self._light_calls.get(node)
        if call is not None:
            # Before 3.12, CPython does not know where in an f-string it is.
            if self._is_unseen(node):
                return self._exact(node)
            return self._placed(call.lineno, call.col_offset)
        offsets = self._offsets
        if offsets is None:
            offsets = self._offsets = self._align()
        if isinstance(node, (syntax.ExceptHandler, syntax.Finally)):
            return self._exact(node)  # begins with a keyword, not with its first name
        if self.is_light and not isinstance(node, syntax.Name):
            return self._exact(node)  # the brackets that it begins with are not known
        first, opened = node, 0
        while not isinstance(first, syntax.Name):
            inner = children(first)
            if not inner or type(first) in _DISPLAYS:
                return self._exact(node)
            first = inner[0][1]
            opened += self.layout.brackets(first)
        at = offsets.get(first)
        if at is None:
            return self._exact(node)
        last = at
        while opened:
            at = self.text.rindex("(", 0, at)
            opened -= 1
        if "#" in self.text[self.text.rfind("\n", 0, at) + 1 : last]:
            return self._exact(node)  # brackets of a comment
        return self.outline.position(self._source_offset(at))

    def _is_unseen(self, node: syntax.Node) -> bool:
        """Tell whether ``node`` stands in a string, where the skim does not see it."""
        return any(type(outer) in _UNSEEN for outer in self.ancestors(node))

    def _source_offset(self, at: int) -> int:
        """Return where in the source the character at ``at`` of the text stands."""
        if self.excerpt is not None:
            return self.excerpt.offset(at)
        return at - len(self.region.prefix) + self.region.start

    def _align(self) -> dict[syntax.Node, int]:
        """Match the tree's names with the text's words: both stand in source order."""
        found: dict[syntax.Node, int] = {}
        words = lexemes(self.text)
        unseen: set[syntax.Node] = set()
        for node in self.order:
            if type(node) in _UNSEEN:
                unseen.update(self._walk_down(node, into_functions=True))
            if not isinstance(node, syntax.Name) or node in unseen:
                continue
            for offset, word in words:
                if word == node.value:
                    found[node] = offset
                    break
            else:
                return {}
        return found

    def _exact(self, node: syntax.Node) -> tuple[int, int]:
        """Ask libcst for a position: for the rare call inside an f-string, or on odd text."""
        layout = self._layout
        if layout is None:
            layout, nodes = self._complete
            node = nodes[type(node)][self._place[node]]
        line, column = layout.start(node)
        offset = self._lines[1][line - 1] + column
        return self.outline.position(self._source_offset(offset))

    @cached_property
    def _complete(self) -> tuple[Layout, dict[type[syntax.Node], list[syntax.Node]]]:
        """For a light tree, the layout and the nodes that it does without, by their class.

        Of each class that is asked for, there are as many as here, in the same order.
        """
        tree = Tree(self.outline, self.region, self.excerpt)
        nodes: dict[type[syntax.Node], list[syntax.Node]] = {}
        for node in tree.order:
            nodes.setdefault(type(node), []).append(node)
        tree.release()
        return tree.layout, nodes

    @cached_property
    def _place(self) -> dict[syntax.Node, int]:
        """Each node's place among those of its class."""
        seen: Counter[type[syntax.Node]] = Counter()
        places: dict[syntax.Node, int] = {}
        for node in self.order:
            places[node] = seen[type(node)]
            seen[type(node)] += 1
        return places

    def _placed(self, line: int, column: int) -> tuple[int, int]:
        """Return where in the source the text's ``line`` and ``column``, in bytes, are."""
        lines, starts = self._lines
        before = lines[line - 1].encode()[:column].decode()
        return self.outline.position(self._source_offset(starts[line - 1] + len(before)))

    @cached_property
    def _lines(self) -> tuple[list[str], list[int]]:
        """The lines of the text, and where in it each begins."""
        lines = self.text.split("\n")
        return lines, list(accumulate((len(line) + 1 for line in lines), initial=0))
