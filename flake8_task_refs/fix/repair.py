"""One file through the fixer: read it, repair it, show or write what changed."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.files import FileError, SourceText, decode, read_bytes
from flake8_task_refs.fix.other_files import is_asked_for, is_taken
from flake8_task_refs.fix.project import (
    import_style_for,
    line_length_for,
    oldest_python_for,
    quote_for,
)
from flake8_task_refs.scanning import describe, internal_error, may_hold_findings, scan_text
from flake8_task_refs.writing import write

if TYPE_CHECKING:
    from flake8_task_refs.analysis.finding import Finding
    from flake8_task_refs.fix.engine import Declined
    from flake8_task_refs.options import Settings
    from flake8_task_refs.worklist import Item

_UNUSUAL: Final = re.compile(rb'[\x00-\x1f"\\\x7f]')
OUTSIDE: Final = "this link leads to a file outside the given paths: name it to repair it"


@dataclass(frozen=True, slots=True)
class Job:
    """What is the same for all files of a run. ``shutdown_timeout`` is in seconds, or ``None``.

    ``write`` puts the repaired text into the file; else the file is only read. ``within`` are the
    paths that the user named: a link to a file that lies in none of them is not followed.
    ``line_length`` is the longest line that flake8 was told to allow, in characters.
    """

    settings: Settings
    shutdown_timeout: float | None
    unsafe_fixes: bool
    write: bool
    within: tuple[str, ...] = ()
    line_length: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one file. ``error`` is one line, empty if all went well.

    ``unended`` are those of ``fixed`` whose tasks still have no end, and the codes that say so.
    ``data`` is the whole new content and ``diff`` the change, as bytes in the file's encoding;
    ``data`` is ``None`` if nothing changes.
    """

    name: str
    fixed: tuple[Finding, ...] = ()
    declined: tuple[Declined, ...] = ()
    data: bytes | None = None
    diff: bytes = b""
    error: str = ""
    unended: tuple[tuple[Finding, str], ...] = ()


def repair_file(job: Job, item: Item) -> Report:
    """Repair one file; ``item`` is its name and the codes to repair. Raises nothing."""
    name, codes = item
    try:
        data = read_bytes(name)
        if not codes or not may_hold_findings(data, job.settings):
            return Report(name)
        source = decode(data)
        report, text = repair_text(job, source, name, codes)
        if report.data is not None and _leads_out(name, job.within):
            report, text = _left_alone(report), source.text
        if job.write and report.data is not None:
            write(name, source, text)
    except FileError as error:
        return Report(name, error=str(error))
    return report


def unrepaired(item: Item, reason: str) -> Report:
    """Return the report of a file whose process did not live to make one."""
    return Report(item[0], error=reason)


def _leads_out(name: str, within: tuple[str, ...]) -> bool:
    """Tell whether ``name`` is a link, not named by the user, to a file in none of ``within``."""
    if not within or name in within or not Path(name).is_symlink():
        return False
    target = Path(os.path.realpath(name))
    return not any(target.is_relative_to(os.path.realpath(path)) for path in within)


def _left_alone(report: Report) -> Report:
    """Return ``report`` as one of a file that shall not be changed."""
    from flake8_task_refs.fix.engine import Declined  # noqa: PLC0415

    refused = [Declined(finding, OUTSIDE) for finding in report.fixed]
    declined = sorted([*report.declined, *refused], key=lambda refusal: refusal.finding)
    return Report(report.name, declined=tuple(declined))


def repair_text(
    job: Job, source: SourceText, name: str, codes: tuple[str, ...]
) -> tuple[Report, str]:
    """Repair ``source``, read from the file ``name``; return what was done, and the new text.

    Raises ``FileError`` if the new text cannot be written in the file's encoding.
    """
    scanned = scan_text(job.settings, name, source, codes)
    if scanned.error or not scanned.findings:
        return Report(name, error=scanned.error), source.text
    # Only a file that can create a task is worth the import of libcst.
    from flake8_task_refs.fix.engine import FixSettings, fix_source  # noqa: PLC0415

    settings = FixSettings(
        analysis=job.settings,
        shutdown_timeout=job.shutdown_timeout,
        unsafe_fixes=job.unsafe_fixes,
        line_length=line_length_for(name, job.line_length),
        quote=quote_for(name),
        imports=import_style_for(name),
        python=oldest_python_for(name),
        select=codes,
        keep_imports=Path(name).name == "__init__.py",
        is_taken=partial(is_taken, name),
        is_asked_for=partial(is_asked_for, name),
    )
    try:
        result = fix_source(source.text, settings)
    except SourceError as error:
        return Report(name, error=describe(error, source.text, "repaired")), source.text
    except Exception as error:  # noqa: BLE001 (one file must not end the run for all others)
        return Report(name, error=internal_error(error)), source.text
    fixed, declined = tuple(result.fixed), tuple(result.declined)
    if result.text == source.text:
        return Report(name, fixed, declined), source.text
    data = source.encode(result.text)
    diff = _diff(name, source.data, data)
    return Report(name, fixed, declined, data, diff, unended=result.unended), result.text


def _diff(name: str, before: bytes, after: bytes) -> bytes:
    """Return a unified diff that ``git apply`` and ``patch -p1`` take, from the current directory.

    It works on bytes, so that it fits a file of any encoding and any line ends. It names the file
    where it really is: neither program goes through a link.
    """
    path, here = Path(os.path.realpath(name)), os.path.realpath(".")
    if path.is_relative_to(here):
        path = path.relative_to(here)
    elif not Path(name).is_symlink():
        path = Path(name)
    shown = path.as_posix().lstrip("/")
    hunks = difflib.diff_bytes(
        difflib.unified_diff,
        _split(before),
        _split(after),
        fromfile=_header(f"a/{shown}"),
        tofile=_header(f"b/{shown}"),
    )
    return b"".join(
        line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"
        for line in hunks
    )


def _header(name: str) -> bytes:
    """Return a file's name as git writes it into a diff: quoted if it would break the line."""
    data = os.fsencode(name)
    if not _UNUSUAL.search(data):
        return data
    return b'"' + _UNUSUAL.sub(lambda match: b"\\%03o" % match[0][0], data) + b'"'


def _split(data: bytes) -> list[bytes]:
    """Split at the line feeds and nowhere else, as git and patch do, and keep them."""
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
