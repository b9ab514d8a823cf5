"""How often the most frequent training answer is right, as far as predictions and records tell."""

import numpy as np

from bridgelab.runs.study import Study

RECORDED = "test/majority"  # key of the record's metrics


def guesses_right(study: Study, column: str = "majority") -> np.ndarray | None:
    """Return whether the most frequent training answer is right [question]; None if predictions can't tell.

    They can't if a question has no such answer, as without a train split. Nor can they if the metric accepts several answers or gives
    partial credit: predictions keep one answer, and the share of questions that it gets right is not the recorded one.

    Args:
        study: with questions.
        column: `majority`, of each type, or `majority_of_family`.
    """
    recorded, questions = recorded_majority(study), study.questions
    if column not in questions or questions[column].isna().any():
        return None
    if recorded is not None and not np.isclose(_right(study, "majority").mean(), recorded, atol=1e-4):
        return None
    return _right(study, column)


def recorded_majority(study: Study) -> float | None:
    """Return the recorded share over all questions; None if it is not recorded, or a question has no most frequent answer."""
    questions, recorded = study.questions, study.runs[0].record["metrics"].get(RECORDED)
    given = "majority" in questions and questions["majority"].notna().all()
    return float(recorded) if given and recorded is not None else None


def _right(study: Study, column: str) -> np.ndarray:
    questions = study.questions
    return (questions[column].astype(str) == questions["target"].astype(str)).to_numpy(np.float64)
