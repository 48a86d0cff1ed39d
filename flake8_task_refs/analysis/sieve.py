"""The first stage: can this source hold a finding at all? Standard library only.

Two questions, the cheaper first. ``may_create_tasks`` looks for plain words in the undecoded
bytes, which costs little more than reading them; ``mentions`` then finds the places in a source
that passed. The words are those of RULES: the task creators, asyncio's aggregates, the
done-callback, and what the settings add.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from flake8_task_refs.options import Settings

# Words that create a task wherever they stand: called, handed over, or given another name.
CREATOR_WORDS: Final = ("create_task", "ensure_future")
# Words that speak only when called, and only in a file that mentions asyncio at all.
_CALLED_WORDS: Final = (
    "Task(",
    "gather(",
    "shield(",
    "run_coroutine_threadsafe(",
    "wait(",
    "wait_for(",
    "add_done_callback(",
)
# `await asyncio.gather(...)` is the usual and the right use; it need not be parsed.
_AWAITED: Final = ("await ", "await asyncio.")


def _creators(settings: Settings) -> tuple[str, ...]:
    return (*CREATOR_WORDS, *(path.rsplit(".", 1)[-1] for path in settings.task_factories))


@lru_cache(maxsize=32)
def _words(settings: Settings) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    creators = tuple(word.encode() for word in _creators(settings))
    return creators, tuple(word.encode() for word in _CALLED_WORDS)


def may_create_tasks(source: str | bytes, settings: Settings | None = None) -> bool:
    """Tell whether ``source`` (text, or a file's bytes) mentions anything a rule speaks of."""
    data = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    creators, called = _words(settings or Settings())
    if any(word in data for word in creators):
        return True
    return b"asyncio" in data and any(word in data for word in called)


def mentions(source: str, settings: Settings) -> list[int]:
    """Return where ``source`` may hold a creation site, as ascending offsets.

    Comments and strings are not told apart here; the outline does that.
    """
    found = [at for word in _creators(settings) for at in word_offsets(source, word)]
    if "asyncio" in source:
        for word in _CALLED_WORDS:
            offsets = word_offsets(source, word)
            found += [at for at in offsets if not source.endswith(_AWAITED, 0, at)]
    return sorted(set(found))


def word_offsets(source: str, word: str) -> list[int]:
    """Return where ``word`` stands in ``source`` as a whole name, or as one that is called."""
    found: list[int] = []
    at = source.find(word)
    while at >= 0:
        end = at + len(word)
        if not _continues(source, at - 1) and (word[-1] == "(" or not _continues(source, end)):
            found.append(at)
        at = source.find(word, end)
    return found


def _continues(source: str, at: int) -> bool:
    """Tell whether the character at ``at`` is part of a name."""
    return 0 <= at < len(source) and (source[at].isalnum() or source[at] == "_")
