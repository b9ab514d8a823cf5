import pytest

from bridgelab.runs.atomic import atomic_path


def torn(path):
    with atomic_path(path) as aside:
        aside.write_text("tw")
        raise OSError("No space left on device")


def test_a_file_is_whole_or_the_former(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as aside:
        aside.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with pytest.raises(OSError, match="No space left"):
        torn(path)
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]
