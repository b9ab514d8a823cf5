"""The official scores of COCO captions: BLEU, ROUGE-L, CIDEr-D, and METEOR if Java is installed."""

import importlib.util
from collections.abc import Sequence
from itertools import chain

from bridgelab.benchmark.metrics.cider import cider_d
from bridgelab.benchmark.metrics.meteor import meteor
from bridgelab.benchmark.metrics.ptb_tokenizer import stanford_jar, tokenize, tokenize_with_stanford


def coco_scores(
    predictions: Sequence[str], references: Sequence[Sequence[str]], *, stanford: bool
) -> dict[str, float]:
    """Return BLEU-1 to 4 over the corpus, the means of ROUGE-L and CIDEr-D over items, and METEOR if `stanford`.

    BLEU (closest reference length, no smoothing) and ROUGE-L (beta = 1.2) are pycocoevalcap's code, CIDEr-D is ours.

    Args:
        predictions: one caption per item.
        references: for each item at least one reference.
        stanford: whether to use Java, for the Stanford tokeniser and METEOR. If not, `ptb_tokenizer.tokenize` splits
            captions into words.
    Raises:
        ValueError: if Java or pycocoevalcap is needed and missing; and as `cider_d`.
        RuntimeError: if Java fails.
    """
    require_pycocoevalcap()
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.rouge.rouge import Rouge

    captions = list(dict.fromkeys(chain(predictions, *references)))
    if stanford:
        if (jar := stanford_jar()) is None:
            raise ValueError(
                "stanford=True needs a java on PATH, and there is none. Install one, or set it to False."
            )
        tokens = tokenize_with_stanford(captions, jar)
    else:
        tokens = [tokenize(caption) for caption in captions]
    tokenized = {caption: " ".join(words) for caption, words in zip(captions, tokens, strict=True)}
    predicted = [tokenized[caption] for caption in predictions]
    expected = [[tokenized[caption] for caption in group] for group in references]
    by_item = dict(enumerate(expected)), {k: [caption] for k, caption in enumerate(predicted)}
    cider, _ = cider_d(predicted, expected, split=str.split)
    bleu, _ = Bleu(4).compute_score(*by_item, verbose=0)
    rouge, _ = Rouge().compute_score(*by_item)
    scores = {f"bleu_{n}": float(b) for n, b in enumerate(bleu, start=1)}
    if stanford:
        scores["meteor"] = meteor(predicted, expected)
    return {"cider": float(cider), "rouge_l": float(rouge)} | scores


def require_pycocoevalcap() -> None:
    """Check that pycocoevalcap is installed.

    Raises:
        ValueError: if it is not.
    """
    if importlib.util.find_spec("pycocoevalcap") is None:
        raise ValueError(
            "BLEU and ROUGE-L of captions need the package pycocoevalcap, which is not installed. "
            "Run: pip install pycocoevalcap"
        )
