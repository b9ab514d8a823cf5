"""HTML from the templates in `report/templates`: names, questions and answers are escaped unless marked as markup."""

import re
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bridgelab.report.row import label, short_label
from bridgelab.report.table import Table

OUTCOME = re.compile(r"\b(breaks|leads|holds)(?= on )")


def render(template: str, **values: Any) -> str:
    """Render a file of `report/templates`; all values are escaped."""
    return _environment.get_template(template).render(values)


def table_to_html(table: Table) -> str:
    """Return one table in a box that scrolls by itself."""
    return render("table.html.jinja", table=table)


def asset(name: str) -> Markup:
    """Return a style sheet or script of `report/templates` as it is."""
    return Markup(files("bridgelab.report").joinpath("templates", name).read_text(encoding="utf-8"))


def emphasize_outcomes(sentence: str) -> Markup:
    """Set 'breaks', 'leads' and 'holds' of a sentence of the verdict in bold."""
    return Markup(OUTCOME.sub(r"<strong>\1</strong>", str(escape(sentence))))


def short(name: str) -> str:
    """Return a row's printed name with only the last part of each swept key."""
    return short_label(label(name))


def breakable(name: str) -> Markup:
    """Let a long name break after its underscores."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


_environment = Environment(
    loader=PackageLoader("bridgelab.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["asset"] = asset
_environment.filters |= {
    "label": label,
    "breakable": breakable,
    "short": short,
    "emphasize_outcomes": emphasize_outcomes,
}
