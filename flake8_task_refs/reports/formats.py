"""Findings as text for people, and as JSON, SARIF and the commands of code forges for machines.

A format takes the results of a run that tell something, and yields pieces of output: text as soon
as it is known, a JSON document at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from flake8_task_refs import __version__
from flake8_task_refs.files import shown
from flake8_task_refs.rules import BY_CODE, RULES, explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flake8_task_refs.reports.identity import Sources
    from flake8_task_refs.reports.terminal import Paint
    from flake8_task_refs.scanning import Scanned


class Format(Protocol):
    """Results in, pieces of output out."""

    def __call__(
        self, results: Iterable[Scanned], sources: Sources, paint: Paint, files_read: int
    ) -> Iterator[str]:
        """Yield the output for ``results``, of ``files_read`` files. ``paint`` colours, or not."""


def text(
    results: Iterable[Scanned], sources: Sources, paint: Paint, files_read: int
) -> Iterator[str]:
    """Yield one line a finding, as flake8 prints it."""
    del sources, files_read
    colon = paint(":", "cyan")
    for scanned in results:
        for finding in scanned.findings:
            where = (
                f"{paint(shown(scanned.name), 'bold')}{colon}{finding.line}{colon}{finding.column}"
            )
            yield f"{where}{colon} {paint(finding.code, 'bold', 'red')} {finding.message}\n"


def github(
    results: Iterable[Scanned], sources: Sources, paint: Paint, files_read: int
) -> Iterator[str]:
    """Yield one workflow command a finding: GitHub shows it at its line of a pull request.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
    """
    del paint, files_read
    for scanned in results:
        path = sources.path(scanned.name)
        if scanned.error:
            where = _github_properties(title="flake8-task-refs", file=path)
            yield f"::error {where}::{_github_data(scanned.error)}\n"
        for finding in scanned.findings:
            where = _github_properties(
                title=f"{finding.code} {BY_CODE[finding.code].name}",
                file=path,
                line=finding.line,
                col=finding.column,
            )
            message = f"{path}:{finding.line}:{finding.column}: {finding.code} {finding.message}"
            yield f"::error {where}::{_github_data(message)}\n"


def _github_data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_properties(**values: str | int) -> str:
    return ",".join(
        f"{key}={_github_data(str(value)).replace(':', '%3A').replace(',', '%2C')}"
        for key, value in values.items()
    )


def json_document(
    results: Iterable[Scanned], sources: Sources, paint: Paint, files_read: int
) -> Iterator[str]:
    """Yield one object: ``findings``, ``errors`` (files that could not be read), ``files_read``."""
    del paint
    findings = []
    errors = []
    for scanned in results:
        path = sources.path(scanned.name)
        if scanned.error:
            errors.append({"path": path, "message": scanned.error})
        for finding, identity in zip(scanned.findings, sources.identities(scanned), strict=True):
            findings.append(
                {
                    "path": path,
                    "line": finding.line,
                    "column": finding.column,
                    "code": finding.code,
                    "name": BY_CODE[finding.code].name,
                    "message": finding.message,
                    "coroutine": finding.coroutine,
                    "scope": identity.scope,
                    "fingerprint": identity.fingerprint,
                }
            )
    yield _dumped(
        {"version": __version__, "files_read": files_read, "findings": findings, "errors": errors}
    )


def gitlab(
    results: Iterable[Scanned], sources: Sources, paint: Paint, files_read: int
) -> Iterator[str]:
    """Yield a Code Quality report.

    https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
    """
    del paint, files_read
    yield _dumped(
        [
            {
                "description": f"{finding.code} {finding.message}",
                "check_name": finding.code,
                "fingerprint": identity.fingerprint,
                "severity": "major",
                "location": {
                    "path": sources.path(scanned.name),
                    "lines": {"begin": finding.line},
                },
            }
            for scanned in results
            for finding, identity in zip(scanned.findings, sources.identities(scanned), strict=True)
        ]
    )


def sarif(
    results: Iterable[Scanned], sources: Sources, paint: Paint, files_read: int
) -> Iterator[str]:
    """Yield a log of SARIF 2.1.0 (OASIS). Columns count characters, as ours do."""
    del paint, files_read
    found: list[dict[str, Any]] = []
    notifications: list[dict[str, Any]] = []
    place = {rule.code: index for index, rule in enumerate(RULES)}
    for scanned in results:
        artifact = {"artifactLocation": _sarif_location(sources.path(scanned.name))}
        if scanned.error:
            notifications.append(
                {
                    "level": "error",
                    "message": {"text": scanned.error},
                    "locations": [{"physicalLocation": artifact}],
                }
            )
        for finding, identity in zip(scanned.findings, sources.identities(scanned), strict=True):
            region = {"startLine": finding.line, "startColumn": finding.column}
            scope = {"logicalLocations": [{"fullyQualifiedName": identity.scope}]}
            found.append(
                {
                    "ruleId": finding.code,
                    "ruleIndex": place[finding.code],
                    "level": "warning",
                    "message": {"text": finding.message},
                    "locations": [
                        {"physicalLocation": {**artifact, "region": region}}
                        | (scope if identity.scope else {})
                    ],
                    "partialFingerprints": {"taskRefs/v1": identity.fingerprint},
                }
            )
    rules = [
        {
            "id": rule.code,
            "name": "".join(word.capitalize() for word in rule.name.split("-")),
            "shortDescription": {"text": rule.text()},
            "fullDescription": {"text": rule.what},
            "help": {"text": rule.why, "markdown": explain(rule)},
            "defaultConfiguration": {"enabled": rule.default, "level": "warning"},
        }
        | ({"helpUri": rule.references[0]} if rule.references else {})
        for rule in RULES
    ]
    driver = {"name": "flake8-task-refs", "semanticVersion": __version__, "rules": rules}
    invocation: dict[str, Any] = {"executionSuccessful": not notifications}
    if notifications:
        invocation["toolExecutionNotifications"] = notifications
    yield _dumped(
        {
            "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {"driver": driver},
                    "columnKind": "unicodeCodePoints",
                    "invocations": [invocation],
                    "results": found,
                }
            ],
        }
    )


def _sarif_location(path: str) -> dict[str, str]:
    """Return ``path`` as a URI: relative to the root of the sources, unless it leaves them."""
    from urllib.parse import quote  # noqa: PLC0415 (rarely needed, and slow to import)

    written = quote(path.encode("utf-8", "surrogateescape"))
    if path.startswith("/"):
        return {"uri": f"file://{written}"}
    if path.startswith("../"):
        return {"uri": written}
    return {"uri": written, "uriBaseId": "%SRCROOT%"}


def _dumped(content: object) -> str:
    import json  # noqa: PLC0415 (the usual format is text)

    return json.dumps(content, indent=2) + "\n"


FORMATS: Final[dict[str, Format]] = {
    "text": text,
    "json": json_document,
    "github": github,
    "gitlab": gitlab,
    "sarif": sarif,
}
