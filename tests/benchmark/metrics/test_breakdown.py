from bridgelab.benchmark.metrics.breakdown import by_tag


def test_rows_by_the_values_of_each_tag():
    rows = [{"tags": {"a": 2, "b": "x"}}, {"tags": {"a": 1}}, {"tags": {"a": 2, "b": "y"}}]
    assert list(by_tag(rows, ("b", "a", "c"))) == [
        ("b=x", [rows[0]]),
        ("b=y", [rows[2]]),
        ("a=1", [rows[1]]),
        ("a=2", [rows[0], rows[2]]),
    ]
