"""The tokeniser of published caption scores: Penn Treebank tokens, in lower case and without punctuation."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

# What the published scorer drops after tokenising. Its list also holds -LRB- and the like, but it lowers the case first, so
# brackets remain as words. They are kept here too, since they count in published numbers.
_PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";", '"'])
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_TYPOGRAPHIC = str.maketrans(
    {"‘": "`", "’": "'", "“": '"', "”": '"', "«": '"', "»": '"', "–": " -- ", "—": " -- ", "…": " ... "}
    | {"€": "$", "£": "#", "¢": " cents", "½": " 1/2", "¼": " 1/4", "¾": " 3/4", "\u200b": " "}
)
_SPLIT_WORDS = re.compile(
    r"\b(can)(not)\b|\b(gon|wan)(na)\b|\b(got)(ta)\b|\b(gim|lem)(me)\b|('t)(was)\b", re.IGNORECASE
)
_NEGATION = re.compile(r"(?<=\w)(n't)\b", re.IGNORECASE)
_CLITIC = re.compile(r"(?<=\w)('(?:s|m|d|re|ve|ll))\b", re.IGNORECASE)
# A letter's full stop ends the sentence, and is dropped, if one of these words follows.
_BEGINNINGS = (
    "a about according additionally after an as at but earlier he her here however if in it last many more now once one other "
    "our she since so some such that the their then there these they this we what when while yet you"
).split()
_BEGINNING = "|".join([*(f"{word.capitalize()}|{word.upper()}" for word in _BEGINNINGS), "M[rs]\\."])
_END = re.compile(rf"(?<![^\W_])(?<!\.)([^\W\d_])\.(?=\s+(?:{_BEGINNING})(?:\s|$))")
_AND = re.compile(r"(?<=\w)('n')(?=\w)", re.IGNORECASE)
# Abbreviations keep their full stop, even at the end of a sentence.
_ABBREVIATIONS = (
    "mr mrs ms dr prof st jr sr rev hon gov sen rep gen col capt lt sgt ave blvd rd mt ft sq dept univ est tel ext co corp "
    "inc ltd bros assn vs etc cf al jan feb mar apr jun jul aug sept? oct nov dec mon tue wed thu fri calif fla ariz va md ga"
).split()
_TOKEN = re.compile(
    rf"""
    https?://\S+ | [\w.+-]+@[\w-]+\.[\w.]+ | @\w+       # addresses
    | '(?:s|m|d|re|ve|ll)\b | n't\b | 't(?=\ ?(?:is|was)\b) # clitics, split off before; 't is
    | 'n'?(?!\w) | 'em\b | '\d\ds?(?![\w"])             # rock 'n' roll, the '90s
    | (?=[^\W\d_]+['.])\b(?:                            # tried only before a stop or an apostrophe
        (?:{"|".join(_ABBREVIATIONS)}|ph\.d|(?:no|fig|pp)(?=\.\s*\d))\.
        | [a-z](?:\.[a-z])+\b\.? | [a-z]\.(?!\w)        # u.s., p.m., e.g., j. k.
        | ol'(?!\w)
      )
    | (?<!\S)[-+]?\.\d+(?!\w) | (?<!\S)[-+]\d+(?:[.,:]\d+)*(?!\w)  # .50, -1
    | \d+(?:[.,:]\d+)+                                  # 5.50, 1,000, 5:30
    | (?-i:[A-Z]+(?:[&+][A-Z]+)+)(?!\w) | (?-i:\b[A-Z]+\$) | c\+\+ | [cf]\#(?!\w)  # R&B, US$ 5, C++
    | [^\W_]+(?:_[^\W_]+)+ | _+                         # cube_1
    | [^\W_]+(?:[-/.][^\W_]+|'[^\W\d_]+)*              # black-and-white, and/or, o'brien
    | \.\.\. | --+ | \*+ | [!?]{{2,}}
    | [^\w\s]
    """,
    re.IGNORECASE | re.VERBOSE,
)
_STANFORD = "tokenizer/stanford-corenlp-3.4.1.jar"  # in pycocoevalcap


def tokenize(caption: str) -> list[str]:
    """Split a caption into Penn Treebank tokens, in lower case and without punctuation.

    On ordinary captions this agrees with the Stanford tokeniser (3.4.1, `-lowerCase`) behind published numbers:
    contractions are split ("is n't", "dog 's", "can not"), hyphenated words are not. Not implemented are its rules for
    markup, telephone numbers, pictograms and words with another sign inside (dog!cat). The Stanford tokeniser also reads
    on into the next caption: a letter's full stop at the end ("plan B.") is dropped if the next caption begins with a
    word such as 'A'. Here it is not.
    """
    text = caption.translate(_TYPOGRAPHIC)
    text = _END.sub(r"\1 .", _AND.sub(r" \1 ", text))
    text = _SPLIT_WORDS.sub(lambda match: " ".join(filter(None, match.groups())), text)
    text = _CLITIC.sub(r" \1", _NEGATION.sub(r" \1", text))
    tokens = (token.lower() for token in _TOKEN.findall(text))
    return [_BRACKETS.get(t, t) for t in tokens if t not in _PUNCTUATION and not t.startswith("--")]


def stanford_jar() -> Path | None:
    """Return the Stanford tokeniser that pycocoevalcap ships, or None if it or Java is not installed."""
    package = importlib.util.find_spec("pycocoevalcap")
    if package is None or shutil.which("java") is None:
        return None
    jars = [Path(folder) / _STANFORD for folder in package.submodule_search_locations or ()]
    return next((jar for jar in jars if jar.is_file()), None)


def tokenize_with_stanford(captions: Sequence[str], jar: Path) -> list[list[str]]:
    """Split captions into the tokens of the Stanford tokeniser, in one Java process.

    Raises:
        RuntimeError: if Java fails, or does not print one line per caption.
    """
    lines = "\n".join(" ".join(caption.split()) for caption in captions)  # one caption per line
    command = [
        "java",
        "-cp",
        str(jar),
        "edu.stanford.nlp.process.PTBTokenizer",
        "-preserveLines",
        "-lowerCase",
    ]
    process = subprocess.run(
        [*command, "-encoding", "utf-8"], input=(lines + "\n").encode(), capture_output=True
    )
    output = process.stdout.decode().split("\n")[:-1]
    if process.returncode or len(output) != len(captions):
        raise RuntimeError(
            f"{jar.name} ended with {process.returncode} and {len(output)} lines for {len(captions)} captions: "
            f"{process.stderr.decode(errors='replace')[-300:]!r}. Repair Java, or remove it from PATH: bridgelab has its own "
            "tokeniser."
        )
    return [[token for token in line.split() if token not in _PUNCTUATION] for line in output]
