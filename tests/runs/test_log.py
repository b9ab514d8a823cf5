from bridgelab.runs.log import failure


def test_of_a_log_the_last_exception_tells_why_a_job_failed(tmp_path):
    log = tmp_path / "log.txt"
    shown = {
        "began\nTraceback (most recent call last):\n  File \"a.py\", line 1, in one\n    1 / 0\nZeroDivisionError: by zero\n"
        "\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n"
        '  File "b.py", line 2, in two\n    raise Own("x")\nmine.Own: first line\nsecond line\nleaked 514 functions!\n': [
            "mine.Own: first line", 'File "b.py", line 2, in two'
        ],
        "[12:00] began\nValueError: train.lr=x: must be a number. Set train.lr.\n": [
            "ValueError: train.lr=x: must be a number. Set train.lr."
        ],
        "Killed\n10%\r20%\n": ["Killed", "20%"],
    }  # fmt: skip
    for text, expected in shown.items():
        log.write_text(text)
        raised, said = failure(log)
        assert said == expected
        assert raised == ("" if said[0] == "Killed" else f": {said[0]}")
    assert failure(log, start=7) == ("", ["20%"])
    assert failure(tmp_path / "none") == failure(tmp_path) == ("", [])
