"""What documents point to is there: files, headings, the paths they name; repeated facts agree."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.M)
ROOMS = r"(?:hw|emulator|coincidence|daq|recon|gui|tests|benchmarks|docs)"
NAMED = re.compile(rf"`({ROOMS}/[\w./-]+)`")
PLACEHOLDER = re.compile(r"/[A-Z]+\.py$")
HISTORY = ("CHANGELOG.md", "docs/adr/")
"""They say what was where at the time."""


def _tracked(pattern: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    found = listed.stdout.split() or [str(p.relative_to(ROOT)) for p in ROOT.glob(f"**/{pattern}")]
    return sorted(name for name in found if (ROOT / name).exists())


PAGES = _tracked("*.md")


@cache
def _prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


@cache
def _anchors(page: Path) -> set[str]:
    """Return what a page's headings can be linked by, as the site and code hosts make them."""
    found: dict[str, int] = {}
    names = set()
    for heading in HEADING.findall(_prose(page)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        names.add(f"{anchor}-{found[anchor]}" if anchor in found else anchor)
        found[anchor] = found.get(anchor, 0) + 1
    return names


def _broken(page: Path) -> list[str]:
    """Return the page's relative links that lead nowhere."""
    broken = []
    for link in LINK.findall(_prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_or_a_heading_of_the_repository(page: str) -> None:
    assert _broken(ROOT / page) == []


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith(HISTORY)])
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    named = NAMED.findall((ROOT / page).read_text(encoding="utf-8"))
    gone = sorted({n for n in named if not (PLACEHOLDER.search(n) or (ROOT / n).exists())})
    assert gone == []


def test_a_link_to_a_missing_file_or_heading_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `a.b` thing\n[a](gone.md) [b](#one-ab-thing) [c](#two) [d](page.md#two)")
    assert _broken(page) == ["gone.md", "#two", "page.md#two"]


def test_citation_tells_the_version_and_licence_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    told = dict(re.findall(r"^([\w-]+): *\"?(.*?)\"?$", citation, re.M))
    assert told["cff-version"] == "1.2.0"
    assert (told["version"], told["license"]) == (project["version"], project["license"])


GIT_FOR_THE_CHECKOUT = "apt-get -qq update && apt-get -qq install --yes ca-certificates git"
TRUSTED = 'git config --global --add safe.directory "$GITHUB_WORKSPACE"'
"""A container's checkout belongs to another user."""


def test_ci_elsewhere_does_what_ci_run_does_and_nothing_else() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    each_push, weekly = workflow.split("  evidence:\n")
    assert re.findall(r"\brun: *(.+)", each_push) == [GIT_FOR_THE_CHECKOUT, TRUSTED, ".ci/run"]
    assert re.search(r'debian: \["12", "13"\]', each_push)  # what docs/install.md says works
    # Hours of reconstruction, which no push waits for.
    assert re.findall(r"\brun: *(.+)", weekly) == ["./tomoshibi --apt test --evidence -m evidence"]


def _on_the_site(markdown: str, repo_url: str | None = None) -> str:
    """Return a page of docs/ as the site's hook leaves it."""
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs/site/hooks.py")
    assert spec and spec.loader
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    config = SimpleNamespace(
        docs_dir=str(ROOT / "docs"), config_file_path=str(ROOT / "mkdocs.yml"), repo_url=repo_url
    )
    page = SimpleNamespace(file=SimpleNamespace(src_uri="page.md"))
    return str(hooks.on_page_markdown(markdown, page, config, None))


def test_the_site_names_files_of_the_repository_in_place_of_a_link() -> None:
    assert _on_the_site("[hw/wire](../hw/wire/)") == "hw/wire"
    assert _on_the_site("[how](../README.md)") == "how (`README.md`)"
    assert _on_the_site("[how](install.md)") == "[how](install.md)"
    linked = _on_the_site("[how](../README.md)", "https://example.org/repository/")
    assert linked == "[how](https://example.org/repository/blob/HEAD/README.md)"


def test_the_site_warns_of_a_link_to_a_file_that_is_not_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    _on_the_site("[gone](../gone.py)")
    assert "../gone.py" in caplog.text
