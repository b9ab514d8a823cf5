import re
from pathlib import Path

from bridgelab.evaluation.bridge_table import table
from bridgelab.training import main  # noqa: F401  sets BRIDGELAB_ROOT

PAGE = Path(__file__).parents[2] / "docs" / "bridges.md"


def test_the_page_has_the_table_that_the_command_prints():
    shown = re.search(r"<!-- bridgelab bridges -->\n(.*?)\n<!-- end -->", PAGE.read_text(), re.DOTALL)
    assert shown
    assert shown[1] == table(), "run make blocks"
