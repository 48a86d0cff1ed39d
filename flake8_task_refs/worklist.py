"""What a run reads, as plain data: flake8's configuration, the files, and the codes for each.

flake8 takes as long to load as the analysis does. Where it can, another process asks it, and this
one has time for something else; it then never imports flake8 at all.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from flake8_task_refs.elsewhere import Elsewhere, can_work_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from flake8_task_refs.flake8_config import Flake8
    from flake8_task_refs.options import LintConfig
    from flake8_task_refs.unconfigured import Unconfigured

# A file's name, and the codes that may speak of it.
Item: TypeAlias = tuple[str, tuple[str, ...]]


class _Told(NamedTuple):
    """What is known so far: the configuration, and all of the files, the first, or none yet."""

    config: LintConfig
    items: list[Item] | None = None
    are_all: bool = False


class Worklist:
    """The configuration, and the files to read under it. Both are there when they are asked for."""

    def __init__(
        self,
        options: Sequence[str] = (),
        paths: Sequence[str] = (),
        *,
        meanwhile: Iterable[None] | None = None,
    ) -> None:
        """Ask flake8 what ``flake8 OPTIONS PATHS`` would read in the current directory.

        Without ``paths``, that directory is meant. With ``meanwhile``, another process asks if it
        can, and this one goes through ``meanwhile`` until there is an answer. Raises
        ``ConfigError``, or ``elsewhere.WorkerLostError`` if that process is killed.
        """
        self.paths = paths
        self._items: list[Item] | None = None
        asked = _ask_flake8(options, paths)
        self._news: Generator[_Told] | Elsewhere[_Told] = asked
        if meanwhile is not None and can_work_elsewhere():
            # If there can be no more processes, this one asks.
            with contextlib.suppress(OSError):
                self._news = Elsewhere(asked)
        try:
            if meanwhile is not None and isinstance(self._news, Elsewhere):
                for _ in meanwhile:
                    if self._news.has_begun():
                        break
            self.config = next(self._news).config
        except BaseException:
            self._news.close()
            raise

    def items(self, many: Callable[[list[Item]], None] | None = None) -> list[Item]:
        """Return the files, sorted by name, and the codes that may speak of each.

        ``-`` stands for standard input. A file that two names lead to is there once, by the first
        of them. ``many`` is called, once, as soon as it is clear that there are many files, with
        those that are known by then. Raises ``elsewhere.WorkerLostError``.
        """
        if self._items is None:
            try:
                for _, items, are_all in self._news:
                    if are_all:
                        self._items = items
                    elif many is not None and items is not None:
                        many(items)
            finally:
                self._news.close()
        return self._items or []


def _ask_flake8(options: Sequence[str], paths: Sequence[str]) -> Generator[_Told]:
    flake8 = _flake8(options, paths)
    yield _Told(flake8.config)
    for names, are_all in flake8.find_files():
        items = [(name, flake8.codes(name)) for name in names]
        yield _Told(flake8.config, items, are_all)


def _flake8(options: Sequence[str], paths: Sequence[str]) -> Flake8 | Unconfigured:
    from flake8_task_refs.unconfigured import Unconfigured, is_unconfigured  # noqa: PLC0415

    if is_unconfigured(options):
        return Unconfigured(paths)
    from flake8_task_refs.flake8_config import load  # noqa: PLC0415

    return load(options, paths)
