import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from numba.core.caching import CacheImpl

from bridgelab.world import ray_caster

IMPORT = re.compile(r"^ *(?:import|from) +([\w.]+)", re.MULTILINE)
PACKAGE = Path(ray_caster.__file__).parents[1]


def test_compiled_code_takes_nothing_from_other_files():
    """numba compiles a cached function again only if the function's own file has changed."""
    assert set(IMPORT.findall(Path(ray_caster.__file__).read_text())) == {"math", "numpy", "numba"}


def test_no_other_file_compiles():
    compiling = [path for path in PACKAGE.rglob("*.py") if "numba" in IMPORT.findall(path.read_text())]
    assert compiling == [Path(ray_caster.__file__)]


def test_it_compiles_where_no_folder_may_be_written_to(monkeypatch):
    """Then numba finds no folder for its cache, and compiles in each process."""
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    spec = spec_from_file_location("uncached", ray_caster.__file__)
    uncached = module_from_spec(spec)
    spec.loader.exec_module(uncached)
    assert uncached._along((1.0, 2.0, 3.0), (0.0, 0.0, 1.0), 2.0) == (1.0, 2.0, 5.0)
