"""Where an application has a ``state`` that takes any attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.source import last_part

if TYPE_CHECKING:
    from flake8_task_refs.fix.contract import Context

HAVE_STATE: Final = frozenset({"FastAPI", "Starlette", "Litestar"})
_USUAL_NAMES: Final = frozenset({"app", "application", "api"})


def replaces_state(context: Context) -> bool:
    """Tell whether the file gives an application a ``state`` of its own: ``app.state = State()``.

    That may have no room for another attribute, or come after one has been set.
    """
    targets = [
        target.target
        for assign in context.file.assignments()
        for target in (assign.targets if isinstance(assign, syntax.Assign) else [assign])
    ]
    return any(
        isinstance(target, syntax.Attribute)
        and target.attr.value == "state"
        and _is_application(context, target.value)
        for target in targets
    )


def _is_application(context: Context, node: syntax.BaseExpression) -> bool:
    """Tell whether ``node`` is an application, by what makes it, by its annotation or by name."""
    name = last_name(node)
    if name in _USUAL_NAMES or name.endswith("_app"):
        return True
    if not isinstance(node, syntax.Name):
        return False
    if name == "self":
        around = context.tree.class_around(node)
        bases = around.bases if around is not None else ()
        return any(last_part(context.names.canonical(base.value)) in HAVE_STATE for base in bases)
    scope = context.tree.scope[node].owner(name)
    holders = [
        context.tree.parent[store] for store in (scope.stores.get(name, ()) if scope else ())
    ]
    return any(_says_application(context, holder) for holder in holders)


def _says_application(context: Context, holder: syntax.Node) -> bool:
    """Tell whether what binds a name says that it is an application."""
    if isinstance(holder, syntax.AssignTarget):
        holder = context.tree.parent[holder]
    annotation = getattr(holder, "annotation", None)
    said = annotation.annotation if isinstance(annotation, syntax.Annotation) else None
    value = getattr(holder, "value", None)
    made = value.func if isinstance(value, syntax.Call) else None
    return any(
        last_part(context.names.canonical(node)) in HAVE_STATE for node in (said, made) if node
    )
