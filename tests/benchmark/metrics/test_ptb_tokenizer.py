"""Words as the Stanford tokeniser has them: its printed output, and where Java is, itself."""

import json
import os
from pathlib import Path

import pytest

from bridgelab.benchmark.metrics.ptb_tokenizer import stanford_jar, tokenize, tokenize_with_stanford

SHARED = Path(os.environ.get("BRIDGELAB_SHARED_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
CAPTIONS = SHARED / "annotations" / "vsr" / "random" / "test.jsonl"
SENTENCES = SHARED / "annotations" / "nlvr2_balanced_dev.json"
needs_java = pytest.mark.skipif(
    stanford_jar() is None, reason="there is no java on PATH, or no pycocoevalcap"
)

# Printed by the Stanford tokeniser 3.4.1 as pycocoevalcap 1.2 calls it (PTBTokenizer().tokenize).
STANFORD = {
    "A dog's bowl, isn't it?": "a dog 's bowl is n't it",
    "don't can't won't cannot gonna": "do n't ca n't wo n't can not gon na",
    "a black-and-white t-shirt": "a black-and-white t-shirt",
    "black/white cat and/or dog": "black/white cat and/or dog",
    "(a man) [b] {c}": "-lrb- a man -rrb- -lsb- b -rsb- -lcb- c -rcb-",
    "it costs $5.50, or 1,000 dollars": "it costs $ 5.50 or 1,000 dollars",
    "he said \"hello\" and 'bye'": "he said hello and bye",
    "wait... what -- no - yes": "wait what no yes",
    "U.S. flag at 5:30 p.m.": "u.s. flag at 5:30 p.m.",
    "the end of the U.S.": "the end of the u.s.",
    "Mr. Smith goes home.": "mr. smith goes home",
    "the dogs' toys; it'd we'll they're I'm you've": "the dogs toys it 'd we 'll they 're i 'm you 've",
    "two cats&dogs 50% off #1 @home": "two cats & dogs 50 % off # 1 @home",
    "email a@b.com http://x.org": "email a@b.com http://x.org",
    "a red cube!! what?!": "a red cube !! what ?!",
    "it\u2019s a \u201cnice\u201d day \u2013 yes \u2014 no\u2026": "it 's a nice day yes no",
    "caf\u00e9 na\u00efve": "caf\u00e9 na\u00efve",
    "cube_1 * star + plus = eq": "cube_1 * star + plus = eq",
    "'tis the season": "'t is the season",
    "3-year-old 1/2 cup": "3-year-old 1/2 cup",
    "the 1990's": "the 1990 's",
    "a cat , a dog .": "a cat a dog",
    "5'10\" tall": "5 10 tall",
    "'hello' 'world": "hello world",
    "St. Bernard vs. cat no. 1": "st. bernard vs. cat no. 1",
    "a.b.c e.g. this, i.e. that etc.": "a.b.c e.g. this i.e. that etc.",
    "No.": "no",
    "e-mail- -foo 3.": "e-mail foo 3",
    "j. k. rowling has plan A.": "j. k. rowling has plan a.",
    "on Pine Ave. near Mt. Rainier, Oct. 5": "on pine ave. near mt. rainier oct. 5",
    "a Ph.D. from Acme Co.": "a ph.d. from acme co.",
    "-1 of .50, +5 points, 1.2.3": "-1 of .50 +5 points 1.2.3",
    "rock 'n' roll, get 'em, the '90s, ol' dog": "rock 'n' roll get 'em the '90s ol' dog",
    "'twas 5\u00a2 or \u20ac5 or \u00a35, \u00bd off": "'t was 5 cents or $ 5 or # 5 1/2 off",
    "**dog** \u00abcat\u00bb dog---cat": "** dog ** cat dog cat",
    "R&B, AT&T and M&M's at h&m": "r&b at&t and m&m 's at h & m",
    "A$5 or US$ 5.50 or Can$5": "a$ 5 or us$ 5.50 or can $ 5",
    "1st_ _a a__b 2nd_place a_b": "1st _ _ a a __ b 2nd_place a_b",
    "a man in shirt X.": "a man in shirt x.",
    "plan X. The dog, plan b. the dog": "plan x the dog plan b. the dog",
    "C++ and F# with mac'n'cheese": "c++ and f# with mac 'n' cheese",
    "": "",
}


@pytest.mark.parametrize(("caption", "tokens"), STANFORD.items())
def test_tokenises_as_the_stanford_tokeniser(caption, tokens):
    assert " ".join(tokenize(caption)) == tokens


@needs_java
def test_the_stanford_tokeniser_itself():
    tokenized = tokenize_with_stanford(list(STANFORD), stanford_jar())
    assert [" ".join(tokens) for tokens in tokenized] == list(STANFORD.values())
    assert tokenize_with_stanford(["", "a\n\u2028b", ""], stanford_jar()) == [[], ["a", "b"], []]


@needs_java
@pytest.mark.skipif(
    not (CAPTIONS.is_file() and SENTENCES.is_file()),
    reason=f"{CAPTIONS} is not here: set BRIDGELAB_SHARED_DATA",
)
def test_both_agree_on_all_of_real_captions():
    """2,761 captions and sentences that people wrote of photographs."""
    captions = [json.loads(line)["caption"] for line in CAPTIONS.read_text().splitlines()]
    captions += [json.loads(line)["sentence"] for line in SENTENCES.read_text().splitlines()]
    captions = list(dict.fromkeys(captions))
    assert len(captions) > 2700
    theirs = tokenize_with_stanford(captions, stanford_jar())
    differing = [(c, t) for c, t in zip(captions, theirs, strict=True) if tokenize(c) != t]
    assert not differing


def test_without_java(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert stanford_jar() is None


@needs_java
def test_a_java_that_fails_is_reported(tmp_path):
    with pytest.raises(
        RuntimeError, match=r"no\.jar ended with 1 and 0 lines for 1 captions: .*remove it from PATH"
    ):
        tokenize_with_stanford(["a dog"], tmp_path / "no.jar")
