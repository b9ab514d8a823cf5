import os
import shutil
from pathlib import Path

from bridgelab.config import root

CHECKOUT = Path(__file__).parents[2]


def test_the_checkout_is_read_before_the_package(monkeypatch):
    monkeypatch.delenv("BRIDGELAB_ROOT", raising=False)
    assert root.config_root() == CHECKOUT


def test_the_variable_is_read_first(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for given in (str(tmp_path), "."):
        monkeypatch.setenv("BRIDGELAB_ROOT", given)
        assert root.config_root() == tmp_path
        assert os.environ["BRIDGELAB_ROOT"] == str(tmp_path)


def test_an_installed_package_reads_its_own_copy(monkeypatch, tmp_path):
    package = tmp_path / "lib" / "site-packages" / "bridgelab"
    shutil.copytree(CHECKOUT / "conf", package / "conf")
    monkeypatch.delenv("BRIDGELAB_ROOT", raising=False)
    monkeypatch.setattr(root, "PACKAGE", package)
    assert root.config_root() == package
