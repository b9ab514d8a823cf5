"""How often the most frequent training answer is right, as far as predictions and records tell."""

import numpy as np

from bridgelab.runs.study import Study

RECORDED = "test/majority"  # key of the record's metrics


def guesses_right(study: Study, column: str = "majority") -> np.ndarray | None:
    """Return whether the most frequent training answer is right [question]; None where predictions do not tell.

    They do not where a question has no such answer, as without a train split. They keep one accepted answer, so neither do they where a
    metric accepts several or gives part of a point: there they do not give the recorded value.

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
