"""The page: well-formed, alone in the world, safe from what user code says, and drawn."""

from __future__ import annotations

import re
import shutil
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from commands import ROOT, run
from hostile import FILE, NAMES, SOURCE

from flake8_task_refs.files import decode
from flake8_task_refs.map.inventory import MappedFile, TaskMap, map_text, task_map
from flake8_task_refs.map.page import render
from flake8_task_refs.map.wording import printable
from flake8_task_refs.options import Settings

if TYPE_CHECKING:
    from pathlib import Path

# https://html.spec.whatwg.org/multipage/syntax.html#void-elements
VOID = {"meta", "input", "wbr"}


class Reader(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attrs)))
        if tag != "wbr":
            self.texts.append(" ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [at for _, at in self.elements if name in (at.get("class") or "").split()]


@pytest.fixture(scope="module")
def everything() -> TaskMap:
    return task_map([str(ROOT / "fixtures")], ["--isolated"])


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> TaskMap:
    monkeypatch.chdir(ROOT / "fixtures" / "map")
    return task_map(["shop"], ["--isolated"])


def hostile() -> TaskMap:
    file = map_text(Settings(), FILE, decode(SOURCE.encode()), ("TSK001",))
    assert [task.name for task in file.tasks] == list(NAMES)
    return TaskMap((file, MappedFile("<i>\udcff", error="<u>no</u>")))


def test_it_shows_every_task(everything: TaskMap) -> None:
    page = Reader(render(everything))
    summary = everything.summary()
    shown = page.of_class("task")
    assert len(shown) == summary["tasks"] > 500
    states = [at["data-state"] for at in shown]
    assert {name: states.count(name) for name in summary["states"]} == summary["states"]


def test_each_line_leads_to_an_end(shop: TaskMap) -> None:
    page = Reader(render(shop))
    numbers: set[str] = set()
    leading: set[str] = set()
    for _, at in page.elements:
        if "data-end" in at:
            numbers.add(str(at["data-end"]))
        elif "data-ends" in at:
            assert at["data-ends"]
            leading |= set(str(at["data-ends"]).split())
    assert leading == numbers


def test_it_says_what_is_wrong_in_words(shop: TaskMap) -> None:
    text = Reader(render(shop)).text
    for words in (
        "tasks 7 ",
        "findings \N{HEAVY MULTIPLICATION X} 2 ",
        "open questions ? 2 ",
        "TSK001 task running 'poll_inbox()' is not referenced",
        "finding: mail.poll_inbox()",
        "open question: self._audit()",
        "settled: refresh_prices()",
        "nothing in this file ends it",
        "class Stock",
        "Stock.close() cancels, awaits",
        "errors heard by its own except in refresh_prices()",
    ):
        assert words in text, words


def test_what_user_code_says_is_text() -> None:
    plain = render(hostile())
    page = Reader(plain)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not {"img", "i", "u"} & {tag for tag, _ in page.elements}
    assert not [name for _, at in page.elements for name in at if name.startswith("on")]
    for said in (*NAMES, FILE, "<u>no</u>", "<i>\\udcff"):
        assert " ".join(printable(said).split()) in page.text
    # What Jinja2 would compute, it has not.
    assert "49" not in page.text
    assert plain.isascii()


def test_user_code_stays_within_its_attribute() -> None:
    texts = [at["data-text"] for at in Reader(render(hostile())).of_class("task")]
    for name, text in zip(NAMES, texts, strict=True):
        assert printable(name).lower() in str(text)


def test_it_needs_no_network(everything: TaskMap) -> None:
    plain = render(everything)
    page = Reader(plain)
    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    assert not [at for _, at in page.elements if {"src", "href", "action", "style"} & set(at)]
    policy = next(at["content"] for _, at in page.elements if at.get("http-equiv"))
    assert str(policy).startswith("default-src 'none';")
    style = re.search(r"<style>(.*?)</style>", plain, re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import|@font-face", style[1])


def test_the_same_tasks_give_the_same_page(shop: TaskMap) -> None:
    assert render(shop) == render(task_map(["shop"], ["--isolated"], jobs=2))


def test_a_large_map_unfolds_only_the_files_with_findings(everything: TaskMap) -> None:
    shown = [file for file in everything.files if file.tasks or file.other_findings]
    modules = Reader(render(everything)).of_class("module")
    assert len(modules) == len(shown)
    for at, file in zip(modules, shown, strict=True):
        found = any(task.findings for task in file.tasks) or bool(file.other_findings)
        assert ("open" in at) == found, file.name


def test_a_small_map_unfolds_everything(shop: TaskMap) -> None:
    modules = Reader(render(shop)).of_class("module")
    assert len(modules) == 3
    assert all("open" in at for at in modules)


def test_an_empty_map_is_a_page() -> None:
    assert "No tasks." in Reader(render(TaskMap(()))).text


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_can_be_told_from_its_background_in_both_schemes() -> None:
    style = (ROOT / "flake8_task_refs" / "map" / "page.css").read_text("utf-8")
    schemes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6});", scheme))
        pairs = [(ink, paper) for ink in ("ink", "quiet") for paper in ("page", "card")]
        pairs += [
            (ink, f"{state}-card") for state in ("finding", "open") for ink in ("ink", "quiet")
        ]
        pairs += [(state, f"{state}-card") for state in ("finding", "open")]
        pairs += [(state, "page") for state in ("finding", "open", "settled")]
        for ink, paper in pairs:
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def drawn(page: str, directory: Path) -> str:
    """Return the page after a browser has run its script."""
    assert CHROMIUM is not None
    path = directory / "map.html"
    path.write_text(page, "ascii")
    done = run(
        CHROMIUM,
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update"),
        f"--user-data-dir={directory / 'profile'}",
        *("--window-size=1400,900", "--virtual-time-budget=2000", "--dump-dom"),
        path.as_uri(),
        cwd=directory,
    )
    return done.stdout.decode()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_draws_a_line_to_each_task_and_from_it(shop: TaskMap, tmp_path: Path) -> None:
    after = Reader(drawn(render(shop), tmp_path))
    tasks = after.of_class("task")
    assert len(tasks) == 7
    ends = sum(len(str(at["data-ends"]).split()) for at in tasks)
    paths = [at for tag, at in after.elements if tag == "path"]
    assert len(paths) == len(tasks) + ends
    assert all(re.fullmatch(r"M[\d.-]+ [\d.-]+C[\d. -]+", str(at["d"])) for at in paths)
    assert not [at for _, at in after.elements if at.get("id") == "tools" and "hidden" in at]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_filters(shop: TaskMap, tmp_path: Path) -> None:
    # As a user types: the page's own policy lets a test do no more than its script does.
    typing = (
        "const box = document.getElementById('search'); box.value = 'Stock AUDIT';"
        "box.dispatchEvent(new Event('input'));"
    )
    page = render(shop).replace("</script>", f"{typing}</script>")
    after = Reader(drawn(page, tmp_path))
    visible = [at for at in after.of_class("task") if "hidden" not in at]
    assert [str(at["data-text"]).split()[2] for at in visible] == ["self._audit()"]
    assert len([at for at in after.of_class("module") if "hidden" not in at]) == 1
    assert "1 task shown" in after.text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_runs_nothing_that_user_code_says(tmp_path: Path) -> None:
    after = drawn(render(hostile()), tmp_path)
    page = Reader(after)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert unescape(NAMES[0]) in page.text
