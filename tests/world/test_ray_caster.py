import re
from pathlib import Path

from bridgelab.world import ray_caster

IMPORT = re.compile(r"^ *(?:import|from) +([\w.]+)", re.MULTILINE)
PACKAGE = Path(ray_caster.__file__).parents[1]


def test_compiled_code_takes_nothing_from_other_files():
    """numba compiles a cached function again only if the function's own file has changed."""
    assert set(IMPORT.findall(Path(ray_caster.__file__).read_text())) == {"math", "numpy", "numba"}


def test_no_other_file_compiles():
    compiling = [path for path in PACKAGE.rglob("*.py") if "numba" in IMPORT.findall(path.read_text())]
    assert compiling == [Path(ray_caster.__file__)]
