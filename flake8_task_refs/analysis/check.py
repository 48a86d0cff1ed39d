"""``check_source``: the only pipeline. Every door and every test calls it."""

from __future__ import annotations

import libcst as cst
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider

from flake8_task_refs.analysis.finding import Finding, SourceError
from flake8_task_refs.options import Settings


def check_source(source: str, settings: Settings | None = None) -> list[Finding]:
    """Return the findings of ``source``, in order. Raises ``SourceError`` if it does not parse."""
    try:
        wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    except cst.ParserSyntaxError as error:
        raise SourceError(error.message, error.raw_line, error.raw_column + 1) from None
    positions = wrapper.resolve(PositionProvider)
    parents = wrapper.resolve(ParentNodeProvider)
    found = []
    for node in positions:
        if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
            dotted = wrapper.module.code_for_node(node.func)
            if dotted in {"asyncio.create_task", "asyncio.ensure_future"} or dotted.endswith("loop.create_task"):
                if isinstance(parents[node], cst.Expr):
                    start = positions[node].start
                    found.append(Finding(start.line, start.column + 1, "TSK001", "task is not referenced", ""))
    return sorted(found)
