import re
from pathlib import Path

from bridgelab.evaluation.bridge_table import table
from bridgelab.training import main  # noqa: F401  sets BRIDGELAB_ROOT

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_has_the_table_that_the_command_prints():
    shown = re.search(r"<!-- bridgelab bridges -->\n(.*?)\n<!-- end -->", README.read_text(), re.DOTALL)
    assert shown
    assert shown[1] == table(), "run `bridgelab bridges` and put what it prints into the README"
