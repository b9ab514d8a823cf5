"""Accuracy by question family and reasoning type, beside what knowing the answers alone is worth.

What a model without an image answers well above the most frequent answer, a question's wording gives away.
"""

import numpy as np

from bridgelab.report.summary import label
from bridgelab.report.table import Cell, Table, count, percent
from bridgelab.runs.study import Study
from bridgelab.statistics.estimate import Estimate, Runs, Sample
from bridgelab.statistics.question_kinds import reasoning_type


def family_table(study: Study) -> Table | None:
    """One row a family and reasoning type, one column a bridge, floor or ceiling; None where questions have no families.

    The most frequent answer is that of the family's questions of one type (what colour, what shape, …) in training. Its
    distance from blind, and every other interval, is over seeds and images, the same images for all.
    """
    asked = study.questions
    if (
        not {"tag_type", "tag_family", "majority_of_family"} <= set(asked)
        or asked["tag_family"].nunique() < 2
    ):
        return None
    sample = Sample(study.clusters[asked.index])
    found: dict[str, dict[str, Estimate]] = {}
    kinds, target = asked["tag_type"].astype(str), asked["target"].astype(str)
    family = np.array(
        [
            name if name == kind else f"{name}, {kind}".replace("_", " ")
            for name, kind in zip(asked["tag_family"].astype(str), kinds.map(reasoning_type), strict=True)
        ]
    )
    names = sorted(set(family))
    frequent = (target == asked["majority_of_family"].astype(str)).to_numpy(np.float64)
    once = Runs((0,))
    prior = {name: sample.mean(frequent[None], once, family == name) for name in names}
    for bridge in study.bridges:
        own = Runs(tuple(run.data_seed for run in study.of(bridge)))
        scores = study.scores(bridge)
        found[bridge] = {name: sample.mean(scores, own, family == name) for name in names}
    heads = ["family", "questions", "most frequent answer"]
    if "blind" in found:
        heads.append("blind above it")
    rows = []
    for name in names:
        cells = [Cell(name), count(np.sum(family == name)), percent(prior[name])]
        if "blind" in found:
            cells.append(percent(found["blind"][name] - prior[name], unit="points"))
        cells += [percent(of[name]) for of in found.values()]
        rows.append(("family", tuple(cells)))
    heads += [label(bridge) for bridge in found]
    return Table("Accuracy by question family, %", tuple(heads), tuple(rows))
