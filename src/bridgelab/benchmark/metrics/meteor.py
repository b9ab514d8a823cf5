"""METEOR of captions by its authors' Java program, in which stems, synonyms and paraphrases match too.

Source: Denkowski and Lavie 2014, "Meteor Universal" (doi:10.3115/v1/W14-3348), version 1.5, English, normalised, as
shipped with pycocoevalcap. No other program reproduces published numbers, so without Java there is no METEOR.
"""

import contextlib
import subprocess
from collections.abc import Sequence


def meteor(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return METEOR over a corpus.

    Args:
        predictions: one caption per item, tokenised and joined by blanks.
        references: for each item its references, likewise.
    Raises:
        RuntimeError: if Java fails.
    """
    from pycocoevalcap.meteor.meteor import Meteor

    try:
        scorer = Meteor()
        try:
            overall, _ = scorer.compute_score(
                dict(enumerate(map(list, references))), {k: [text] for k, text in enumerate(predictions)}
            )
        finally:
            if scorer.lock.locked():  # an error leaves it locked, and the destructor would wait for it
                scorer.lock.release()
            _kill(scorer.meteor_p)
    except (ValueError, OSError) as error:  # the program ended early, or printed no number
        raise RuntimeError(
            f"METEOR's program failed ({error}). It takes 2 GB of memory: repair Java, or remove it from PATH."
        ) from error
    return float(overall)


def _kill(program: subprocess.Popen) -> None:
    program.kill()
    program.wait()
    for pipe in (program.stdin, program.stdout, program.stderr):
        with contextlib.suppress(OSError):  # closing flushes what was not written yet
            pipe.close()  # type: ignore[union-attr]
