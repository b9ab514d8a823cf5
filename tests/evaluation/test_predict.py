from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from bridgelab.benchmark.example import Example
from bridgelab.benchmark.metrics.accuracy import Accuracy
from bridgelab.benchmark.metrics.caption_metric import CaptionMetric
from bridgelab.bridge.linear import Linear
from bridgelab.bridge.words import Words
from bridgelab.data.batches import TokenizedExamples
from bridgelab.data.shuffled_images import another_image
from bridgelab.evaluation.predict import Prediction, mean_loss, predict, with_targets
from bridgelab.evaluation.score import evaluate, score
from bridgelab.model import BridgedModel
from bridgelab.runs.predictions import clusters


def setting(text, kind="answer", answers=("red", "blue cube", "yes")):
    torch.manual_seed(0)
    features = torch.randn(4, 3, 5)
    examples = [
        Example(
            id=f"{k}",
            images=(f"/a/{k % 4}.png",),
            prompt=" ".join(["what"] * (k % 5 + 1)),
            answers=(answers[k % len(answers)],),
            kind=kind,
            tags={"type": "query", "hops": k % 2},
        )
        for k in range(11)
    ]
    rows = {f"/a/{k}.png": k for k in range(4)}
    prepared = TokenizedExamples(examples, text, rows, lambda r: features[torch.as_tensor(r)])
    model = BridgedModel(Linear(5, text.dim), text)
    model.init_output_scale(prepared.batch(range(4)))
    return model, prepared


def test_predictions_stand_in_the_order_asked_for_whatever_the_batch(tiny_text):
    model, prepared = setting(tiny_text)
    asked = [7, 2, 10, 0, 3]
    one_by_one = [predict(model, prepared, [row], batch_size=1)[0] for row in asked]
    for size in (2, 5, 64):
        found = predict(model, prepared, asked, batch_size=size)
        assert [p.text for p in found] == [p.text for p in one_by_one]
        assert [p.likelihood for p in found] == pytest.approx([p.likelihood for p in one_by_one], abs=1e-4)


def test_what_is_generated_is_as_long_as_data_longest_lets_it_be(tiny_text, monkeypatch):
    """Else one answer of thousands of words lets each batch run on for as long, where a bridge has not learned to end."""
    asked, own = [], BridgedModel.generate

    def generate(self, batch, *, max_new_tokens, **choices):
        asked.append(max_new_tokens)
        return own(self, batch, max_new_tokens=max_new_tokens, **choices)

    monkeypatch.setattr(BridgedModel, "generate", generate)
    model, made = setting(tiny_text, answers=("red", "yes", "blue " * 3000))
    cut = TokenizedExamples(
        made.examples,
        tiny_text,
        {f"/a/{k}.png": k for k in range(4)},
        made.features,
        max_length={"answer": 6},
    )
    predict(model, cut, range(11), batch_size=4)
    assert asked == [8, 8, 8]


def test_an_empty_answer_is_as_likely_as_the_end_token(tiny_text):
    model, prepared = setting(tiny_text)
    batch = prepared.batch([0, 1])
    start = torch.full((2, 1), tiny_text.model.config.decoder_start_token_id)
    with torch.no_grad():
        encoded = model.encode(batch)
        logits = model.language(
            encoder_outputs=BaseModelOutput(encoded.hidden),
            attention_mask=encoded.mask,
            decoder_input_ids=start,
        ).logits
    expected = logits[:, 0].log_softmax(-1)[:, tiny_text.model.config.eos_token_id].tolist()
    assert model.likelihood(with_targets(model, batch, ["", " "])).tolist() == pytest.approx(
        expected, abs=1e-5
    )


def test_another_images_patches_are_shown(tiny_text):
    model, prepared = setting(tiny_text)
    other = another_image(4)
    found = predict(model, prepared, [5], batch_size=4, other_image=other)[0]
    batch = prepared.batch([5], np.array([[other[5 % 4]]]))
    assert found.likelihood == pytest.approx(model.likelihood(batch).item(), abs=1e-5)
    assert found.likelihood != pytest.approx(model.likelihood(prepared.batch([5])).item(), abs=1e-5)


@pytest.mark.parametrize("images", [2, 3, 17])
def test_nobody_keeps_its_own_image(images):
    other = another_image(images)
    assert sorted(other) == list(range(images))
    assert (other != np.arange(images)).all()
    assert (other == another_image(images)).all()


def test_one_image_cant_be_shuffled():
    with pytest.raises(ValueError, match="1 image can't be shuffled: at least 2"):
        another_image(1)


def test_true_or_false_is_the_likelier(tiny_text):
    model, prepared = setting(tiny_text, "true_false", ("true", "false"))
    found = predict(model, prepared, range(11), batch_size=4)
    for row, one in enumerate(found):
        scores = {}
        for word in ("true", "false"):
            labels, _ = tiny_text.tokenize([word])
            batch = prepared.batch([row]) | {"labels": labels[:, :2]}
            scores[word] = model.likelihood(batch).item()
        assert one.text == max(scores, key=scores.get)


def test_the_likeliest_of_choices_of_different_number_and_length(tiny_text):
    model, prepared = setting(tiny_text)
    words = ("red", "blue cube", "yes", "sphere left of a cube")
    chooses = [
        replace(e, kind="choice", choices=words[: 2 + k % 3], answers=(words[k % 2],))
        for k, e in enumerate(prepared.examples)
    ]
    prepared = TokenizedExamples(chooses, tiny_text, {f"/a/{k}.png": k for k in range(4)}, prepared.features)
    found = predict(model, prepared, range(11), batch_size=4)
    for row, (one, example) in enumerate(zip(found, chooses, strict=True)):
        alone = []
        for word in example.choices:  # each in a pass of its own, encoder included
            labels, mask = tiny_text.tokenize([word])
            batch = prepared.batch([row]) | {"labels": labels.masked_fill(~mask, -100)}
            alone.append(model.likelihood(batch).item())
        assert one.likelihoods == pytest.approx(alone, abs=1e-4)
        assert one.text == example.choices[int(np.argmax(alone))]
        assert one.likelihood == one.likelihoods[example.choices.index(example.answers[0])]
    rows, _ = evaluate(
        model, {"choice": prepared}, {"choice": Accuracy()}, {"choice": chooses}, batch_size=4, shuffled=False, images=4
    )  # fmt: skip
    assert rows[3]["likelihoods"] == list(found[3].likelihoods)
    # Beside another kind of question no kind's values replace the other's: accuracy and the floor are over both.
    _, asked = setting(tiny_text)
    tests, by = {"choice": prepared, "answer": asked}, ("hops",)
    train = {"choice": chooses, "answer": asked.examples[:1]}
    metrics = {"choice": Accuracy(by=by), "answer": Accuracy(by=by)}
    # The T5 names one of the options, and no right answer: the last kind alone would give 0.
    rows, values = evaluate(model, tests, metrics, train, batch_size=4, shuffled=True, images=4)
    for view, prefix in (("image", "test"), ("shuffled", "test_shuffled")):
        frame = pd.DataFrame(rows).query(f"view == '{view}'")
        kinds = frame.groupby("kind")["score"].mean()
        assert kinds["answer"] == 0 < kinds["choice"]
        assert values[f"{prefix}/accuracy"] == pytest.approx(frame["score"].mean(), abs=1e-12)
        for kind in tests:
            assert values[f"{prefix}/accuracy_{kind}"] == pytest.approx(kinds[kind], abs=1e-12)
        for hops, own in frame.groupby("tag_hops"):
            assert values[f"{prefix}/accuracy/hops={hops}"] == pytest.approx(own["score"].mean(), abs=1e-12)
            alone = own.query("kind == 'choice'")["score"].mean()
            assert values[f"{prefix}/accuracy_choice/hops={hops}"] == pytest.approx(alone, abs=1e-12)
    both = [values[f"test/majority_{kind}"] for kind in tests]
    assert both[0] != both[1]
    assert values["test/majority"] == pytest.approx(sum(both) / 2, abs=1e-12)  # of as many questions each
    _, alone = evaluate(model, {"choice": prepared}, metrics, train, batch_size=4, shuffled=False, images=4)
    assert set(alone) == {
        "test/majority", "test/accuracy", "test/accuracy/hops=0", "test/accuracy/hops=1", "test/likelihood_choice"
    }  # fmt: skip


def test_beams_find_what_transformers_finds(tiny_text):
    model, prepared = setting(tiny_text)
    batch = prepared.batch(range(4))
    hidden, mask, _ = model.encode(batch)
    own = model.generate(batch, max_new_tokens=6, num_beams=3)
    theirs = tiny_text.model.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=hidden), attention_mask=mask, max_new_tokens=6, num_beams=3
    )  # fmt: skip
    assert own.tolist() == theirs[:, 1:].tolist()


def test_the_record_has_each_example_in_each_view(tiny_text):
    model, prepared = setting(tiny_text)
    rows, metrics = evaluate(
        model,
        {"answer": prepared},
        {"answer": Accuracy()},
        {"answer": prepared.examples},
        batch_size=4,
        shuffled=True,
        images=4,
    )
    assert [(row["id"], row["view"]) for row in rows] == [
        (f"{k}", v) for v in ("image", "shuffled") for k in range(11)
    ]
    shown = [row for row in rows if row["view"] == "image"]
    assert metrics["test/accuracy"] == pytest.approx(np.mean([row["score"] for row in shown]))
    assert metrics["test_shuffled/accuracy"] == pytest.approx(np.mean([row["score"] for row in rows[11:]]))
    # Red and 'blue cube' stand four times each, yes three.
    assert metrics["test/majority"] == pytest.approx(4 / 11)
    assert {row["majority"] for row in rows} == {"blue cube"}
    assert rows[1] | {"likelihood": 0, "prediction": "", "score": 0} == {
        "id": "1",
        "image": "a/1.png",
        "kind": "answer",
        "view": "image",
        "prompt": "what what",
        "target": "blue cube",
        "prediction": "",
        "score": 0,
        "likelihood": 0,
        "majority": "blue cube",
        "majority_of_family": "blue cube",
        "tag_type": "query",
        "tag_hops": 1,
    }


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/d/a/cam/f.png", "/d/b/cam/f.png", "/d/c/cam/f.png"], ["a/cam/f.png", "b/cam/f.png", "c/cam/f.png"]),
        (["/d/a/cam/f.png", "/d/b/cam/g.png", "/d/a/cam/f.png"], ["cam/f.png", "cam/g.png", "cam/f.png"]),
        (["/f.png", "/cam/f.png", "/d/cam/f.png"], ["/f.png", "/cam/f.png", "d/cam/f.png"]),
    ],
)  # fmt: skip
def test_images_have_names_that_tell_them_apart(paths, names):
    """Over all kinds of questions, and as short as they were where folder and file tell them apart."""

    class Prepared(list):
        examples: list[Example]

    tests = {}
    for kind, of_kind in (("answer", paths[:2]), ("caption", paths[2:])):
        tests[kind] = Prepared([0] * len(of_kind))
        tests[kind].examples = [Example(path, (path, paths[0]), "what", ("red",), kind) for path in of_kind]
    predictions = {(kind, "image"): [Prediction("red", -1.0)] * len(of) for kind, of in tests.items()}
    rows, _ = score(predictions, tests, {"answer": Accuracy(), "caption": Accuracy()}, {})
    assert [row["image"] for row in rows] == [f"{name}|{names[0]}" for name in names]
    own = pd.DataFrame({"image": names})
    assert len(set(clusters(own))) == len(set(paths))


def test_evaluation_leaves_the_mode_as_it_was(tiny_text):
    model, prepared = setting(tiny_text)
    model.train()
    predict(model, prepared, [0], batch_size=1)
    losses = [mean_loss(model, prepared, range(11), batch_size=size) for size in (11, 10, 4, 1)]
    assert model.bridge.training
    whole = model.loss(prepared.batch(range(11))).item()
    assert losses == pytest.approx([whole] * 4, abs=1e-5)  # whatever the batches


def test_captioned_answers_are_read_from_the_bridges_own_caption(tiny_text):
    model, prepared = setting(tiny_text)
    features = torch.randn(4, 3, 5)
    rows_of = {f"/a/{k}.png": k for k in range(4)}
    asked = [
        Example(f"c{k}", (f"/a/{k}.png",), "describe", ("a red cube left of a",), "caption") for k in range(4)
    ]
    to_caption = TokenizedExamples(asked, tiny_text, rows_of, lambda r: features[torch.as_tensor(r)])
    captions = [p.text for p in predict(model, to_caption, range(4), batch_size=4)]
    assert any(captions)
    rows, metrics = evaluate(
        model,
        {"answer": prepared},
        {"answer": Accuracy()},
        {"answer": prepared.examples},
        batch_size=4,
        shuffled=False,
        images=4,
        to_caption=to_caption,
    )
    assert [(row["id"], row["view"]) for row in rows] == [
        (f"{k}", v) for v in ("image", "captioned") for k in range(11)
    ]
    assert "test_captioned/accuracy" in metrics
    assert len({len(caption.split()) for caption in captions}) > 1
    words = BridgedModel(Words(tiny_text.dim, tiny_text.dim, num_tokens=0), tiny_text)
    for k in range(11):  # each as if it were alone, whatever the captions in its batch
        seen = prepared.batch([k]) | {"patches": tiny_text.embed_words([captions[k % 4]])}
        assert rows[11 + k]["likelihood"] == pytest.approx(words.likelihood(seen).item(), abs=1e-4)


def test_captions_themselves_are_not_read_from_captions(tiny_text):
    model, prepared = setting(tiny_text, "caption")
    rows, _ = evaluate(
        model,
        {"caption": prepared},
        {"caption": CaptionMetric(attributes=False)},
        {"caption": prepared.examples},
        batch_size=4,
        shuffled=False,
        images=4,
        to_caption=TokenizedExamples(
            prepared.examples[:4], tiny_text, {f"/a/{k}.png": k for k in range(4)}, prepared.features
        ),
    )
    assert {row["view"] for row in rows} == {"image"}
