"""Read a study's records, print its table, and save the table, the picture and a page that holds both."""

import base64
import html
import io
import os
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from rich.console import Console

from bridgelab.analysis.comparison import verdict
from bridgelab.analysis.families import by_family
from bridgelab.analysis.figure import draw, save
from bridgelab.analysis.formats import to_csv, to_latex
from bridgelab.analysis.records import Study, read_study
from bridgelab.analysis.search import by_trial
from bridgelab.analysis.summary import Summary, summarise
from bridgelab.analysis.table import StudyTable, study_table, to_html, to_markdown, to_rich
from bridgelab.analysis.verdict_table import sentences, verdict_grid

FORMATS = MappingProxyType({"md": to_markdown, "csv": to_csv, "latex": to_latex})
_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --back: #ffffff; --line: #d4d4d4; --soft: #5a5a5a; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --back: #16181b; --line: #3c4046; --soft: #a3a8af; }
}
body { margin: 0 auto; padding: 1rem; max-width: 68rem; color: var(--text); background: var(--back);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; line-height: 1.25; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { padding: .3rem .7rem; text-align: right; vertical-align: top; white-space: nowrap; }
th { font-weight: 500; }
thead th { border-bottom: 1px solid var(--text); vertical-align: bottom; white-space: normal; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--back); }
tbody + tbody tr:first-child > * { border-top: 1px solid var(--line); }
small { display: block; color: var(--soft); font-size: .8rem; }
figure { margin: 1.25rem 0; overflow-x: auto; }
img { display: block; width: 100%; min-width: 46rem; height: auto; background: #ffffff; border-radius: 4px; }
figcaption, li { color: var(--soft); }
li { margin: .4rem 0; overflow-wrap: anywhere; }
"""


def report(study_dir: Path, *, console: Console | None = None) -> dict[str, Path]:
    """Print the study's table and write `figure.png`, `table.md` and `index.html` into its folder.

    The files hold accuracy by question family and the trials of the search too, which are too long to print.

    Args:
        study_dir: `runs/<study>`.
        console: where to print; the terminal if not given.
    Returns:
        The paths written, by name: "figure", "table", "page".
    Raises:
        FileNotFoundError: if the folder is missing or holds no finished run.
        ValueError: if its records are malformed or cannot be compared.
    """
    study_dir = Path(study_dir)
    study = read_study(study_dir)
    summary = summarise(study)
    table, whole = tables(study, summary)
    picture = io.BytesIO()
    save(draw(summary), picture)
    paths = {
        "figure": study_dir / "figure.png",
        "table": study_dir / "table.md",
        "page": study_dir / "index.html",
    }
    _write(paths["figure"], picture.getvalue())
    _write(paths["table"], to_markdown(whole).encode())
    _write(paths["page"], page(summary, whole, picture.getvalue()).encode())
    if console is None:
        console = Console()
        # In a log there is no terminal to ask for its width, and 80 columns would fold the numbers.
        console = console if console.is_terminal else Console(width=120)
    console.print(to_rich(table))
    for path in paths.values():
        console.print(str(path), style="dim", markup=False, highlight=False, soft_wrap=True)
    return paths


def tables(study: Study, summary: Summary) -> tuple[StudyTable, StudyTable]:
    """What is printed of a study, its verdict first among what follows its accuracies; and the same with the longer tables."""
    table = study_table(summary)
    if found := verdict(study):
        table = replace(
            table,
            grids=(table.grids[0], verdict_grid(found), *table.grids[1:]),
            notes=(*sentences(found), *table.notes),
        )
    longer = [grid for grid in (by_family(study), by_trial(study)) if grid]
    return table, replace(table, grids=(*table.grids, *longer))


def print_as(study_dir: Path, form: str) -> None:
    """Print a study's tables as text for elsewhere, and write nothing.

    Args:
        study_dir: `runs/<study>`.
        form: of `FORMATS`.
    Raises:
        FileNotFoundError, ValueError: as `report`.
    """
    study = read_study(study_dir)
    print(FORMATS[form](tables(study, summarise(study))[1]), end="")


def page(summary: Summary, table: StudyTable, picture: bytes) -> str:
    """A page that needs no other file: the picture is inside, and no script runs."""
    title = html.escape(table.heading)
    bridges = ", ".join(row.name for row in summary.rows if row.role == "bridge")
    described = html.escape(
        f"Accuracy by reasoning type for {bridges}, with 95 % intervals, floors and ceilings; beside it the "
        "learning curves. All numbers of the left panel are in the tables."
    )
    image = base64.b64encode(picture).decode()
    heading, rest = to_html(table).split("\n", 1)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src
'unsafe-inline'"> <title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{heading}
<figure role="region" tabindex="0" aria-label="The picture">
<img src="data:image/png;base64,{image}" alt="{described}">
</figure>
{rest}
</main>
</body>
</html>
"""


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: a page that is being read is never torn."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)
