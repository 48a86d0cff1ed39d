"""Where a handle that is kept can be found again, and every use of that place in the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flake8_task_refs.analysis.outline import Outline
    from flake8_task_refs.analysis.tree import Scope, Tree

_SELVES: Final = ("self", "cls")
_TARGETS: Final = (
    syntax.AssignTarget,
    syntax.AnnAssign,
    syntax.AugAssign,
    syntax.Del,
    syntax.For,
    syntax.CompFor,
)
_CLASS: Final = re.compile(r"^[ \t]*class[ \t]+(\w+)[ \t]*\(([^()]*)", re.MULTILINE)
# What ends where a name in quotes begins: does the object have it, is something called like it,
# is there a slot for it (before the equals sign)?
_NAMING: Final = re.compile(r"(?:\bhasattr\([^()\n]*|\bname\s*=\s*)\Z")
_SLOTS: Final = re.compile(r"__slots__[^=\n]*\Z")
_NEAR: Final = 500  # characters between the two


@dataclass(frozen=True, eq=False)
class Place:
    """What a handle is stored under.

    ``kind`` is "attribute" (of any object), "key" (a string key of an object that is passed
    around, such as an application), "variable" (of the module) or "local" (of
    ``scope``, which other functions can see). ``owner`` is the class for an attribute of its
    ``self``, the object as it is written for one of another object, else ``""``.
    """

    kind: str
    name: str
    owner: str = ""
    scope: Scope | None = None

    @property
    def of_class(self) -> bool:
        """Whether it is an attribute that a class gives its own instances."""
        return self.kind == "attribute" and "." not in self.owner and self.owner != ""


def place_of(tree: Tree, node: syntax.Node) -> Place | None:
    """Return the place that ``node`` names: what is assigned to, or the container; else None."""
    slot = node if isinstance(node, syntax.Subscript) else tree.parent[node]
    root = node
    while isinstance(root, syntax.Subscript):
        root = root.value
    if isinstance(root, syntax.Attribute):
        if isinstance(root.value, syntax.Name) and root.value.value in _SELVES:
            holder = tree.class_around(root)
            return Place("attribute", root.attr.value, holder.name.value if holder else "")
        return Place("attribute", root.attr.value, f"{tree.code_of(root.value)}.")
    if not isinstance(root, syntax.Name):
        return None
    scope = tree.scope[root].owner(root.value)
    if root.value in tree.scope[root].function.elsewhere:
        outer = tree.scope[root].function.parent
        while outer is not None and outer.kind == "class":
            outer = outer.parent  # whose names no function inside can see
        scope = outer.owner(root.value) if outer is not None else None
    if scope is not None and isinstance(scope.node, syntax.ClassDef):
        return Place("attribute", root.value, scope.node.name.value)
    if scope is None or scope.kind == "module":
        return Place("variable", root.value)
    if (
        isinstance(slot, syntax.Subscript)
        and slot.value is root
        and _is_parameter(tree, scope, root)
    ):
        index = slot.slice[0].slice
        key = index.value if isinstance(index, syntax.Index) else None
        if isinstance(key, syntax.SimpleString) and isinstance(key.evaluated_value, str):
            return Place("key", key.evaluated_value, f"{root.value}.")
    return Place("local", root.value, scope=scope)


def _is_parameter(tree: Tree, scope: Scope, name: syntax.Name) -> bool:
    stores = scope.stores.get(name.value, ())
    return any(isinstance(tree.parent[store], syntax.Param) for store in stores)


class Places:
    """Finds the uses of places in one file."""

    def __init__(self, outline: Outline, parse: Callable[[int], Tree | None]) -> None:
        """``parse`` returns the tree of the region around an offset of the source, or None."""
        self.outline = outline
        self._parse = parse
        self._named: dict[Tree, dict[str, list[syntax.Node]]] = {}
        self._bases: dict[str, set[str]] | None = None

    def uses(self, place: Place, tree: Tree) -> Iterator[tuple[Tree, syntax.BaseExpression]]:
        """Yield the expressions of the file that read ``place``, which is of ``tree``."""
        if place.scope is not None:
            yield from ((tree, use) for use in place.scope.uses(place.name))
            return
        for home in self._trees(place):
            for node in self._nodes(home).get(place.name, ()):
                if self._is(home, node, place) and not _is_target(home, node):
                    assert isinstance(node, syntax.BaseExpression)  # noqa: S101 (for mypy)
                    yield home, node

    def is_named(self, name: str) -> bool:
        """Tell whether the file looks an attribute up by its name, other than to see if it is."""
        source = self.outline.source
        for quoted in (f'"{name}"', f"'{name}'"):
            at = source.find(quoted)
            while at >= 0:
                end = at + len(quoted)
                if not _is_harmless(source, at, end):
                    return True
                at = source.find(quoted, end)
        return False

    def _trees(self, place: Place) -> list[Tree]:
        """Return the trees of all regions that mention the name of ``place``."""
        name = re.escape(place.name)
        text, pattern = self.outline.code, rf"\b{name}\b"
        if place.kind == "attribute":
            pattern = rf"\.[\s\\]*{name}\b"
        elif place.kind == "key":
            text, pattern = self.outline.source, rf"\.[\s\\]*{name}\b|[\"']{name}[\"']"
        trees = (self._parse(match.start()) for match in re.finditer(pattern, text))
        return list(dict.fromkeys(tree for tree in trees if tree is not None))

    def _nodes(self, tree: Tree) -> dict[str, list[syntax.Node]]:
        """Return the names, attributes and string-keyed subscripts of ``tree`` by their name."""
        if tree not in self._named:
            tree.whole()
            named = self._named[tree] = {}
            for node in tree.order:
                name = key_of(node) if isinstance(node, syntax.Subscript) else last_name(node)
                if name:
                    named.setdefault(name, []).append(node)
        return self._named[tree]

    def _is(self, tree: Tree, node: syntax.Node, place: Place) -> bool:
        """Tell whether ``node`` can mean ``place``."""
        if isinstance(node, syntax.Name):
            if place.kind != "variable" or _is_part(tree, node):
                return False
            scope = tree.scope[node].owner(node.value)
            return scope is None or scope.kind in ("module", "class")
        if place.kind == "key":
            return True
        if not isinstance(node, syntax.Attribute) or place.kind != "attribute":
            return False
        if last_name(node.value) in _SELVES and isinstance(node.value, syntax.Name):
            around = tree.class_around(node)
            return around is None or not place.of_class or self._kin(place.owner, around.name.value)
        return True

    def _kin(self, one: str, other: str) -> bool:
        """Tell whether two classes of the file can be the same object's."""
        return one == other or bool(self._family(one) & self._family(other))

    def _family(self, name: str) -> set[str]:
        """Return a class and the bases of the file that it has, directly or not."""
        if self._bases is None:
            classes = {found.name for found in self.outline.definitions if found.kind == "class"}
            self._bases = {}
            for match in _CLASS.finditer(self.outline.code):
                bases = classes.intersection(re.findall(r"\w+", match[2]))
                self._bases.setdefault(match[1], set()).update(bases)
        family, rest = {name}, [name]
        while rest:
            new = self._bases.get(rest.pop(), set()) - family
            family |= new
            rest += new
        return family


def _is_harmless(source: str, start: int, end: int) -> bool:
    """Tell whether the name in quotes at ``start`` to ``end`` is no way to its attribute's value.

    It is asked whether there is one, called like it, or given room; or it is a key.
    """
    if source[start - 1 : start] == "[" and source[end : end + 1] == "]":
        return True
    equals = source.rfind("=", 0, start)
    return (
        _NAMING.search(source, max(0, start - _NEAR), start) is not None
        or _SLOTS.search(source, max(0, equals - _NEAR), max(0, equals)) is not None
    )


def key_of(node: syntax.Subscript) -> str:
    """Return the text that ``node`` has for its only key, ``""`` if it has another."""
    index = node.slice[0].slice if len(node.slice) == 1 else None
    key = index.value if isinstance(index, syntax.Index) else None
    if isinstance(key, syntax.SimpleString) and isinstance(key.evaluated_value, str):
        return key.evaluated_value
    return ""


def _is_part(tree: Tree, node: syntax.Name) -> bool:
    """Tell whether a name reads no variable: an attribute's, a keyword's, a ``global``'s."""
    holder = tree.parent[node]
    return (
        (isinstance(holder, syntax.Attribute) and holder.attr is node)
        or (isinstance(holder, syntax.Arg) and holder.keyword is node)
        or isinstance(holder, syntax.NameItem)
    )


def _is_target(tree: Tree, node: syntax.Node) -> bool:
    holder = tree.parent[node]
    return isinstance(holder, _TARGETS) and getattr(holder, "target", None) is node
