import numpy as np
import pytest
import torch

from bridgelab.benchmark.example import Example
from bridgelab.data.batches import TokenizedExamples, TrainingBatches, unknown_answers
from bridgelab.data.sampler import MixtureSampler


def example(k, prompt="what is it", answer="red", images=("/a.png",), kind="answer"):
    return Example(id=f"e{k}", images=images, prompt=prompt, answers=(answer,), kind=kind)


FEATURES = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(2, 3, 4)
ROWS = {"/a.png": 0, "/b.png": 1}


def prepared(examples, text):
    return TokenizedExamples(examples, text, ROWS, lambda rows: FEATURES[torch.as_tensor(rows)])


def test_a_batch_says_what_the_examples_say(tiny_text):
    examples = [
        example(0, "what is it ?", "red"),
        example(1, "is there a red cube left of a blue sphere ?", "red cube", ("/b.png",)),
    ]
    batch = prepared(examples, tiny_text).batch([1, 0])
    assert tiny_text.decode(batch["prompt"]) == [examples[1].prompt, examples[0].prompt]
    assert batch["prompt"].shape == batch["prompt_mask"].shape == (2, 16)
    assert batch["prompt_mask"].sum(1).tolist() == [12, 5]
    red, cube, end = (tiny_text.tokenize([w])[0][0, 0].item() for w in ("red", "cube", ""))
    assert batch["labels"].tolist() == [[red, cube, end], [red, end, -100]]
    torch.testing.assert_close(batch["patches"], FEATURES[[1, 0]])


def test_lengths_are_the_batchs_own(tiny_text):
    made = prepared([example(0), example(1, "is there a red cube left of a blue sphere ?")], tiny_text)
    assert made.batch([0])["prompt"].shape == (1, 8)
    assert made.batch([0, 1])["prompt"].shape == (2, 16)


def test_one_long_text_makes_no_other_longer(tiny_text):
    """3,000 words in one of 3,000 examples: what is kept is 3,000 ids more, not 3,000 for each."""
    asked = [
        example(k, f"what {' '.join(['is'] * (k % 5))} it", "red" if k % 2 else "blue cube")
        for k in range(3000)
    ]
    made = prepared(asked, tiny_text)
    long = prepared([*asked, example(3000, "is " * 2999, "red " * 2999)], tiny_text)
    held = [
        sum(
            array.nbytes
            for one in (each._prompts, each._targets)
            for array in vars(one).values()
            if isinstance(array, np.ndarray)
        )
        for each in (made, long)
    ]
    assert held[1] - held[0] < 3000 * 2 * 4 + 100
    rows = [7, 2999, 0]
    for name, tensor in made.batch(rows).items():
        assert torch.equal(long.batch(rows)[name], tensor)
    assert long.batch([3000, 0])["prompt"].shape == long.batch([3000, 0])["labels"].shape == (2, 3000)
    assert made.outliers == []
    assert [line.partition(":")[0] for line in long.outliers] == [
        "99 % of prompts have at most 7 tokens, and the longest, of e3000, has 3000",
        "99 % of answers have at most 3 tokens, and the longest, of e3000, has 3000",
    ]


def test_texts_are_cut_after_data_longest(tiny_text):
    asked = [example(0, "what is it ?", "a red blue cube"), example(1, "is it", "yes")]
    made = TokenizedExamples(
        asked, tiny_text, ROWS, lambda r: FEATURES[r], max_length={"prompt": 4, "answer": 3}
    )
    batch = made.batch([0, 1])
    what, is_, it, end = (tiny_text.tokenize([w])[0][0, 0].item() for w in ("what", "is", "it", ""))
    assert batch["prompt"].tolist() == [[what, is_, it, end, 0, 0, 0, 0], [is_, it, end, 0, 0, 0, 0, 0]]
    a, red, blue, yes = (tiny_text.tokenize([w])[0][0, 0].item() for w in ("a", "red", "blue", "yes"))
    assert batch["labels"].tolist() == [[a, red, blue], [yes, end, -100]], "a cut answer has no end"
    assert made.outliers == [
        "1 of 2 prompts have more than data.max_length.prompt=4 tokens and are cut there; the longest, of e0, has 5",
        "1 of 2 answers have more than data.max_length.answer=3 tokens and are cut there; the longest, of e0, has 5",
    ]
    for most in (0, 2.5, "many", True):
        with pytest.raises(
            ValueError, match=rf"data\.max_length\.answer={most!r}: must be a whole number from 1 on"
        ):
            TokenizedExamples(asked, tiny_text, ROWS, None, max_length={"answer": most})


def test_answers_with_words_that_the_text_side_does_not_know_are_counted(tiny_text):
    answers = ("red", "a zebra", "two zebra", "blue gnu", "a zebra", "gnu gnu")
    found = unknown_answers([example(k, answer=answer) for k, answer in enumerate(answers)], tiny_text)
    assert found == (5, ["zebra", "gnu", "two"])
    assert unknown_answers([example(0)], tiny_text) == (0, [])


def test_several_images_stand_one_after_another(tiny_text):
    made = prepared([example(0, images=("/b.png", "/a.png"))], tiny_text)
    torch.testing.assert_close(made.batch([0])["patches"], torch.cat([FEATURES[1], FEATURES[0]])[None])


def test_another_image_can_be_shown(tiny_text):
    batch = prepared([example(0)], tiny_text).batch([0], np.array([[1]]))
    torch.testing.assert_close(batch["patches"][0], FEATURES[1])


def test_a_conditioned_bridge_is_told_the_question_or_always_the_same_other_one(tiny_text):
    texts = ["what is it ?", "is there a red cube left of a blue sphere ?", "describe", "what is it ?"]
    examples = [example(k, text) for k, text in enumerate(texts)]

    def told(question, rows):
        made = TokenizedExamples(examples, tiny_text, ROWS, lambda r: FEATURES[torch.as_tensor(r)], question)
        batch = made.batch(rows)
        assert tiny_text.decode(batch["prompt"]) == [texts[k] for k in rows]
        if question == "none":
            assert "question" not in batch
            return None
        assert batch["question_mask"].sum(1).tolist() == [
            len(text.split()) + 1 for text in tiny_text.decode(batch["question"])
        ]
        return tiny_text.decode(batch["question"])

    assert told("none", [0, 1]) is None
    assert told("question", [2, 0, 1]) == [texts[k] for k in (2, 0, 1)]
    others = told("mismatched", [0, 1, 2, 3])
    assert set(others) <= set(texts)
    assert [told("mismatched", [k])[0] for k in (3, 1)] == [others[3], others[1]]


@pytest.mark.parametrize(
    ("texts", "kind", "equal"),
    [(2, "answer", 1 / 2), (4, "answer", 1 / 4), (100, "answer", 0), (2, "caption", 0)],
)
def test_a_mismatched_question_does_not_tell_the_own_one(tiny_text, texts, kind, equal):
    """Never to draw the own one of few questions would tell it. The prompts of captions differ, as in recorded runs."""
    asked = [example(k, f"is it {k % texts}", kind=kind) for k in range(1000)]
    rows = TokenizedExamples(asked, tiny_text, ROWS, None, "mismatched").question_rows
    assert (rows != np.arange(1000)).all()
    share = np.mean(rows % texts == np.arange(1000) % texts)
    assert share == pytest.approx(equal, abs=4 * (equal * (1 - equal) / 1000) ** 0.5)


def test_where_all_questions_are_one_the_mismatched_is_that_one(tiny_text):
    made = TokenizedExamples(
        [example(0), example(1)], tiny_text, ROWS, lambda r: FEATURES[torch.as_tensor(r)], "mismatched"
    )
    assert tiny_text.decode(made.batch([0, 1])["question"]) == ["what is it"] * 2


def test_examples_with_different_numbers_of_images_are_refused(tiny_text):
    with pytest.raises(ValueError, match=r"\[1, 2\] images"):
        prepared([example(0), example(1, images=("/a.png", "/b.png"))], tiny_text)


def test_the_digest_tells_other_examples(tiny_text):
    made = [prepared([example(0, answer=a)], tiny_text).digest() for a in ("red", "blue", "red")]
    assert made[0] == made[2] != made[1]


def test_training_batches_go_on_where_they_were(tiny_text):
    made = prepared(
        [example(k, answer=a) for k, a in enumerate(["red", "blue", "cube", "sphere"] * 5)], tiny_text
    )

    def batches():
        sampler = MixtureSampler(
            {"answer": made.prompt_lengths}, [{"answer": 1}], steps=8, batch_size=4, seed=0
        )
        return TrainingBatches(sampler, {"answer": made})

    whole = [batch["labels"] for batch in batches()]
    first = batches()
    iterator = iter(first)
    begun = [next(iterator)["labels"] for _ in range(3)]
    rest = batches()
    rest.load_state_dict(first.state_dict())
    resumed = begun + [batch["labels"] for batch in rest]
    assert len(resumed) == len(whole) == len(batches()) == 8
    for a, b in zip(resumed, whole, strict=True):
        torch.testing.assert_close(a, b)
