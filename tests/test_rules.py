"""The catalogue, tested as data. Its examples are run, so the documentation cannot lie."""

from __future__ import annotations

import re
import sys

import pytest
from commands import ROOT, run

import flake8_task_refs
from flake8_task_refs import Finding, Settings, check_source
from flake8_task_refs.rules import BY_CODE, OFF_CODES, RULES, Rule, codes_named, explain, table

every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)


def _check(source: str, rule: Rule) -> list[Finding]:
    enabled = frozenset() if rule.default else frozenset({rule.code})
    return check_source(source, Settings(enabled_codes=enabled))


def test_codes_and_names_are_well_formed_and_used_once() -> None:
    codes = [rule.code for rule in RULES]
    assert codes == sorted(set(codes))
    assert all(re.fullmatch(r"TSK\d{3}", code) for code in codes)
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", name) for name in names)
    assert list(BY_CODE) == codes


def test_which_rules_are_on() -> None:
    on = {rule.code for rule in RULES if rule.default}
    assert on == {"TSK001", "TSK002", "TSK003", "TSK101", "TSK102", "TSK201", "TSK302"}
    assert set(BY_CODE) - on == OFF_CODES


@every_rule
def test_a_rule_that_is_on_was_right_in_19_of_20_cases(rule: Rule) -> None:
    if rule.precision is None:
        assert rule.sites == 0
        return
    assert rule.sites > 0
    assert 0 <= rule.precision <= 1
    assert rule.precision >= 0.95 or not rule.default


def test_message_names_the_coroutine() -> None:
    assert BY_CODE["TSK001"].text("receive_messages()") == (
        "task running 'receive_messages()' is not referenced and may be garbage-collected; "
        "keep it in a registry"
    )
    assert BY_CODE["TSK001"].text() == (
        "task is not referenced and may be garbage-collected; keep it in a registry"
    )


@pytest.mark.parametrize(
    ("call", "coroutine"),
    [
        ("asyncio.shield(asyncio.create_task(work()))", "work()"),
        ("asyncio.wait_for(asyncio.shield(work()), 5)", "work()"),
        ("asyncio.shield(spawn(work()))", "work()"),
        ("asyncio.shield(spawn(1))", ""),
        ("run(work())", "work()"),
        ("run(work)", ""),
    ],
)
def test_message_names_what_runs_within_a_task_or_a_shield(call: str, coroutine: str) -> None:
    source = f"""
import asyncio
def spawn(coroutine):
    return asyncio.create_task(coroutine)
def run(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, LOOP)
def f():
    {call}
"""
    assert [finding.coroutine for finding in check_source(source)] == [coroutine]


@pytest.mark.parametrize(
    ("rest", "advice"),
    [
        ("await asyncio.wait({get, halt}, return_when=asyncio.FIRST_COMPLETED)", "cancel or await"),
        ("await asyncio.wait([get, halt], timeout=5)", "cancel or await"),
        ("done, rest = await asyncio.wait([get, halt], timeout=5)\n    print(rest)", "cancel or"),
        ("print(get, halt)", "keep it in a registry"),
        ("await asyncio.sleep(5)", "keep it in a registry"),
    ],
)
def test_what_a_wait_leaves_behind_is_no_registry_s(rest: str, advice: str) -> None:
    source = f"""
import asyncio
async def f(queue, stop):
    get = asyncio.create_task(queue.get())
    halt = asyncio.create_task(stop.wait())
    {rest}
"""
    found = check_source(source)
    assert [finding.code for finding in found] == ["TSK002", "TSK002"]
    assert all(advice in finding.message for finding in found)


@pytest.mark.parametrize(
    ("before", "given", "coroutine"),
    [
        ("coro = work(1)", "asyncio.create_task(coro)", "work()"),
        ("coro = self.client.work()", "asyncio.shield(asyncio.create_task(coro))", "work()"),
        ("coro: Coroutine = work(1)", "asyncio.create_task(coro)", "work()"),
        (
            "if self:\n        coro = work(1)\n    else:\n        coro = rest()",
            "asyncio.create_task(coro)",
            "coro",
        ),
        ("coro = coro or work()", "asyncio.create_task(coro)", "coro"),
        ("coro = getattr(self, 'work')()", "asyncio.create_task(coro)", "coro"),
        ("coro = await work()", "asyncio.create_task(coro)", "coro"),
        ("pass", "asyncio.create_task(coro)", "coro"),
        ("pass", "asyncio.create_task(LATER)", "LATER"),
    ],
)
def test_message_names_the_call_that_a_local_is_bound_to(
    before: str, given: str, coroutine: str
) -> None:
    parameters = (
        "self" if before.startswith(("coro = work(1)", "coro:", "coro = self")) else "self, coro"
    )
    source = f"""
import asyncio
LATER = work()
async def f({parameters}):
    {before}
    {given}
"""
    found = [
        (one.coroutine, f" running '{one.coroutine}'" in one.message)
        for one in check_source(source)
    ]
    assert found == [(coroutine, True)]


@every_rule
@pytest.mark.parametrize("left_behind", [False, True])
def test_message_is_one_plain_line(rule: Rule, left_behind: bool) -> None:
    for coroutine in ("", "work()", "a{b}()"):
        text = rule.text(coroutine, left_behind=left_behind)
        assert text.isprintable()
        assert "  " not in text
        assert not text.endswith(".")
        assert coroutine in text
    assert ";" in rule.text(left_behind=left_behind), "says what to do, after what happens"


@every_rule
def test_bad_example_is_flagged(rule: Rule) -> None:
    found = _check(rule.example, rule)
    assert rule.code in {finding.code for finding in found}
    for finding in found:
        assert finding.message == BY_CODE[finding.code].text(finding.coroutine)


@every_rule
def test_good_example_is_silent(rule: Rule) -> None:
    assert _check(rule.use_instead, rule) == []


@every_rule
def test_explanation_has_every_part(rule: Rule) -> None:
    text = explain(rule)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert headings == [
        f"{rule.name} ({rule.code})",
        "What it does",
        "Why is this bad?",
        "Example",
        "Use instead",
        "Fix safety",
        *(["References"] if rule.references else []),
    ]
    assert f"`{rule.code} {rule.text(left_behind=True)}`" in text
    for part in (rule.what, rule.why, rule.example, rule.use_instead, rule.fix_safety):
        assert part in text
    assert ("--extend-select" in text) is not rule.default
    assert rule.fix_safety.partition(": ")[0] in {"Safe", "Unsafe", "Not fixed"}


def test_explanation_tells_what_was_measured() -> None:
    rule = Rule(
        code="TSK999",
        name="some-rule",
        message="task{running} is lost; keep it",
        what="",
        why="",
        example="",
        use_instead="",
        fix_safety="",
        precision=0.95,
        sites=40,
    )
    assert "0.95 of 40 findings" in explain(rule)


def test_table_has_a_row_for_each_rule() -> None:
    rows = table().splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [f"| {rule.code}" for rule in RULES]
    assert [row.endswith("| on |") for row in rows] == [rule.default for rule in RULES]


@pytest.mark.parametrize(
    ("prefixes", "named"),
    [
        ([], set()),
        (["TSK"], set()),
        (["T"], set()),
        (["E", "W"], set()),
        (["TSK3"], {"TSK301", "TSK303", "TSK304"}),
        (["TSK30"], {"TSK301", "TSK303", "TSK304"}),
        (["TSK304"], {"TSK304"}),
        (["E203", "TSK304"], {"TSK304"}),
        (["TSK1"], set()),
        (["TSK0", "TSK001"], set()),
    ],
)
def test_an_off_rule_is_named_by_four_characters_or_more(
    prefixes: list[str], named: set[str]
) -> None:
    assert codes_named(prefixes) == named


def test_catalogue_costs_flake8_nothing_to_import() -> None:
    code = (
        "import sys, flake8_task_refs.rules; print(sorted({'flake8', 'libcst'} & {*sys.modules}))"
    )
    done = run(sys.executable, "-c", code, cwd=ROOT)
    assert done.stdout.decode().strip() == "[]"


def test_public_names_are_imported_on_first_use() -> None:
    code = """\
import sys, flake8_task_refs
before = {"flake8", "libcst"} & {*sys.modules}
found = [getattr(flake8_task_refs, name) for name in flake8_task_refs.__all__]
print(sorted(before), len(found) == len(flake8_task_refs.__all__))
"""
    done = run(sys.executable, "-c", code, cwd=ROOT)
    assert done.stdout.decode().strip() == "[] True", done.stderr.decode()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fix_sauce'"):
        flake8_task_refs.fix_sauce  # noqa: B018
