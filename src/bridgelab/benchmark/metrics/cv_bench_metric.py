"""CV-Bench's metric: accuracy averaged over where the photographs come from."""

from collections.abc import Sequence

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.example_metric import Row, mean

SOURCES_2D, SOURCE_3D = ("ADE20K", "COCO"), "Omni3D"


class CvBenchMetric(Accuracy):
    r"""Accuracy in 2D, in 3D, and their mean.

    $\mathrm{2D} = (a_\mathrm{ADE20K} + a_\mathrm{COCO}) / 2$, $\mathrm{3D} = a_\mathrm{Omni3D}$,
    $\text{CV-Bench} = (\mathrm{2D} + \mathrm{3D}) / 2$, with $a$ the accuracy on a source's questions.
    Source: Tong et al. 2024, arXiv:2406.16860, and `cv_bench_default_aggregate_results` in lmms-eval's
    lmms_eval/tasks/cv_bench/utils.py (9328c2f19350).
    Values: those of `Accuracy`, `accuracy_2d`, `accuracy_3d` and `cv_bench`; each of the last three only if there are
    questions of all its sources.

    Args:
        by: tags to break accuracy down by.
    """

    def check(self, examples: Sequence[Example], *, scores_only: bool = False) -> str | None:
        """Warn if a source is missing, which leaves CV-Bench's own values undefined."""
        missing = {*SOURCES_2D, SOURCE_3D} - {str(e.tags.get("source")) for e in examples}
        if scores_only or not missing:
            return None
        return f"no question is from {', '.join(sorted(missing))}: CV-Bench's own average is not defined"

    def summarize(self, rows: list[Row]) -> dict[str, float]:
        """Return accuracy, overall and by tag, and the averages over sources."""
        values = super().summarize(rows)
        of: dict[str, list[float]] = {}
        for row in rows:
            of.setdefault(str(row["tags"].get("source")), []).append(row["score"])
        if all(source in of for source in SOURCES_2D):
            values["accuracy_2d"] = mean([mean(of[source]) for source in SOURCES_2D])
        if SOURCE_3D in of:
            values["accuracy_3d"] = mean(of[SOURCE_3D])
        if {"accuracy_2d", "accuracy_3d"} <= values.keys():
            values["cv_bench"] = mean([values["accuracy_2d"], values["accuracy_3d"]])
        return values
