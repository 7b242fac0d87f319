"""What the site does beside plain mkdocs: links to files of the repository, a list of decisions.

Documents link to files outside `docs/`, which the site does not hold. Such a link becomes the
file's path as text (a link, once `repo_url` in mkdocs.yml names a place). A file that is not there
is a warning, and with ``--strict`` the end of the build. So is a page that would fetch a script,
style, font or picture from elsewhere.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks.repository_files")

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>\.\./[^)\s#]+)\)")

ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|link rel="(?:stylesheet|preconnect)")[^>]*https?://"""
)


def on_config(config: Any) -> None:
    """List every record of a decision under the folder that the navigation names."""
    docs = Path(config.docs_dir)
    for group in config.nav:
        for entry in next(iter(group.values())):
            if isinstance(entry, dict) and entry.get("Decisions") == "adr":
                records = sorted(docs.glob("adr/[0-9]*.md"))
                entry["Decisions"] = ["adr/README.md", *(f"adr/{one.name}" for one in records)]


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links to files outside the documents into text that names the file."""
    docs, root = Path(config.docs_dir), Path(config.config_file_path).parent

    def named(match: re.Match[str]) -> str:
        text, target = match["text"], match["target"]
        place = (docs / page.file.src_uri).parent.joinpath(target).resolve()
        if place.is_relative_to(docs):
            return match[0]
        if not place.exists():
            log.warning("%s links to %s, which is not there", page.file.src_uri, target)
        path = place.relative_to(root).as_posix()
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/HEAD/{path})"
        return text if path.rstrip("/").endswith(text.strip("`/")) else f"{text} (`{path}`)"

    return LINK.sub(named, markdown)


def on_post_page(output: str, page: Any, config: Any) -> None:
    """Warn of what a browser would fetch from elsewhere."""
    for found in ELSEWHERE.findall(output):
        log.warning("%s fetches from elsewhere: %s", page.file.src_uri, found)
