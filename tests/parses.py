"""What the analysis has parsed: the texts, in order, whichever parser reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from flake8_task_refs.analysis import python_parser, tree

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable

    import pytest


def note_parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that every text is added to that is parsed from now on.

    A text that CPython's parser does not read is given to libcst's, and stands there twice.
    """
    texts: list[str] = []
    light, full = python_parser.python_tree, cst.parse_module

    def noted_light(text: str) -> ast.Module:
        texts.append(text)
        return light(text)

    def noted_full(text: str) -> cst.Module:
        texts.append(text)
        return full(text)

    monkeypatch.setattr(tree, "python_tree", noted_light)
    monkeypatch.setattr(cst, "parse_module", noted_full)
    return texts


def parsed_texts(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is parsed while ``work`` is done."""
    with monkeypatch.context() as patches:
        texts = note_parses(patches)
        work()
    return texts
