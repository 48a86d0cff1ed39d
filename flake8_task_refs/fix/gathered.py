"""What a lifespan hands to ``gather()`` and drops: a task for each coroutine, to end with it.

The future of ``gather()`` would not do: it is done as soon as one of its tasks has failed or has
been cancelled, and nobody waits for the others then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.helpers import find_helper
from flake8_task_refs.analysis.sites import MAKES_FUTURE
from flake8_task_refs.analysis.syntax import last_name
from flake8_task_refs.fix.free_names import names_in
from flake8_task_refs.fix.lifespan_body import lifespan_around
from flake8_task_refs.fix.repair_sites import GATHERED
from flake8_task_refs.fix.task_names import task_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flake8_task_refs.fix.contract import Context
    from flake8_task_refs.fix.edits import Edit
    from flake8_task_refs.fix.registration import Registry
    from flake8_task_refs.fix.repair_sites import Site


def gathered(context: Context, site: Site) -> list[Site]:
    """Return a site for each coroutine that ``site``, a statement of a lifespan, gathers and drops.

    None if it is another statement, or not clear what it is given. With ``unsafe_fixes``, it is
    awaited at once.
    """
    is_one = (
        site.code == "TSK003"
        and site.form == "discard"
        and site.made is not None
        and site.made.path == "asyncio.gather"
        and context.names.canonical(site.call.func) == "asyncio.gather"
        and not context.settings.unsafe_fixes
        and lifespan_around(context, site) is site.function
    )
    if not is_one or site.statement is None:
        return []
    span = context.file.span(site.statement)
    text = context.file.text[span.start : span.end]
    if "#" in text + context.writer.comment_after(site.statement):
        return []
    found: list[Site] = []
    for arg in site.call.args:
        if arg.keyword is not None:
            if arg.keyword.value != "return_exceptions":
                return []
            continue
        coroutine = arg.value
        if arg.star:
            if not isinstance(coroutine, (syntax.ListComp, syntax.GeneratorExp)):
                return []
            if not _is_plain_loop(context, site, coroutine):
                return []
            coroutine = coroutine.elt
        if not isinstance(coroutine, syntax.Call) or _makes_future(context, coroutine):
            return []
        found.append(replace(site, call=coroutine, form=GATHERED))
    return found


def _is_plain_loop(
    context: Context, site: Site, made: syntax.ListComp | syntax.GeneratorExp
) -> bool:
    """Tell whether a ``for`` statement can stand for ``made``, whose variables nobody else uses."""
    loop, file = made.for_in, context.file
    if loop.asynchronous or loop.ifs or loop.inner_for_in is not None or site.function is None:
        return False
    bound = names_in(file, loop.target)
    if bound & names_in(file, loop.iter):
        return False
    for node in file.inside(site.function):
        if isinstance(node, syntax.Name) and node.value in bound and not file.within(node, made):
            is_called = isinstance(outer := file.parent(node), syntax.Call) and outer.func is node
            if node.value != "_" or is_called:  # `_("text")` is no variable that nobody reads
                return False
    return True


def _makes_future(context: Context, call: syntax.Call) -> bool:
    """Tell whether ``call`` makes a task, or a future, which has no name."""
    sites = context.judge.ownership.sites
    return (
        sites.creator(context.tree, call.func) is not None
        or sites.aggregate(context.tree, call.func) is not None
        or last_name(call.func) in MAKES_FUTURE
    )


def tasks_instead(
    context: Context, sites: Sequence[Site], registry: Registry, log_failed: str, deeper: str
) -> Edit:
    """Return the edit that makes tasks, kept in ``registry``, of what one statement gathers.

    ``deeper`` is the indentation that the statement gains.
    """
    file, layout = context.file, context.writer.layout
    statement = sites[0].statement
    if statement is None:
        raise ValueError("only a statement can be replaced")
    indent = file.indent(statement) + deeper
    lines: list[str] = []
    for site in sites:
        margin, made_in = indent, file.parent(site.call)
        if isinstance(made_in, (syntax.ListComp, syntax.GeneratorExp)):
            loop = made_in.for_in
            lines.append(f"{indent}for {file.code(loop.target)} in {file.code(loop.iter)}:")
            margin += layout.step
        task = task_name(context, site)
        made = [f"{task} = {_creation(context, site)}", *registry.lines(task, log_failed)]
        lines += [line for code in made for line in layout.best(code, margin)]
    return context.writer.replace(file.span(statement), lines, indent)


def _creation(context: Context, site: Site) -> str:
    """Return the call that makes the task of ``site``.

    ``gather()`` itself takes what may be no coroutine with ``ensure_future()``.
    """
    asyncio, given = context.additions.module("asyncio"), context.file.code(site.call)
    if not _is_coroutine(context, site.call):
        return f"{asyncio}.ensure_future({given})"
    name = context.writer.name_of_new(site)
    return f"{asyncio}.create_task({given}{', ' * bool(name)}{name})"


def _is_coroutine(context: Context, call: syntax.Call) -> bool:
    """Tell whether ``call`` is surely one of a coroutine function."""
    tree, called = context.tree, call.func
    found = find_helper(tree, called, context.judge.ownership.parse)
    if found is not None or not isinstance(called, syntax.Name):
        return found is not None and found.function.asynchronous
    scope = tree.scope[called].owner(called.value)
    bound = [tree.parent[at] for at in scope.stores.get(called.value, ())] if scope else []
    return bool(bound) and all(
        isinstance(at, syntax.FunctionDef) and at.asynchronous and not at.decorators for at in bound
    )
