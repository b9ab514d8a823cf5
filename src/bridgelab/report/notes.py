"""The notes below a study's tables: how to read them, and what is missing."""

from types import MappingProxyType

from bridgelab.report.row import ALL, CONSISTENCY
from bridgelab.report.summary import Summary
from bridgelab.runs.study import Study
from bridgelab.statistics.gap_closed import MIN_GAP
from bridgelab.statistics.question_kinds import question_types

MAX_PROMPT = 100  # characters of a question that stands for its kind
REFERENCES = MappingProxyType(
    {
        "blind": "blind is given no image, only learned prompt tokens",
        "shuffled": "shuffled is the trained bridge, given another question's image",
        "majority": "majority always gives the most frequent training answer of its kind",
        "words": "words is the language model that reads a description of the scene",
        "words_patch_like": "words, patch-like is a description in the order of patches",
        "words_prompted": "words, prompted is a description behind a learned prompt",
    }
)  # by floor or ceiling


def notes(summary: Summary) -> list[str]:
    """Return one note per sentence or two, the summary's own caveats among them."""
    return [
        *on_convergence(summary),
        on_intervals(summary),
        *on_consistency(summary),
        on_the_gap(summary),
        *on_words_in_two_forms(summary),
        *summary.caveats,
        *on_missing_runs(summary),
    ]


def on_convergence(summary: Summary) -> list[str]:
    """Say how convergence is judged, and of which rows it is not shown; nothing if no row is trained."""
    delta = next((row.convergence.delta for row in summary.rows if row.convergence), None)
    if delta is None:
        return []
    open_rows = ", ".join(row.name for row in summary.not_converged)
    warm = any(row.convergence and row.convergence.start for row in summary.rows)
    return [
        f"Last doubling: the gain in validation {summary.curve_of} from half of the steps to all of them, each with a schedule of its own, "
        f"and its upper bound (one-sided 95 %, over seeds). A bridge whose bound is below {100 * delta:g} points has converged"
        + (", if the run that made its warm start had converged too" if warm else "")
        + (
            f"; not shown for {open_rows}. No ranking is drawn: rows stand in the order of the sweep."
            if open_rows
            else "."
        )
    ]


def on_intervals(summary: Summary) -> str:
    """Say how many questions there are, or how many captions without any, and over what intervals are."""
    by_type = ", ".join(
        f"{name.replace('_', ' ')} {count}"
        for name, count in summary.questions.items()
        if name not in (ALL, CONSISTENCY)
    )
    drawn = "groups of images" if CONSISTENCY in summary.questions else "images"
    asked = summary.questions[ALL]
    questions = (
        f"{f'{asked} questions' if asked else f'{summary.captions} captions'} on {summary.images} images"
    )
    if by_type:
        questions += f" ({by_type})"
    estimates = (one for row in summary.rows for one in (*row.accuracy.values(), *row.captions.values()))
    if not any(estimate.contributions for estimate in estimates):
        return f"{questions}. No interval is given."
    return (
        f"{questions}. Ranges are 95 % intervals over seeds and {drawn} (Student's t on the verdict's variance, the same {drawn} for all "
        "rows; Fieller's for shares)."
    )


def on_kinds(study: Study) -> list[str]:
    """Show what each kind of question is, by the shortest one that was asked; nothing without kinds."""
    questions = study.questions
    if "prompt" not in questions or questions["prompt"].isna().any():
        return []
    shortest = {
        kind: min(prompts.astype(str), key=lambda prompt: (len(prompt), prompt))
        for kind, prompts in questions["prompt"].groupby(question_types(questions), sort=False)
        if kind
    }
    if len(shortest) < 2:
        return []
    told = [f"{kind.replace('_', ' ')}: “{prompt[:MAX_PROMPT]}”" for kind, prompt in sorted(shortest.items())]
    return [f"A question of each kind. {'; '.join(told)}."]


def on_references(summary: Summary) -> list[str]:
    """Say what the floors and ceilings of a study are; nothing without any."""
    names = [row.name.split(", ", 1)[0] for row in summary.rows if row.role != "bridge"]
    told = [REFERENCES[name] for name in dict.fromkeys(names) if name in REFERENCES]
    return [f"Floors and ceilings: {'; '.join(told)}."] if told else []


def on_consistency(summary: Summary) -> list[str]:
    """Say what consistency is, if the questions come in groups."""
    groups = summary.questions.get(CONSISTENCY)
    if groups is None:
        return []
    return [f"Consistency is the share of the {groups} groups in which every answer is right."]


def on_the_gap(summary: Summary) -> str:
    """Say what the gap closed is, or why it is not given."""
    if any(row.gap for row in summary.rows):
        instead = "" if summary.ceiling == "words" else f", with {summary.ceiling} for words"
        return (
            f"Gap closed = (bridge − blind) / (words − blind){instead}; not "
            f"clipped, and not given (–) where words − blind is under {100 * MIN_GAP:.0f} points or not shown to differ from 0."
        )
    names = {row.name.partition(", ")[0] for row in summary.rows}
    ceiling = summary.ceiling or "words_prompted"
    if lacking := [name for name in ("blind", ceiling) if name not in names]:
        return f"The gap closed is not given: no finished run of {' and '.join(lacking)}."
    if not any(row.accuracy for row in summary.bridges):
        return "The gap closed is not given: no bridge answered questions."
    return f"The gap closed is not given: no finished runs of blind and {ceiling} at the levels of a bridge."


def on_words_in_two_forms(summary: Summary) -> list[str]:
    """Say how much better the language model reads words that name each object once, if both forms were run."""
    overall = {row.name: row.accuracy[ALL] for row in summary.rows if row.accuracy}
    if not {"words", "words_patch_like"} <= set(overall):
        return []
    lead = overall["words"] - overall["words_patch_like"]
    low, high = (f"{100 * end:+.1f}" for end in lead.interval)
    return [
        f"The T5 answers {100 * lead.value:+.1f} points ({low} to {high}) better from words that name each object once than from words "
        "in raster order, which repeat it. It may favour bridges whose tokens are more like the former."
    ]


def on_missing_runs(summary: Summary) -> list[str]:
    """Name the runs that are missing."""
    if not summary.missing:
        return []
    runs = "; ".join(str(run) for run in summary.missing)
    return [f"Missing from this table, {len(summary.missing)}: {runs}."]
