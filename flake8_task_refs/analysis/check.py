"""``check_source``: the only pipeline. Every door and every test calls it.

sieve -> outline -> regions -> (names, sites, ownership, verdict) -> findings. A parser sees only
the regions that mention a task; a region that does not parse alone is read with its whole file.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from flake8_task_refs.analysis.damage import may_be_damaged
from flake8_task_refs.analysis.excerpt import Detail, Excerpt, RegionLines, Unseen
from flake8_task_refs.analysis.finding import TOO_COMPLEX, Finding, SourceError
from flake8_task_refs.analysis.micropython import is_micropython
from flake8_task_refs.analysis.outline import ANNOTATION, Region, normalise_newlines, skim
from flake8_task_refs.analysis.python_parser import syntax_error
from flake8_task_refs.analysis.sieve import mentions, word_offsets
from flake8_task_refs.options import Settings
from flake8_task_refs.rules import BY_CODE, RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from flake8_task_refs.analysis.sites import CreationSite, Wrapper
    from flake8_task_refs.analysis.syntax import Node
    from flake8_task_refs.analysis.tree import Tree
    from flake8_task_refs.analysis.verdict import Judge, Verdict

_Answer = TypeVar("_Answer")

_ON = frozenset(rule.code for rule in RULES if rule.default)
# Mentions of a task in one function: each is followed through all of it.
_MAX_SITES = 2000
_MAX_SITES_OF_FILE = 3000
# Functions that hand on a task of one that hands on a task of one ...
_MAX_WRAPPERS = 20
# Excerpts of one region, each of which answers one question more.
_MAX_LOOKS = 5
# Characters of a region that costs less to parse as it is than to choose from.
_SHORT = 1_500
_KEEPS_EVERY_TASK = re.compile(r"\.set_task_factory\(\s*([\w.]+)")
# A container, and the name of what is put into it, or a task that is made there and then.
_PUTS_IN = re.compile(
    r"(\b\w+|)(?:\[[^\]\n]*\])?\.(?:add|append)\(\s*(?:(\w+)\s*\)|(?:\w+\.)*Task\()"
)


def check_source(source: str, settings: Settings | None = None) -> list[Finding]:
    """Return the findings of ``source`` in source order, ``# noqa`` comments honoured.

    ``source`` is decoded text with any newlines, without a byte-order mark. Off-by-default rules
    speak only if ``settings.enabled_codes`` names them. Raises ``SourceError`` if ``source``
    mentions a task but is not valid Python.
    """
    try:
        return check_regions(normalise_newlines(source), settings or Settings())
    except RecursionError:
        raise SourceError(TOO_COMPLEX) from None


def check_file(source: str, settings: Settings, codes: Container[str]) -> list[Finding]:
    """Return the findings of ``source`` that have one of ``codes``, as ``check_source`` does.

    If there are any, ``SourceError`` is raised as well where another part of ``source`` is not
    valid Python, for flake8 checks no such file; in a long one, where there is a sign of that.
    """
    try:
        found, may_be_broken = _check(normalise_newlines(source), settings)
    except RecursionError:
        raise SourceError(TOO_COMPLEX) from None
    findings = [finding for finding in found if finding.code in codes]
    broken = syntax_error(source) if findings and may_be_broken else None
    if broken is not None:
        raise broken
    return findings


def check_regions(text: str, settings: Settings, *, whole_file: bool = False) -> list[Finding]:
    """Check ``text`` (newlines normalised) region by region, or as one region."""
    return _check(text, settings, whole_file=whole_file)[0]


def _check(
    text: str, settings: Settings, *, whole_file: bool = False
) -> tuple[list[Finding], bool]:
    """Return the findings of ``text``, and whether what was not parsed may be no Python."""
    from flake8_task_refs.analysis.noqa import unsilenced  # noqa: PLC0415

    offsets, may_rename = mentions(text, settings)
    if not offsets:
        return [], False
    module = Module(text, settings, whole_file=whole_file, may_rename=may_rename)
    try:
        findings = module.findings(offsets)
        may_be_broken = bool(findings) and may_be_damaged(module.outline)
    finally:
        module.release()
    kept = findings if settings.disable_noqa else unsilenced(findings, text)
    return kept, may_be_broken


@dataclass(frozen=True, eq=False)
class Judged:
    """A whole file as the pipeline sees it: one tree, and each finding with its verdict.

    ``judge`` answers further questions about that tree: names, owners, lifecycles.
    """

    judge: Judge
    verdicts: dict[Finding, Verdict]

    @property
    def tree(self) -> Tree:
        """The tree that every verdict's nodes belong to."""
        return self.judge.ownership.tree


def judge_source(text: str, settings: Settings) -> Judged | None:
    """Judge ``text`` (newlines normalised) as one tree, for the fixer; None if nothing is found.

    The findings are those of ``check_source``. Raises ``SourceError`` if ``text`` mentions a task
    but is not valid Python.
    """
    from flake8_task_refs.analysis.noqa import unsilenced  # noqa: PLC0415

    offsets, may_rename = mentions(text, settings)
    if not offsets:
        return None
    try:
        module = Module(text, settings, whole_file=True, may_rename=may_rename)
        judged = module.judged(offsets)
    except RecursionError:
        raise SourceError(TOO_COMPLEX) from None
    if judged is None or settings.disable_noqa:
        return judged
    kept = unsilenced(list(judged.verdicts), text)
    return Judged(judged.judge, {finding: judged.verdicts[finding] for finding in kept})


class Module:
    """One file on its way through the stages.

    For findings, a question is put to a region's tree, which shows an excerpt of it; if that is not
    enough, it is put again to a tree that shows more. Whoever asks for trees gets complete ones.
    """

    def __init__(
        self, text: str, settings: Settings, *, whole_file: bool = False, may_rename: bool = True
    ) -> None:
        """Take the source, newlines normalised, and what ``sieve.mentions`` says of renaming.

        Its methods raise ``SourceError``.
        """
        # Imported here, not by whoever imports check_source: most files never get here.
        from flake8_task_refs.analysis.names import Names  # noqa: PLC0415
        from flake8_task_refs.analysis.sites import Sites  # noqa: PLC0415

        self.settings = settings
        self.outline = skim(text)
        self.names = Names(self.outline, settings)
        self.sites = Sites(self.names, may_rename=may_rename)
        self._is_one = whole_file  # somebody asked for all of the file as one region
        self._whole = Region(0, len(text)) if whole_file else None
        self._in_excerpts = True
        self._marks: dict[Region, set[int]] = {}
        self._details: dict[Region, Detail] = {}
        self._looks: Counter[Region] = Counter()
        self._lines: dict[Region, RegionLines] = {}
        self._trees: dict[Region, Tree] = {}
        self._made: list[Tree] = []  # those that show too little, too
        self._unreadable: set[Region] = set()
        self._sites: dict[Tree, list[CreationSite]] = {}

    def findings(self, offsets: list[int]) -> list[Finding]:
        """Return the findings around ``offsets``, the places that mention a task."""
        if self.keeps_every_task():
            return []
        found: set[Finding] = set()
        try:
            for region in self._all_regions(offsets):
                found.update(finding for finding, _ in self._ask(self._verdicts_of, region))
        except SourceError:
            if is_micropython(self.outline):
                return []
            raise
        # Asked last: few files have findings.
        return [] if found and is_micropython(self.outline) else sorted(found)

    def release(self) -> None:
        """Give up all trees, and the outline: nobody will ask them anything any more.

        What refers to itself is freed only when Python looks for garbage, which costs more than to
        undo the cycles here.
        """
        for tree in self._made:
            tree.release()
        self.outline.release()

    def verdicts(self, offsets: list[int]) -> dict[Finding, list[Verdict]]:
        """Return the findings around ``offsets``, each with the verdicts that it stands for."""
        found: dict[Finding, list[Verdict]] = {}
        if not self._is_spared():
            for tree in self.trees(offsets):
                for finding, verdict in self._verdicts_of(tree):
                    found.setdefault(finding, []).append(verdict)
        return found

    def judged(self, offsets: list[int]) -> Judged | None:
        """Return the findings and verdicts of the whole file, None if there are none."""
        if self._is_spared():
            return None
        for tree in self.trees(offsets):
            judge = self.judge(tree)
            found = self._verdicts_of(tree, judge)
            return Judged(judge, dict(sorted(found, key=lambda pair: pair[0]))) if found else None
        return None

    def trees(self, offsets: list[int]) -> dict[Tree, None]:
        """Return the trees that can hold creation sites, those around ``offsets`` first."""
        if self._in_excerpts:
            self._in_excerpts = False
            self._trees.clear()
        return dict.fromkeys(self._tree(region) for region in self._all_regions(offsets))

    # -- regions ----------------------------------------------------------------------------

    def _all_regions(self, offsets: list[int]) -> dict[Region, None]:
        """Return the regions that can hold creation sites, those around ``offsets`` first."""
        self._refuse_too_many(offsets)
        regions = self._regions(offsets)
        # Other names for a creator, then functions of the file that hand a new task on.
        regions |= self._regions_naming(self.sites.aliases)
        known: set[tuple[str, str]] = set()
        for _ in range(_MAX_WRAPPERS):
            wrappers = self._wrappers(regions)
            if known >= wrappers.keys():
                break
            known |= wrappers.keys()
            if not wrappers.keys() <= self.sites.wrappers.keys():
                self.sites.wrappers = wrappers | self.sites.wrappers
                self._sites.clear()
            regions |= self._regions_naming(sorted({name for _, name in wrappers}))
        return regions

    def _refuse_too_many(self, offsets: list[int]) -> None:
        """Raise ``SourceError`` where following each mention of a task would take minutes."""
        if len(offsets) > _MAX_SITES:
            counts = Counter(self.outline.region(at) for at in offsets if self.outline.is_code(at))
            if counts.total() > _MAX_SITES_OF_FILE or max(counts.values(), default=0) > _MAX_SITES:
                raise SourceError(TOO_COMPLEX)

    def _wrappers(self, regions: Iterable[Region]) -> dict[tuple[str, str], Wrapper]:
        found: dict[tuple[str, str], Wrapper] = {}
        for region in regions:
            for key, wrapper in self._ask(self._wrappers_in, region).items():
                if key not in found or wrapper.path == "wrapper":
                    found[key] = wrapper
        if any(owner for owner, _ in found):
            from flake8_task_refs.analysis.inherited import with_inherited  # noqa: PLC0415

            return with_inherited(self.outline, found)
        return found

    def _wrappers_in(self, tree: Tree) -> dict[tuple[str, str], Wrapper]:
        return self.judge(tree).wrappers(self.sites_in(tree))

    def _regions(self, offsets: Iterable[int]) -> dict[Region, None]:
        """Return the regions around ``offsets``, comments and strings left out, and mark these."""
        found: dict[Region, None] = {}
        for at in offsets:
            if self.outline.is_code(at):
                region = self._whole or self.outline.region(at)
                found[region] = None
                marks = self._marks.setdefault(region, set())
                if at not in marks:
                    marks.add(at)
                    if self._in_excerpts and self._whole is None:
                        self._trees.pop(region, None)
        return found

    def _regions_naming(self, names: Iterable[str]) -> dict[Region, None]:
        source = self.outline.source
        offsets = (at for name in names for at in word_offsets(source, name))
        return self._regions(at for at in offsets if not source.endswith("def ", 0, at))

    # -- their trees ------------------------------------------------------------------------

    def _ask(self, question: Callable[[Tree], _Answer], region: Region) -> _Answer:
        """Put ``question`` to the tree of ``region``, which shows as much as that needs."""
        while True:
            try:
                return question(self._tree(region))
            except Unseen as unseen:  # noqa: PERF203
                self._look_closer(unseen.region, unseen.detail)

    def _look_closer(self, region: Region, detail: Detail) -> None:
        """Have the next tree of ``region`` show ``detail``, too; everything if it is of no use."""
        del self._trees[region]
        self._looks[region] += 1
        known = self._details.get(region, Detail())
        more = known | detail
        enough = more != known and self._looks[region] < _MAX_LOOKS
        self._details[region] = more if enough else Detail(everything=True)

    def _tree(self, region: Region) -> Tree:
        """Return what is known of ``region``. Raises ``SourceError`` if the file is not valid."""
        tree = self._trees.get(region)
        if tree is None:
            tree = self._trees[region] = self._parsed(region)
            self._made.append(tree)
        return tree

    def _parsed(self, region: Region) -> Tree:
        from flake8_task_refs.analysis.tree import Tree  # noqa: PLC0415

        if region is self._whole:
            if self._in_excerpts and not self._is_one:
                # The skim was fooled: nothing but that speaks for libcst's parser.
                with contextlib.suppress(SourceError):
                    return Tree(self.outline, region, light=True)
            return Tree(self.outline, region)
        detail = self._details.get(region, Detail())
        if self._in_excerpts and not detail.everything:
            if region.end - region.start <= _SHORT:
                # If nobody can read it, an excerpt may leave out what is odd.
                with contextlib.suppress(SourceError):
                    return Tree(self.outline, region, light=True)
            lines = self._lines.get(region)
            if lines is None:
                lines = self._lines[region] = RegionLines(self.outline, region)
            try:
                excerpt = Excerpt(lines, self._marks.get(region, ()), detail)
                return Tree(self.outline, region, excerpt, light=True)
            except SourceError:
                self._details[region] = Detail(everything=True)
        try:
            return Tree(self.outline, region, light=self._in_excerpts)
        except SourceError:
            # The skim was fooled, or the file is not Python, or of a newer one: all of it tells.
            self._whole = Region(0, len(self.outline.source))
            return self._tree(self._whole)

    def helper(self, offset: int) -> Tree | None:
        """Return the tree around a helper function, None if it does not parse."""
        region = self._whole or self.outline.region(offset)
        if region in self._unreadable:
            return None
        try:
            return self._tree(region)
        except SourceError:
            self._unreadable.add(region)
            return None

    # -- questions --------------------------------------------------------------------------

    def sites_in(self, tree: Tree) -> list[CreationSite]:
        """Return the creation sites of ``tree``, in source order."""
        found = self._sites.get(tree)
        if found is None:
            found = self._sites[tree] = [
                site for site in self.sites.find(tree) if self._is_of(tree, site.call)
            ]
        return found

    def _is_of(self, tree: Tree, node: Node) -> bool:
        """Tell whether ``node`` is judged in ``tree``.

        A top-level statement may hold functions, which are regions of their own.
        """
        outline, region = self.outline, tree.region
        if region == self._whole or not tree.is_in_function(node):
            return True
        if any(outer.kind == "def" for outer in outline.enclosing(region.start)):
            return True
        # The outline may part a call from the word that it is marked at.
        word = getattr(getattr(node, "func", node), "attr", node)
        return any(
            outline.region(outline.offset(*tree.position(at))) == region for at in (word, node)
        )

    def judge(self, tree: Tree) -> Judge:
        """Return a judge of the sites of ``tree``."""
        from flake8_task_refs.analysis.ownership import Ownership  # noqa: PLC0415
        from flake8_task_refs.analysis.verdict import Judge  # noqa: PLC0415

        ownership = Ownership(tree, self.names, self.sites, self.helper)
        return Judge(ownership, _ON | self.settings.enabled_codes)

    def _verdicts_of(self, tree: Tree, judge: Judge | None = None) -> list[tuple[Finding, Verdict]]:
        verdicts = (judge or self.judge(tree)).verdicts(self.sites_in(tree))
        if verdicts and self.outline.mentions(("temporalio",)):
            from flake8_task_refs.analysis.workflows import is_kept_by_loop  # noqa: PLC0415

            verdicts = [one for one in verdicts if not is_kept_by_loop(self.names, one)]
        return [
            (
                Finding(
                    *verdict.tree.position(verdict.node),
                    verdict.code,
                    BY_CODE[verdict.code].text(verdict.coroutine, left_behind=verdict.left_behind),
                    verdict.coroutine,
                ),
                verdict,
            )
            for verdict in verdicts
            if verdict.site is not None or self._is_of(tree, verdict.node)
        ]

    def _is_spared(self) -> bool:
        """Tell whether the loop of this file holds its tasks strongly."""
        return self.keeps_every_task() or is_micropython(self.outline)

    def keeps_every_task(self) -> bool:
        """Tell whether the file installs a task factory that puts every task into a container."""
        if "set_task_factory" not in self.outline.source:
            return False
        for match in _KEEPS_EVERY_TASK.finditer(self.outline.code):
            name = match[1].rsplit(".", 1)[-1]
            for definition in self.outline.definitions:
                if definition.name == name and definition.kind == "def":
                    body = self.outline.code[definition.header : definition.end]
                    if any(
                        (not put[2] or re.search(rf"\breturn {put[2]}\b", body))
                        and not self._is_weak(put[1])
                        for put in _PUTS_IN.finditer(body)
                    ):
                        return True
        return False

    def _is_weak(self, container: str) -> bool:
        """Tell whether all that the file calls ``container`` holds its elements weakly."""
        made = rf"\b{container}[ \t]*{ANNOTATION}=[ \t]*\(?\s*(\w+)((?:\.\w+)*)"
        paths = [
            f"{self.names.module_origin(match[1])}{match[2]}"
            for match in re.finditer(made, self.outline.code)
        ]
        return bool(container and paths) and set(paths) == {"weakref.WeakSet"}
