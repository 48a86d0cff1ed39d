"""Temporal's workflows, whose event loop holds its tasks strongly: no rule calls one lost.

Each workflow runs in a loop of its own, which keeps what its ``create_task`` makes until that is
done (temporalio/worker/_workflow_instance.py).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flake8_task_refs.analysis.names import Names
    from flake8_task_refs.analysis.outline import Definition
    from flake8_task_refs.analysis.sites import CreationSite
    from flake8_task_refs.analysis.tree import Tree
    from flake8_task_refs.analysis.verdict import Verdict

_LOSING: Final = frozenset({"TSK001", "TSK002", "TSK003"})
_DECORATOR: Final = re.compile(r"@[ \t]*([^\W\d]\w*)((?:\.\w+)*)")
_BASES: Final = re.compile(r"\s*\(([^()]*)")
_WORD: Final = re.compile(r"\w+")


def is_kept_by_loop(names: Names, verdict: Verdict) -> bool:
    """Tell whether ``verdict`` calls a task lost that the loop of a workflow keeps."""
    made = verdict.site
    return (
        verdict.code in _LOSING and made is not None and runs_in_workflow(names, verdict.tree, made)
    )


def runs_in_workflow(names: Names, tree: Tree, site: CreationSite) -> bool:
    """Tell whether the loop of a workflow makes the task of ``site``.

    So it is in a workflow, or in a base of one, but where the class of tasks itself is called.
    """
    outline = names.outline
    if site.path == "asyncio.Task" or not outline.mentions(("temporalio",)):
        return False
    around = outline.enclosing(outline.offset(*tree.position(site.call)))
    return any(outer.kind == "class" and outer.name in _workflows(names) for outer in around)


@lru_cache(maxsize=1)  # the findings of a file come one after another
def _workflows(names: Names) -> frozenset[str]:
    """Return what the file's workflows and their bases are called."""
    outline = names.outline
    classes = [definition for definition in outline.definitions if definition.kind == "class"]
    found = {definition.name for definition in classes if _is_decorated(names, definition)}
    grown = bool(found)
    while grown:
        bases = {
            base
            for definition in classes
            if definition.name in found
            and (match := _BASES.match(outline.code, definition.header)) is not None
            for base in _WORD.findall(match[1])
        }
        grown = not bases <= found
        found |= bases
    return frozenset(found)


def _is_decorated(names: Names, definition: Definition) -> bool:
    """Tell whether one of the decorators of a class is ``temporalio.workflow.defn``."""
    decorators = names.outline.blanked(definition.start, definition.header)
    return any(
        f"{names.module_origin(match[1])}{match[2]}" == "temporalio.workflow.defn"
        for match in _DECORATOR.finditer(decorators)
    )
