"""Every page of the site is in its navigation, and every link inside the documents leads somewhere."""

import html.parser
import importlib.util
import logging
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("outside_pages", ROOT / "docs" / "outside_pages.py")
outside = importlib.util.module_from_spec(spec)
spec.loader.exec_module(outside)

DOCUMENTS = [
    *(path for path in outside.outside_pages().values() if path.suffix == ".md"),
    *sorted(ROOT.glob("docs/**/*.md")),
]


def without_code(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path):
    """A document's anchors by GitHub's rule: lower case, punctuation dropped, each space a hyphen."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+?)(?: \{.*\})?$", text, re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {f"{slug}-{n}" if (n := slugs[:place].count(slug)) else slug for place, slug in enumerate(slugs)}


def links(path):
    """A document's links and pictures, those to other sites left out."""
    found = re.findall(r"\]\(([^()\s]+)\)", without_code(path.read_text()))
    return [link for link in found if not urlsplit(link).scheme]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_lead_somewhere(path):
    lost = []
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_links_are_found():
    assert "api.md" in {Path(link).name for path in DOCUMENTS for link in links(path)}
    assert sum(len(links(path)) for path in DOCUMENTS) > 40
    assert "add-a-benchmark" in anchors(ROOT / "CONTRIBUTING.md")


def pages_of(nav):
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from [value] if isinstance(value, str) else pages_of(value)


def test_every_page_is_in_the_navigation_once():
    named = list(pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    inside = [str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")]
    there = inside + [place for place in outside.outside_pages() if place.endswith(".md")]
    assert sorted(named) == sorted(there), "name each page once in mkdocs.yml"


class Assets(html.parser.HTMLParser):
    """Collect what a page would load by itself, and what it links to."""

    def __init__(self):
        super().__init__()
        self.loaded, self.linked, self.ids = [], [], set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given.get("id")}
        if tag == "a":
            self.linked.append(given.get("href") or "")
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(given["href"])
        elif "src" in given:
            self.loaded.append(given["src"])


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path, caplog):
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"))
    config.plugins.run_event("startup", command="build", dirty=False)
    with caplog.at_level(logging.WARNING, "mkdocs"):
        build(config)  # strict: a page out of the navigation or a dead link raises Abort
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
    pages = {path.relative_to(tmp_path / "site"): Assets() for path in (tmp_path / "site").rglob("*.html")}
    assert len(pages) > 20
    for path, page in pages.items():
        page.feed((tmp_path / "site" / path).read_text())
        assert [asset for asset in page.loaded if urlsplit(asset).netloc] == [], path
    reference = pages[Path("reference.html")]
    assert "Raises: " not in re.sub(r"<[^>]+>", "", (tmp_path / "site" / "reference.html").read_text())
    assert {"bridgelab.load_bridge", "bridgelab.T5", "bridgelab.BridgeTraining"} <= reference.ids
    home = pages[Path("index.html")]
    assert "findings/first_look.html" in home.linked
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text()), style
