"""What a run reads, as plain data: flake8's configuration, the files, and the codes for each.

flake8 takes as long to load as the analysis does. Where it can, another process asks it, and this
one has time for something else; it then never imports flake8 at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from flake8_task_refs.processes import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flake8_task_refs.options import Settings

# A file's name, and the codes that may speak of it.
Item: TypeAlias = tuple[str, tuple[str, ...]]


class ConfigError(ValueError):
    """The options or a configuration file cannot be used. The text is one line."""


@dataclass(frozen=True, slots=True)
class LintConfig:
    """What flake8's configuration says about a run.

    ``jobs`` is the number of processes allowed, at least one; ``color`` is ``auto``, ``always`` or
    ``never``; ``line_length`` is the ``max-line-length`` in characters, None if none was set;
    ``stdin_name`` is what to call standard input.
    """

    settings: Settings
    jobs: int
    color: str
    line_length: int | None
    stdin_name: str


class _Told(NamedTuple):
    """What is known so far: the configuration, and none, the first, or all of the files."""

    config: LintConfig
    items: list[Item]
    are_all: bool


class Worklist:
    """The configuration, and the files to read under it. Both are there when they are asked for."""

    def __init__(
        self,
        options: Sequence[str] = (),
        paths: Sequence[str] = (),
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Ask flake8 what ``flake8 OPTIONS PATHS`` would read in the current directory.

        Without ``paths``, that directory is meant. ``meanwhile`` is done while another process
        asks; it is not called where there is none. Raises ``ConfigError``.
        """
        self.paths = paths
        news = _ask_flake8(options, paths)
        if meanwhile is not None:
            news, is_elsewhere = elsewhere(news)
            if is_elsewhere:
                meanwhile()
        self._news = news
        self.config = next(news).config

    def items(self, many: Callable[[list[Item]], None] | None = None) -> list[Item]:
        """Return the files, sorted by name, and the codes that may speak of each. Ask once.

        ``-`` stands for standard input. A file that two names lead to is there once, by the first
        of them. ``many`` is called, once, as soon as it is clear that there are many files, with
        those that are known by then.
        """
        items: list[Item] = []
        # To the end, so that the other process is gone.
        for _, items, are_all in self._news:
            if not are_all and many is not None:
                many(items)
        return items


def _ask_flake8(options: Sequence[str], paths: Sequence[str]) -> Iterator[_Told]:
    from flake8_task_refs.flake8_config import load  # noqa: PLC0415

    flake8 = load(options, paths)
    yield _Told(flake8.config, [], are_all=False)
    for names, are_all in flake8.find_files():
        items = [(name, flake8.codes(name)) for name in names]
        yield _Told(flake8.config, items, are_all)
