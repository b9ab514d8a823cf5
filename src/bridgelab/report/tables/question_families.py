"""Accuracy by question family and reasoning type, beside that of always giving the most frequent answer.

A model without an image that beats the most frequent answer by far is helped by the wording of the question.
"""

import numpy as np
import pandas as pd

from bridgelab.report.majority_floor import guesses_right
from bridgelab.report.row import label
from bridgelab.report.table import Cell, Table, count_cell, percent_cell
from bridgelab.runs.study import Study
from bridgelab.statistics.estimate import Runs, Sample
from bridgelab.statistics.question_kinds import reasoning_type

TAGS = {"tag_type", "tag_family"}


def family_table(study: Study) -> Table | None:
    """Return one row per family and reasoning type, one column per row of the study; None if questions have no families.

    The most frequent answer is that of the family's training questions of one type (what colour, what shape, …), if predictions tell how
    often it is right. All intervals, that of its distance from blind too, are over seeds and images, with the same images for all.
    """
    questions = study.questions
    if not set(questions) >= TAGS or questions["tag_family"].nunique() < 2:
        return None
    sample = Sample(study.clusters[questions.index])
    families = _families(questions)
    masks = {family: families == family for family in sorted(set(families))}
    prior = {}
    if (right := guesses_right(study, "majority_of_family")) is not None:
        prior = {family: sample.mean(right[None], Runs((0,)), mask) for family, mask in masks.items()}
    accuracy = {}
    for bridge in study.bridges:
        seeds, scores = Runs(tuple(run.data_seed for run in study.of(bridge))), study.scores(bridge)
        accuracy[bridge] = {family: sample.mean(scores, seeds, mask) for family, mask in masks.items()}
    blind = accuracy.get("blind")
    rows = []
    for family, mask in masks.items():
        cells = [Cell(family), count_cell(np.sum(mask))]
        if prior:
            cells.append(percent_cell(prior[family]))
        if prior and blind:
            cells.append(percent_cell(blind[family] - prior[family], unit="points"))
        cells += [percent_cell(by_family[family]) for by_family in accuracy.values()]
        rows.append(("family", tuple(cells)))
    columns = ["family", "questions", *(["most frequent answer"] if prior else [])]
    columns += ["blind above it"] if prior and blind else []
    columns += map(label, accuracy)
    return Table("Accuracy by question family, %", tuple(columns), tuple(rows))


def _families(questions: pd.DataFrame) -> np.ndarray:
    """Return each question's family and reasoning type as printed [question]."""
    types = questions["tag_type"].astype(str).map(reasoning_type)
    pairs = zip(questions["tag_family"].astype(str), types, strict=True)
    return np.array(
        [(family if family == kind else f"{family}, {kind}").replace("_", " ") for family, kind in pairs]
    )
