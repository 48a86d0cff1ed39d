"""What a name means: import table, aliases and scopes to canonical dotted names.

Names of a parsed region are looked up in its scopes first; what they do not bind belongs to the
module, and is read off the module's import statements and assignments as the outline has them.
The answer is the same whether the region is one function or the whole file.
"""

from __future__ import annotations

import builtins
import re
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.outline import ANNOTATION
from flake8_task_refs.analysis.sieve import word_offsets
from flake8_task_refs.analysis.syntax import dotted_text, last_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flake8_task_refs.analysis.outline import Definition, Outline
    from flake8_task_refs.analysis.tree import Scope, Tree
    from flake8_task_refs.options import Settings

_IMPORT = re.compile(r"\s*(?:import|from)\b")
_PLAIN_IMPORT = re.compile(r"[\w.,* \t]+$", re.MULTILINE)
_IMPORT_NAME = re.compile(r"([\w.]+|\*)(?:\s+as\s+(\w+))?")
_DOTTED = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
_MAX_ALIASES: Final = 5  # of aliases; also ends `x = x`
_COMPOUND = re.compile(r"(?:if|try|with|for|while)\b")
_ASSIGNMENT = re.compile(rf"^[ \t]*(\w+)[ \t]*{ANNOTATION}=(?!=)[ \t]*", re.MULTILINE)
_MAY_ASSIGN = re.compile(r"\w+[ \t]*[:=]")
_LOOP_NAME = re.compile(r"\w*(?:[lL]oop|LOOP)\Z")
# Right-hand sides, as text: asyncio's getters, and those of other objects.
_LOOP_SOURCE = re.compile(
    r"(?:(?:asyncio|aio|uvloop)(?:\.events)?\.)?(?:get_event_loop|new_event_loop)\("
    r"|(?:\w+\.)*get_running_loop\("  # a name that nothing else than asyncio's loop goes by
)
_OTHER_LOOP = re.compile(
    r"(?!asyncio\b|uvloop\b|aio\b)(\w+)[\w.]*\.(get_(?!running_loop\b)(?:\w+_)?loop|new_event_loop)\("
)
# What follows a name where a value or an annotation is given to it.
_BOUND: Final = re.compile(r"[ \t]*(?::([^=\n#]*))?=(?!=)[ \t]*([^\n]*)")
# An annotation, which ends at a comma or a bracket that is not its own.
_NOTE: Final = re.compile(
    r"[ \t]*:((?:[^=\n#,()\[\]{}]|\[(?:[^\[\]\n]|\[(?:[^\[\]\n]|\[[^\[\]\n]*\])*\])*\])*)"
)
_ABSTRACT_LOOP: Final = re.compile(r"\bAbstractEventLoop\b")
_CLASS_CALL: Final = re.compile(r"((?:\w+\.)*_*([A-Z]\w*))\(")
_ASKED: Final = re.compile(r"\)\s*\.\s*\w+(?:\(\))?\Z")
_BASES: Final = re.compile(r"\s*\(([^()]*)")
# Packages with event loops of asyncio's kind; what others call a loop may be anything.
_LOOP_PACKAGES: Final = frozenset(
    {"asyncio", "uvloop", "winloop", "rloop", "qasync", "quamash", "asyncqt", "qtinter", "gbulb"}
)
# What a getter of the file returns.
_RETURNED: Final = re.compile(r"^[ \t]*return\b[ \t]*([^\n]*)", re.MULTILINE)
_NEW_OR_RUNNING: Final = re.compile(
    r"(?:asyncio\.)?(?:get_event_loop|get_running_loop|new_event_loop)\([ \t]*\)"
)
_LOOP_GETTER = re.compile(r"_*get_(?:\w+_)?loop\Z|new_event_loop\Z")
# What a function of another file is called that returns an event loop. Games have loops, too.
_GETTER_OF_OTHERS: Final = re.compile(
    r"_*get_(?:or_\w+_)?(?:(?:\w+_)?(?:event|asyncio|aio|async|io|main|running|current|default"
    r"|background|global|shared)_)?loop\Z"
)
# What objects of asyncio's are called that tell their loop.
_OF_A_LOOP: Final = re.compile(r"\w*(?:task|fut|future|waiter|server|runner)\Z", re.IGNORECASE)
_LOOP_CALLS: Final = {
    f"asyncio.{module}{name}"
    for module in ("", "events.")
    for name in ("get_running_loop", "get_event_loop", "new_event_loop", "_get_running_loop")
}
# asyncio keeps its parts in submodules too: asyncio.tasks.create_task is asyncio.create_task.
_SUBMODULES: Final = ("tasks", "futures", "events", "locks", "runners", "timeouts", "queues")


class Names:
    """Resolves names for one module."""

    def __init__(self, outline: Outline, settings: Settings) -> None:
        """Keep the outline; nothing is read before it is asked for."""
        self.outline = outline
        self.settings = settings
        self._origins: dict[str, list[str]] = {}

    # -- the module's own names -------------------------------------------------------------

    @cached_property
    def _import_texts(self) -> list[tuple[int, str]]:
        """The file's import statements: where each begins, and its text on one line."""
        return [(start, self._import_text(start)) for start in self.outline.imports]

    @cached_property
    def _all_imports(self) -> str:
        return "\n".join([text for _, text in self._import_texts])

    def _imports_of(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Return (bound name, origin) of the module's imports that mention one of ``names``."""
        known = [name for name in names if name in self._all_imports]
        return [
            pair
            for start, text in (self._import_texts if known else ())
            if any(name in text for name in known) and self._is_modules(start)
            for pair in _imported(text)
        ]

    def _is_modules(self, start: int) -> bool:
        """Tell whether what is imported at ``start`` is the module's, and not a function's."""
        return self.outline.source[start - 1 : start] in ("", "\n") or not any(
            outer.kind == "def" for outer in self.outline.enclosing(start)
        )

    def _imported_from(self, name: str) -> list[str]:
        """Return the origins of everything that the module imports as ``name``."""
        known = self._origins.get(name)
        if known is None:
            imports = self._imports_of((name,))
            known = self._origins[name] = [origin for bound, origin in imports if bound == name]
        return known

    def _import_text(self, start: int) -> str:
        """Return the one logical line of an import that begins at ``start``, on one line."""
        outline, source = self.outline, self.outline.source
        plain = _PLAIN_IMPORT.match(source, start)
        if plain is not None:
            return plain[0]
        end = start
        text = ""
        while end < len(source) and (not text or text[-1] == "\\"):
            line_end = source.find("\n", end + 1)
            end = len(source) if line_end < 0 else line_end
            text = outline.blanked(start, end)
            if "(" in text and ")" not in text:
                close = source.find(")", end)
                while close >= 0 and not outline.is_plain(close):
                    close = source.find(")", close + 1)
                end = len(source) if close < 0 else close + 1
                text = outline.blanked(start, end)
        return text.replace("\\\n", " ")

    @cached_property
    def _assignments(self) -> dict[str, list[str]]:
        """Every ``name = value`` outside functions and classes: first lines of the values."""
        outline, table = self.outline, dict[str, list[str]]()
        ends = [*outline.statements[1:], len(outline.source)]
        for start, end in zip(outline.statements, ends, strict=False):
            compound = _COMPOUND.match(outline.source, start) is not None
            if not compound and not _MAY_ASSIGN.match(outline.source, start):
                continue
            code = outline.blanked(start, end)
            first = _ASSIGNMENT.match(code)
            for match in _ASSIGNMENT.finditer(code) if compound else [first] if first else []:
                if not compound or not outline.enclosing(start + match.start()):
                    line_end = code.find("\n", match.end())
                    value = code[match.end() : None if line_end < 0 else line_end]
                    table.setdefault(match[1], []).append(value.strip())
        return table

    def assigned(self, name: str) -> list[str]:
        """Return the right-hand sides (first lines, as text) of module-level ``name = ...``."""
        return self._assignments.get(name, [])

    def renamed(self, names: frozenset[str]) -> list[str]:
        """Return what the module may call things whose last name is one of ``names``."""
        found = [
            bound for bound, origin in self._imports_of(names) if origin.rsplit(".", 1)[-1] in names
        ]
        known = {*names, *found}
        grown = True
        while grown:
            assigned = [
                name
                for name, values in self._assignments.items()
                if name not in known
                and _DOTTED.fullmatch(values[-1])
                and values[-1].rsplit(".", 1)[-1] in known
            ]
            known.update(assigned)
            found += assigned
            grown = bool(assigned)
        return found

    def module_origin(self, name: str, depth: int = 0) -> str | None:
        """Return what the module's ``name`` is: a dotted origin, or None if it is its own.

        ``depth`` counts the aliases passed through on the way here.
        """
        if self.outline.top_level(name):
            return None
        origins = self._imported_from(name)
        values = [value for value in self.assigned(name) if value != "None"]
        if values:
            return (
                self._origin_of_text(values[-1], depth) if not origins or len(values) == 1 else None
            )
        if origins:
            return _imported_as(name, origins)
        if name in _ASYNCIO_EXPORTS and "asyncio.*" in self._imported_from("*"):
            return f"asyncio.{name}"
        if name == "asyncio":
            return name  # where only a function imports it, or a star does
        return f"builtins.{name}" if hasattr(builtins, name) else None

    def _origin_of_text(self, text: str, depth: int) -> str | None:
        if not _DOTTED.fullmatch(text):
            return None
        head, dot, rest = text.partition(".")
        origin = self.module_origin(head, depth + 1) if depth < _MAX_ALIASES else None
        return _tidy(f"{origin}{dot}{rest}") if origin else None

    # -- names in a region ------------------------------------------------------------------

    def canonical(self, tree: Tree, node: syntax.Node) -> str | None:
        """Return the dotted name that ``node`` (a name or attribute chain) stands for.

        Names from asyncio come as ``asyncio.<name>`` whichever submodule or alias they came by.
        None where the source does not tell, or where the name is the user's own.
        """
        if isinstance(node, syntax.Attribute):
            base = self.canonical(tree, node.value)
            return _tidy(f"{base}.{node.attr.value}") if base else None
        if not isinstance(node, syntax.Name):
            return None
        scope = tree.scope[node].owner(node.value)
        if scope is None or scope.kind == "module":
            return self.module_origin(node.value)
        return self._local(tree, scope, node.value)

    def _local(self, tree: Tree, scope: Scope, name: str) -> str | None:
        stores = scope.stores.get(name, [])
        if not stores:
            return _imported_as(name, scope.imports[name])
        if len(stores) > 1 or name in scope.imports:
            return None
        value = assigned_value(tree, stores[0])
        if isinstance(value, (syntax.Name, syntax.Attribute)) and dotted_text(value) != name:
            return self.canonical(tree, value)
        return None

    def is_loop(self, tree: Tree, node: syntax.Node) -> bool:
        """Tell whether ``node`` is an event loop: by where it came from, else by its name."""
        if isinstance(node, syntax.Call):
            return self._makes_loop(tree, node)
        if isinstance(node, syntax.Attribute):
            return self._attribute_is_loop(tree, node)
        if isinstance(node, syntax.NamedExpr):
            return self.is_loop(tree, node.value)
        if isinstance(node, syntax.BooleanOperation):  # `self.loop or get_event_loop()`
            return self.is_loop(tree, node.left) or self.is_loop(tree, node.right)
        if isinstance(node, syntax.IfExp):
            return self.is_loop(tree, node.body) or self.is_loop(tree, node.orelse)
        return isinstance(node, syntax.Name) and self._name_is_loop(tree, node)

    def is_asyncio_loop(self, tree: Tree, node: syntax.Node) -> bool:
        """Tell whether ``node`` surely is a loop of asyncio's: its name alone does not count."""
        if isinstance(node, syntax.Call):
            return self.canonical(tree, node.func) in _LOOP_CALLS
        scope = tree.scope[node].owner(node.value) if isinstance(node, syntax.Name) else None
        stores = scope.stores.get(last_name(node), ()) if scope is not None else ()
        made = [assigned_value(tree, store) for store in stores]
        return bool(made) and all(
            isinstance(value, syntax.Call) and self.canonical(tree, value.func) in _LOOP_CALLS
            for value in made
        )

    def _makes_loop(self, tree: Tree, call: syntax.Call) -> bool:
        """Tell whether ``call`` returns an event loop; other objects have getters of that name."""
        if last_name(call.func) == "get_running_loop":
            return True
        path = self.canonical(tree, call.func)
        if path is not None:
            return (
                path in _LOOP_CALLS
                or path == "uvloop.new_event_loop"
                or _GETTER_OF_OTHERS.match(path.rpartition(".")[2]) is not None
            )
        name = last_name(call.func)
        if self._returns_loop(name):
            return True
        if not _LOOP_GETTER.match(name):
            return False
        base = call.func.value if isinstance(call.func, syntax.Attribute) else None
        if isinstance(base, syntax.Call):  # get_event_loop_policy().get_event_loop()
            return (self.canonical(tree, base.func) or "").startswith("asyncio.")
        if isinstance(base, syntax.Name) and base.value in ("self", "cls"):
            return True
        # A method of tasks, futures and servers.
        return (
            name == "get_loop"
            and base is not None
            and _OF_A_LOOP.match(last_name(base)) is not None
        )

    def _returns_loop(self, function: str) -> bool:
        """Tell whether a function or property of this module says that it returns a loop.

        Its annotation does, or each of its ``return`` statements.
        """
        key = ("returns a loop", function)
        known = self.outline.answers.get(key)
        if known is None:
            known = self.outline.answers[key] = self._is_told_to_return_loop(function)
        return known

    def _is_told_to_return_loop(self, function: str) -> bool:
        source = self.outline.source
        says = rf"def[ \t]+{function}\([^()]*\)\s*->[^:\n]*\bAbstractEventLoop\b"
        if "AbstractEventLoop" in source and re.search(says, source) is not None:
            return True
        found = self.outline.functions(function)
        bodies = [self.outline.blanked(one.header, one.end) for one in found]
        returned = [value for body in bodies for value in _RETURNED.findall(body)]
        return bool(returned) and all(map(_NEW_OR_RUNNING.match, returned))

    def _attribute_is_loop(self, tree: Tree, node: syntax.Attribute) -> bool:
        attribute = node.attr.value
        own = dotted_text(node.value) in ("self", "cls")
        around = tree.class_around(node) if own else None
        owner = around.name.value if around is not None else ""
        key = (f"is a loop of {owner}", attribute)
        known = self.outline.answers.get(key)
        if known is None:
            known = self.outline.answers[key] = self._attribute_holds_loop(attribute, owner)
        return known

    def _attribute_holds_loop(self, attribute: str, owner: str) -> bool:
        """Tell whether ``attribute``, of the class ``owner`` if that is known, is an event loop."""
        if self._returns_loop(attribute):
            return True
        outline = self.outline
        bound: list[tuple[int, str, str]] = []  # where, the annotation, the value
        for at in word_offsets(outline.source, attribute):
            if not outline.is_plain(at):
                continue
            line, begin = outline.line_of_code(at)
            after = at - begin + len(attribute)
            note = _NOTE.match(line, after)
            if note is not None and _ABSTRACT_LOOP.search(note[1]):
                return True
            match = _BOUND.match(line, after)
            if match and outline.source[at - 1 : at] == ".":
                bound.append((at, match[1] or "", match[2]))
            elif note is not None and self._is_field(at, line[: at - begin]):
                bound.append((at, note[1], ""))
        if any("AbstractEventLoop" in note or _LOOP_SOURCE.match(text) for _, note, text in bound):
            return True
        if not _LOOP_NAME.match(attribute):
            return False
        # Another class may call something else so; a base may be any class.
        own = [one for one in bound if owner and self._class_at(one[0]) == owner]
        if own:
            return not all(self._is_foreign_value(*one) for one in own)
        return not any(self._is_foreign_value(*one) for one in bound)

    def _is_field(self, at: int, before: str) -> bool:
        """Tell whether the body of a class declares what stands at ``at``, after ``before``."""
        around = self.outline.enclosing(at) if not before.strip() else ()
        return bool(around) and around[-1].kind == "class"

    def _class_at(self, offset: int) -> str:
        around = [outer.name for outer in self.outline.enclosing(offset) if outer.kind == "class"]
        return around[-1] if around else ""

    def _is_foreign_value(self, at: int, annotation: str, value: str) -> bool:
        """Tell whether ``value``, given at ``at`` to what has the ``annotation``, is no loop."""
        if self._makes_no_loop(value):
            return True
        if self._is_foreign_annotation(annotation):
            return True
        name = value.strip()
        function = next(reversed(self.outline.enclosing(at)), None)
        if not name.isidentifier() or function is None or function.kind != "def":
            return False
        # A parameter, whose class may be called a loop, too.
        signature = self.outline.blanked(function.header, at)
        note = re.search(rf"\b{name}[ \t]*:[ \t]*([^=,)\n#]+)", signature)
        if note is not None:
            return self._is_foreign_annotation(note[1])
        # Else the module's, if the function binds no such name.
        if re.search(rf"\b{name}\b", signature):
            return False
        return any(self._makes_no_loop(made) for made in self.assigned(name))

    def _is_foreign_annotation(self, note: str) -> bool:
        classes = [name for name in _DOTTED.findall(note) if name.endswith("Loop")]
        if not classes or "AbstractEventLoop" in note:
            return False
        return any(self._is_other_loop(name) for name in classes)

    def _is_other_loop(self, path: str) -> bool:
        """Tell whether ``path``, a class that is called a loop, is none of asyncio's kind."""
        own = self.outline.top_level(path)
        if own:
            return not any(self._derives_loop(definition) for definition in own)
        origin = self.module_origin(path.partition(".")[0])
        return origin is not None and origin.partition(".")[0] not in _LOOP_PACKAGES

    def _derives_loop(self, definition: Definition) -> bool:
        """Tell whether a class of the file may inherit ``create_task`` from asyncio's loops."""
        bases = _BASES.match(self.outline.code, definition.header)
        return (
            bases is not None
            and not self.outline.functions("create_task", definition.name)
            and any(
                "Loop" in base and base != definition.name and not self._is_other_loop(base)
                for base in _DOTTED.findall(bases[1])
            )
        )

    def _makes_no_loop(self, value: str) -> bool:
        """Tell whether the text ``value`` makes an object that is no event loop, or asks one."""
        getter = _OTHER_LOOP.match(value)
        if getter is not None:
            # A module, or what another one gives, may know a loop of asyncio's.
            return self.module_origin(getter[1]) is None or not _GETTER_OF_OTHERS.match(getter[2])
        match = _CLASS_CALL.match(value)
        if match is None or "Loop" not in match[2]:
            return match is not None
        # A thread or a helper that is called so tells the loop that it runs: `LoopThread().loop`.
        return _ASKED.search(value) is None and self._is_other_loop(match[1])

    def _is_foreign(self, tree: Tree, call: syntax.Call) -> bool:
        """Tell whether ``call`` makes an object that is no event loop."""
        name, path = last_name(call.func), dotted_text(call.func)
        if not name.lstrip("_")[:1].isupper():
            return False
        if "Loop" not in name:
            return True
        if path is not None and self.outline.top_level(path):
            return self._is_other_loop(path)
        origin = self.canonical(tree, call.func)
        return origin is not None and origin.partition(".")[0] not in _LOOP_PACKAGES

    def _name_is_loop(self, tree: Tree, node: syntax.Name) -> bool:
        named = _LOOP_NAME.match(node.value) is not None
        scope = tree.scope[node].owner(node.value)
        if scope is None or scope.kind == "module":
            if self.outline.top_level(node.value):
                return False
            values = self.assigned(node.value)
            if any(_LOOP_SOURCE.match(value) for value in values):
                return True
            return named and not any(self._makes_no_loop(value) for value in values)
        verdicts = [
            self._binds_loop(tree, store, named=named) for store in scope.stores.get(node.value, ())
        ]
        return any(verdicts) if verdicts else named

    def _binds_loop(self, tree: Tree, store: syntax.Name, *, named: bool) -> bool:
        """Tell whether ``store`` binds an event loop; ``named`` tells that it is called one."""
        annotation = tree.annotation(tree.parent[store])
        if annotation is not None:
            return self._annotates_loop(tree, annotation, named=named)
        value = assigned_value(tree, store) or _entered(tree, store)
        if _is_entered_asynchronously(tree, store):
            # A loop of asyncio's is made by what waits for nothing.
            return isinstance(value, syntax.Call) and self._makes_loop(tree, value)
        if isinstance(value, syntax.Await):
            value = value.expression
        if isinstance(value, syntax.Call):
            if self._makes_loop(tree, value):
                return True
            getter = _LOOP_GETTER.match(last_name(value.func)) is not None
            return named and not getter and not self._is_foreign(tree, value)
        if isinstance(value, (syntax.Name, syntax.Attribute)) and not named:
            return dotted_text(value) != store.value and self.is_loop(tree, value)
        if isinstance(value, (syntax.BooleanOperation, syntax.IfExp)) and not named:
            own = {at.value for at in tree.walk(value) if isinstance(at, syntax.Name)}
            return store.value not in own and self.is_loop(tree, value)
        return named

    def _annotates_loop(
        self, tree: Tree, annotation: syntax.BaseExpression, *, named: bool
    ) -> bool:
        text = tree.code_of(annotation)
        if text in ("Any", "typing.Any", "object"):
            return named
        if "AbstractEventLoop" in text:
            return True
        if "Loop" not in text:
            return False
        origins = [
            self.canonical(tree, node)
            for node in tree.walk(annotation)
            if isinstance(node, (syntax.Name, syntax.Attribute)) and "Loop" in last_name(node)
        ]
        known = [origin for origin in origins if origin is not None]
        if known:
            return any(origin.startswith(("asyncio.", "uvloop.")) for origin in known)
        # A class of this file, or a string: its name has to do.
        return named and not any(
            self.outline.top_level(last_name(node)) for node in tree.walk(annotation)
        )

    def matches(self, tree: Tree, node: syntax.Node, globs: tuple[str, ...]) -> bool:
        """Tell whether a callee matches one of ``globs``, as written or by its origin."""
        written = dotted_text(node) or f"?.{last_name(node)}"
        origin = self.canonical(tree, node)
        return any(fnmatchcase(text, glob) for glob in globs for text in (written, origin) if text)


def _imported(text: str) -> list[tuple[str, str]]:
    """Return (bound name, dotted origin) for each name of an import statement's text."""
    first, *others = text.split(";")
    if others:
        later = (_imported(other) for other in others if _IMPORT.match(other))
        return _imported(first) + [pair for pairs in later for pair in pairs]
    flat = text.replace("(", " ").replace(")", " ").replace("\n", " ").strip()
    if flat.startswith("import"):
        found = []
        for match in _IMPORT_NAME.finditer(flat[len("import") :]):
            path, alias = match[1], match[2]
            found.append((alias, path) if alias else (path.split(".")[0], path.split(".")[0]))
        return found
    head, separator, names = flat.partition(" import ")
    if not separator:
        return []
    module = head[len("from") :].replace(" ", "")
    join = "" if module.endswith(".") else "."
    return [
        (match[2] or match[1], f"{module}{join}{match[1]}")
        for match in _IMPORT_NAME.finditer(names)
    ]


def _imported_as(name: str, origins: list[str]) -> str:
    """Return what ``name`` is that is imported from ``origins``."""
    # try/except ImportError: asyncio's wins over the stand-in beside it.
    origin = next((o for o in origins if o.partition(".")[0] == "asyncio"), origins[-1])
    package, _, last = origin.rpartition(".")
    if name == last == "asyncio" and package.strip("."):
        # `from syncer import asyncio`: a module that passes asyncio itself on. A package's own
        # `mylib.asyncio`, or what goes by another name (`redis.asyncio as aioredis`), is none.
        return "asyncio"
    return _tidy(origin)


def _tidy(path: str) -> str:
    """Bring every spelling of an asyncio name to ``asyncio.<name>``."""
    parts = path.split(".")
    if parts[0] == "asyncio" and len(parts) > 2 and parts[1] in _SUBMODULES:
        del parts[1]
    return ".".join(parts)


def assigned_value(tree: Tree, store: syntax.Name) -> syntax.BaseExpression | None:
    """Return the expression that a plain ``name = value`` (or ``:=``) gives to ``store``."""
    holder = tree.parent[store]
    if isinstance(holder, syntax.AssignTarget):
        assign = tree.parent[holder]
        return assign.value if isinstance(assign, syntax.Assign) else None
    if isinstance(holder, (syntax.AnnAssign, syntax.NamedExpr)):
        return holder.value
    return None


def _entered(tree: Tree, store: syntax.Name) -> syntax.BaseExpression | None:
    """Return the context manager of ``with value as store``."""
    holder = tree.parent[store]
    item = tree.parent[holder] if isinstance(holder, syntax.AsName) else None
    return item.item if isinstance(item, syntax.WithItem) else None


def _is_entered_asynchronously(tree: Tree, store: syntax.Name) -> bool:
    """Tell whether ``async with value as store`` binds ``store``."""
    holder = tree.parent[store]
    item = tree.parent[holder] if isinstance(holder, syntax.AsName) else None
    block = tree.parent[item] if isinstance(item, syntax.WithItem) else None
    return isinstance(block, syntax.With) and block.asynchronous


# What `from asyncio import *` gives that a rule knows.
_ASYNCIO_EXPORTS: Final = frozenset(
    {
        "create_task", "ensure_future", "Task", "gather", "shield", "wait", "wait_for",
        "as_completed", "run_coroutine_threadsafe", "get_running_loop", "get_event_loop",
        "new_event_loop", "run", "Event", "Future", "Queue", "sleep", "TaskGroup", "Runner",
    }
)  # fmt: skip
