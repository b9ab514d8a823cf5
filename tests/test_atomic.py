import pytest

from bridgelab.atomic import atomic_path


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


def test_two_machines_whose_processes_have_one_id_do_not_disturb_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 1)
    path = tmp_path / "a.txt"
    with atomic_path(path) as first:
        first.write_text("one")
        with atomic_path(path) as second:
            second.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]
