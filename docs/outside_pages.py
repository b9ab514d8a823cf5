"""Show files from outside of docs/ on the site: the README, the findings, CONTRIBUTING and others.

MkDocs calls these hooks. Documents link to each other as they lie in the checkout, so that the links work on a code host too;
here each link to a file that the site shows is replaced by a link to its page.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()([^()#\s:]+)(?=(?:#[^()\s]*)?\))")


def outside_pages() -> dict[str, Path]:
    """Return the files that the site takes from outside of docs/, by their place on the site."""
    studies = [
        path for end in ("md", "png", "yaml") for path in sorted((ROOT / "experiments").glob(f"*.{end}"))
    ]
    return {
        "index.md": ROOT / "README.md",
        "contributing.md": ROOT / "CONTRIBUTING.md",
        "changelog.md": ROOT / "CHANGELOG.md",
        "miniature_card.md": ROOT / "src" / "bridgelab" / "assets" / "README.md",
        **{f"findings/{path.name}": path for path in studies},
    }


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files from outside."""
    for place, path in outside_pages().items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace each link to a file in the checkout by one to its page."""
    place = page.file.src_uri
    outside = outside_pages()
    folder = outside.get(place, Path(config.docs_dir) / place).parent
    places = {path: of for of, path in outside.items()}
    places |= {
        Path(config.docs_dir) / file.src_uri: file.src_uri for file in files if file.src_uri not in outside
    }

    def replaced(link: re.Match[str]) -> str:
        target = places.get((folder / link[1]).resolve())
        return os.path.relpath(target, Path(place).parent) if target else link[1]

    return LINK.sub(replaced, markdown)
