"""A hook of MkDocs: pages of the rules, made of the catalogue when the site is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

from flake8_task_refs.rules import RULES, Rule, explain

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

OVERVIEW = "rules/index.md"


def path(rule: Rule) -> str:
    """Return the address of a rule's page in the site's sources."""
    return f"rules/{rule.code}.md"


def overview() -> str:
    """Return the page that lists the rules."""
    rows = "\n".join(
        f"| [{rule.code}]({rule.code}.md) | {rule.name} | {'on' if rule.default else 'off'} "
        f"| {rule.fix_safety.partition(':')[0].lower()} | {measured(rule)} |"
        for rule in RULES
    )
    return f"""\
# Rules

A rule that is off speaks only when `select` or `extend-select` names it by four characters or more.
Precision is the share of right findings among findings in real code that were judged by hand.

| code | name | default | fix | precision |
|---|---|---|---|---|
{rows}
"""


def measured(rule: Rule) -> str:
    """Return what was measured of a rule, for a table."""
    return "" if rule.precision is None else f"{rule.precision:.2f} of {rule.sites}"


def on_config(config: MkDocsConfig) -> None:
    """Name the pages in the navigation."""
    pages: list[Any] = [{"Overview": OVERVIEW}]
    pages += [{f"{rule.code} {rule.name}": path(rule)} for rule in RULES]
    for entry in config.nav or []:
        if isinstance(entry, dict) and "Rules" in entry:
            entry["Rules"] = pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    texts = {OVERVIEW: overview()} | {path(rule): explain(rule) for rule in RULES}
    for name, text in texts.items():
        files.append(File.generated(config, name, content=text))
    return files
