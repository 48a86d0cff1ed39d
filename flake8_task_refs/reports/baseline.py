"""A baseline: the findings that an old code base has already, so that only new ones fail.

The file is JSON, sorted, one finding a line, without line numbers: it changes only when findings
come or go. Its paths are relative to its own directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flake8_task_refs.reports.identity import Identity
from flake8_task_refs.scanning import Scanned

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from flake8_task_refs.reports.identity import Sources

_VERSION: Final = 1


class BaselineError(ValueError):
    """The baseline cannot be read or written. The text is one line, without the file's name."""


class Baseline:
    """The known findings in one file, and which of them were seen again."""

    def __init__(self, name: str, sources: Sources, codes: Mapping[str, tuple[str, ...]]) -> None:
        """``name`` is the baseline's file; ``sources`` are those of the files that are checked.

        ``codes`` maps the name of each of these files to the codes that it is checked for. Nothing
        is known before ``read``.
        """
        self._file = Path(name)
        self._sources = sources.relative_to(str(self._file.parent))
        self._known: frozenset[Identity] = frozenset()
        self._seen: set[Identity] = set()
        self._codes = codes
        self._unread: set[str] = set()

    def exists(self) -> bool:
        """Tell whether there is a file to read."""
        return _may_exist(self._file)

    def read(self) -> None:
        """Read the file. Raises ``BaselineError``."""
        try:
            content = json.loads(self._file.read_text("utf-8"))
            version = content["version"]
            known = frozenset(Identity(**finding) for finding in content["findings"])
            usable = all(isinstance(finding.path, str) for finding in known)
        except OSError as error:
            raise BaselineError(error.strerror or type(error).__name__) from None
        except (ValueError, TypeError, KeyError, RecursionError):
            usable, version = False, _VERSION
        if version != _VERSION:
            raise BaselineError(f"version {version!r} is not known here")
        if not usable:
            raise BaselineError("not a baseline; write it with --write-baseline")
        self._known = known

    def new_in(self, results: Iterable[Scanned]) -> Iterator[Scanned]:
        """Yield ``results``, those that tell something, without the findings that are known."""
        for scanned in results:
            if scanned.error:
                self._unread.add(scanned.name)
            identities = self._sources.identities(scanned)
            self._seen.update(identities)
            findings = tuple(
                finding
                for finding, identity in zip(scanned.findings, identities, strict=True)
                if identity not in self._known
            )
            yield Scanned(scanned.name, findings, scanned.error)

    @property
    def known(self) -> int:
        """The number of known findings that were seen again."""
        return len(self._seen & self._known)

    @property
    def gone(self) -> int:
        """The number of known findings that were looked for and are no longer there."""
        return len(self._looked_for(self._known - self._seen))

    def _looked_for(self, findings: Collection[Identity]) -> set[Identity]:
        """Return those of ``findings`` that would have been seen if they were still there."""
        # To make a path relative takes its time, and few files have ever had a finding.
        wanted = {posixpath.basename(finding.path) for finding in findings}
        checked = {
            self._sources.path(name): codes
            for name, codes in self._codes.items()
            if os.path.basename(name) in wanted and name not in self._unread  # noqa: PTH119
        }
        return {finding for finding in findings if finding.code in checked.get(finding.path, ())}

    def write(self) -> int:
        """Write what was seen to the file, in one step, and return the number of findings.

        What was not looked for stays, as long as its file exists. Raises ``BaselineError``.
        """
        kept = {
            finding
            for finding in self._known - self._looked_for(self._known)
            if _may_exist(self._file.parent / finding.path)
        }
        findings = sorted(self._seen | kept)
        lines = ",\n".join(f"    {json.dumps(finding._asdict())}" for finding in findings)
        listed = f"[\n{lines}\n  ]" if lines else "[]"
        text = f'{{\n  "version": {_VERSION},\n  "findings": {listed}\n}}\n'
        temporary = self._file.with_name(f".{self._file.name}.new")
        try:
            temporary.write_text(text, "utf-8")
            temporary.replace(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise BaselineError(error.strerror or type(error).__name__) from None
        return len(findings)


def _may_exist(path: Path) -> bool:
    """Tell whether there may be a file at ``path``, which need not be ours to look for."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True
