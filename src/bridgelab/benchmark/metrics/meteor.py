"""METEOR of captions, as its authors' Java program counts it: stems, synonyms and paraphrases match too.

Source: Denkowski and Lavie 2014, "Meteor Universal" (doi:10.3115/v1/W14-3348), version 1.5, English, normalised, which
pycocoevalcap brings. There is no other program that gives published numbers, so without Java there is no METEOR.
"""

import contextlib
import subprocess
from collections.abc import Sequence


def meteor(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The score over a corpus.

    Args:
        predictions: one caption an item, its words split and apart by blanks.
        references: for each item its references, likewise.
    Raises:
        RuntimeError: if Java fails.
    """
    from pycocoevalcap.meteor.meteor import Meteor

    try:
        scorer = Meteor()
        try:
            overall, _ = scorer.compute_score(
                dict(enumerate(map(list, references))), {k: [said] for k, said in enumerate(predictions)}
            )
        finally:
            if scorer.lock.locked():  # an error leaves it so, and its destructor waits for it
                scorer.lock.release()
            _end(scorer.meteor_p)
    except (ValueError, OSError) as error:  # it ends early, or says what is no number
        raise RuntimeError(
            f"METEOR's program failed ({error}). It takes 2 GB of memory: repair Java, or take it off PATH."
        ) from error
    return float(overall)


def _end(program: subprocess.Popen) -> None:
    program.kill()
    program.wait()
    for pipe in (program.stdin, program.stdout, program.stderr):
        with contextlib.suppress(OSError):  # what was not written yet
            pipe.close()  # type: ignore[union-attr]
