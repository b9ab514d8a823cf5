"""A study as one page that needs no other file: pictures are inside, and its two scripts, sorting and filtering, too."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence

from bridgelab.report.diagnosis.section import STYLE as MAPS
from bridgelab.report.examples import Shown
from bridgelab.report.summary import label
from bridgelab.report.table import StudyTable, table_to_html

OUTCOME = re.compile(r"\b(breaks|leads|holds)(?= on )")  # of a sentence, for the eye
STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --back: #ffffff; --line: #d4d4d4; --soft: #5a5a5a; --card: #f6f6f6;
  --right: #005f43; --wrong: #a33f00; --focus: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --back: #16181b; --line: #3c4046; --soft: #a3a8af; --card: #1f2226; --right: #4fd1a5;
    --wrong: #ff9e5e; --focus: #56b4e9; }
}
body { margin: 0 auto; padding: 1rem; max-width: 68rem; color: var(--text); background: var(--back);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
nav { display: flex; flex-wrap: wrap; gap: 0 1rem; }
nav a { color: inherit; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
.scroll { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { padding: .3rem .7rem; text-align: right; vertical-align: top; white-space: nowrap; }
th { font-weight: 500; }
thead th { border-bottom: 1px solid var(--text); vertical-align: bottom; white-space: normal; }
thead button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; text-align: inherit; }
th[aria-sort=descending] button::after { content: " ▼"; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--back); }
tbody + tbody tr:first-child > * { border-top: 1px solid var(--line); }
small { display: block; color: var(--soft); font-size: .8rem; }
figure { margin: 1.25rem 0; overflow-x: auto; }
figure img { display: block; width: 100%; min-width: 46rem; height: auto; background: #ffffff; border-radius: 4px; }
.notes li, figcaption, dt { color: var(--soft); }
li { margin: .4rem 0; overflow-wrap: anywhere; }
form { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: end; margin: .75rem 0; }
label { display: grid; font-size: .85rem; color: var(--soft); }
select { font: inherit; color: var(--text); background: var(--back); border: 1px solid var(--line); border-radius: 4px; padding: .2rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
article { background: var(--card); border-radius: 6px; padding: .75rem; }
article[hidden] { display: none; }
article img { width: 8rem; image-rendering: auto; border-radius: 4px; margin-right: .5rem; }
article p { margin: .4rem 0; overflow-wrap: anywhere; }
article ul { list-style: none; margin: 0; padding: 0; font-size: .9rem; }
article li { margin: .15rem 0; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--card); padding: .75rem; border-radius: 6px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { body { max-width: none; } form { display: none; } }
"""
SCRIPT = """
const size = {k: 1e3, M: 1e6, G: 1e9, T: 1e12};
function value(cell) {
  const text = (cell.firstChild ? cell.firstChild.textContent : '').replace(/\\u2212/g, '-').replace(/,/g, '');
  const found = text.match(/([+-]?\\d+(?:\\.\\d+)?)\\s*([kMGT]?)(?![A-Za-z])/);
  return found && text.trim() !== '' ? Number(found[1]) * (size[found[2]] || 1) : text;
}
function compare(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return b - a;
  if (typeof a === 'number') return -1;
  if (typeof b === 'number') return 1;
  return a.localeCompare(b);
}
for (const table of document.querySelectorAll('table')) {
  const before = [...table.tBodies].map(body => [...body.rows]);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.title = 'sort: highest first, lowest first, as swept';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const next = {descending: 'ascending', ascending: null}[head.getAttribute('aria-sort')];
      const order = next === undefined ? 'descending' : next;
      for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
      if (order) head.setAttribute('aria-sort', order);
      [...table.tBodies].forEach((body, k) => {
        const rows = [...before[k]];
        if (order) rows.sort((a, b) => compare(value(a.cells[column]), value(b.cells[column])));
        if (order === 'ascending') rows.reverse();
        body.append(...rows);
      });
    });
  });
}
const form = document.querySelector('form');
if (form) {
  const cards = [...document.querySelectorAll('article')], told = document.querySelector('output');
  const filter = () => {
    const chosen = [...form.querySelectorAll('select')].filter(one => one.value);
    for (const card of cards) {
      const right = JSON.parse(card.dataset.right);
      card.hidden = !chosen.every(one => one.name === 'kind' ? card.dataset.kind === one.value
        : String(right[one.name]) === one.value);
    }
    told.textContent = cards.filter(card => !card.hidden).length + ' of ' + cards.length + ' questions';
  };
  form.addEventListener('change', filter);
  filter();
}
"""


def page(
    table: StudyTable,
    pictures: Sequence[tuple[str, bytes]],
    examples: Sequence[Shown],
    origin: Sequence[tuple[str, str]],
    command: str,
    asked: Sequence[tuple[str, str]] = (),
    rests: str = "",
) -> str:
    """The page: what was asked, the verdict, pictures and tables, questions with all answers, and where all of it comes from.

    Args:
        table: the study's.
        pictures: what each shows, in words, and its PNG.
        examples: questions to look at.
        origin: names and values of provenance.
        command: that made the study.
        asked: names and texts: the study's question and hypothesis, where it has them.
        rests: where some answers rest, as HTML (`diagnosis.section`); empty where no run was diagnosed.
    """
    title = html.escape(table.heading)
    allowed = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    parts = [_terms(asked)] if asked else []
    if table.said:
        parts += ['<h2 id="verdict">Verdict</h2>', OUTCOME.sub(r"<strong>\1</strong>", _list(table.said))]
    first, *others = [_figure(words, content) for words, content in pictures]
    parts += ['<h2 id="numbers">Numbers</h2>', first, *map(table_to_html, table.grids[:3]), *others]
    parts += [*map(table_to_html, table.grids[3:]), _list(table.notes, "notes")]
    if examples:
        parts += ['<h2 id="questions">Questions and answers</h2>', _examples(examples)]
    if rests:
        parts += ['<h2 id="rests">Where answers rest</h2>', rests]
    parts += [
        '<h2 id="origin">Where it comes from</h2>',
        _terms(origin),
        f"<pre>{html.escape(command)}</pre>",
    ]
    links = {
        "verdict": "Verdict",
        "numbers": "Numbers",
        "questions": "Questions and answers",
        "rests": "Where answers rest",
        "origin": "Where it comes from",
    }
    body = "\n".join(parts)
    nav = "".join(f'<a href="#{name}">{text}</a>' for name, text in links.items() if f'id="{name}"' in body)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src
'sha256-{allowed}'">
<title>{title}</title>
<style>{STYLE}{MAPS if rests else ""}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<nav aria-label="Parts of this page">{nav}</nav>
{body}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _list(lines: Sequence[str], kind: str = "") -> str:
    items = "\n".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ul class="{kind}">{items}</ul>' if kind else f"<ul>{items}</ul>"


def _terms(terms: Sequence[tuple[str, str]]) -> str:
    told = "\n".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in terms)
    return f"<dl>{told}</dl>"


def _figure(words: str, content: bytes) -> str:
    described = html.escape(words)
    image = base64.b64encode(content).decode()
    return (
        '<figure role="region" tabindex="0" aria-label="A picture">'
        f'<img src="data:image/png;base64,{image}" alt="{described}"></figure>'
    )


def _examples(examples: Sequence[Shown]) -> str:
    bridges = list(examples[0].answers)
    kinds = sorted({one.kind for one in examples if one.kind})
    choices = [_select(name, label(name), (("true", "right"), ("false", "wrong"))) for name in bridges]
    if len(kinds) > 1:
        choices.append(
            _select("kind", "kind of question", [(kind, kind.replace("_", " ")) for kind in kinds])
        )
    cards = "\n".join(map(_card, examples))
    return (
        "<p>Some questions of every pattern of right and wrong, rare ones as often as common ones: to be looked at, not "
        f"counted. A bridge is right where most of its seeds are; behind each answer, how many.</p>\n"
        f"<form>{''.join(choices)}<output></output></form>\n"
        f'<div class="cards">{cards}</div>'
    )


def _select(name: str, words: str, options: Sequence[tuple[str, str]]) -> str:
    chosen = "".join(
        f'<option value="{html.escape(value)}">{html.escape(text)}</option>'
        for value, text in (("", "any"), *options)
    )
    return f'<label>{html.escape(words)}<select name="{html.escape(name)}">{chosen}</select></label>'


def _card(shown: Shown) -> str:
    right = json.dumps({name: one.is_right for name, one in shown.answers.items()})
    images = "".join(f'<img src="{picture}" alt="The image of the question">' for picture in shown.pictures)
    answers = "".join(
        f'<li><span class="{"right" if one.is_right else "wrong"}">{"✓" if one.is_right else "✗"}</span> '
        f"{html.escape(label(name))}: {html.escape(one.said)}"
        + (f" <span>({one.right} of {one.seeds})</span>" if one.seeds > 1 else "")
        + "</li>"
        for name, one in shown.answers.items()
    )
    return (
        f'<article data-right="{html.escape(right)}" data-kind="{html.escape(shown.kind)}">{images}'
        f"<p>{html.escape(shown.prompt)}</p><p><strong>{html.escape(shown.target)}</strong></p><ul>{answers}</ul></article>"
    )
