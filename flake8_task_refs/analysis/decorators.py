"""The file's own decorators that make a task of each call of what they decorate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.syntax import last_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flake8_task_refs.analysis.sites import CreationSite
    from flake8_task_refs.analysis.tree import Tree


def decorated(
    tree: Tree, site: CreationSite, inner: syntax.FunctionDef
) -> Iterator[tuple[str, str]]:
    """Yield the functions of the file whose call gives the task of ``site``, made in ``inner``.

    ``inner`` is what a function of the module returns that is given one to decorate. Each goes by
    (where it is defined, its name); those that have other decorators are left out.
    """
    outer = tree.function_around(inner)
    if not isinstance(outer, syntax.FunctionDef) or outer.decorators or outer.asynchronous:
        return
    if inner.asynchronous or tree.scope[outer].kind != "module":
        return
    params, name = outer.params, outer.name.value
    if len(params.params) != 1 or params.posonly_params or params.kwonly_params:
        return
    given = site.given.value if site.given is not None else None
    if not isinstance(given, syntax.Call) or last_name(given.func) != params.params[0].name.value:
        return
    outline = tree.outline
    if f"@{name}\n" not in outline.source or len(outline.top_level(name)) != 1:
        return
    if any(last_name(_function(item.decorator)) != "wraps" for item in inner.decorators):
        return
    if not _returns(tree, inner, site.call) or not _returns(tree, outer, inner.name.value):
        return
    pattern = rf"^[ \t]*@{name}\n[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)"
    for match in re.finditer(pattern, outline.code, re.MULTILINE):
        around = outline.enclosing(match.start(1))
        if not around or around[-1].name != match[1] or around[-1].start < match.start():
            continue  # it has other decorators
        if all(parent.kind == "class" for parent in around[:-1]):
            yield ".".join(parent.name for parent in around[:-1]), match[1]


def _function(decorator: syntax.BaseExpression) -> syntax.BaseExpression:
    return decorator.func if isinstance(decorator, syntax.Call) else decorator


def _returns(tree: Tree, function: syntax.FunctionDef, value: syntax.Call | str) -> bool:
    """Tell whether ``function`` returns ``value``, a call or a name, and nothing else."""
    jumps = [
        at for at in tree.jumps(function.body) if isinstance(at, (syntax.Return, syntax.Yield))
    ]
    return bool(jumps) and all(
        isinstance(jump, syntax.Return)
        and (
            jump.value is value
            or (isinstance(jump.value, syntax.Name) and jump.value.value == value)
        )
        for jump in jumps
    )
