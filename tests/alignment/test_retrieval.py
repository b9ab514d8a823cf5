import pytest
import torch

from bridgelab.alignment.captions import Captions, one_caption_each
from bridgelab.alignment.model import Alignment
from bridgelab.alignment.retrieval import chance, evaluate, retrieval
from bridgelab.benchmark.example import Example
from bridgelab.bridge.qformer import QFormer

CAPTIONS = [
    ("red cube", "a red cube"),
    ("blue sphere", "a blue sphere", "sphere"),
    ("yes no",),
    ("left of 1 2",),
]


@pytest.fixture
def captions(tiny_text):
    torch.manual_seed(0)
    examples = [
        Example(id=f"{k}", images=(f"/{k}",), prompt="describe", answers=own, kind="caption")
        for k, own in enumerate(CAPTIONS)
    ]
    features = torch.randn(4, 3, 5)
    rows = {f"/{k}": k for k in range(4)}
    return Captions(one_caption_each(examples), tiny_text, rows, lambda own: features[torch.as_tensor(own)])


@pytest.fixture
def model():
    torch.manual_seed(1)
    bridge = QFormer(5, 4, num_queries=3, depth=2, width=8, num_heads=2)
    return Alignment(bridge, vocabulary=40, max_length=8, embed_dim=6)


def test_recall_is_that_of_loops_over_all_pairs(model, captions):
    model.eval()
    of = captions.images[:, 0]
    texts = [model.encode_texts(captions.batch([k])["labels"])[0] for k in range(len(captions))]
    images = [model.encode_images(captions.features([k]))[0] for k in range(4)]
    similar = [[max(float(q @ text) for q in image) for text in texts] for image in images]
    to_text = [of[max(range(len(texts)), key=similar[k].__getitem__)] == k for k in range(4)]
    to_image = [max(range(4), key=lambda k: similar[k][t]) == of[t] for t in range(len(texts))]
    for batch_size in (1, 3, 100):
        found = retrieval(model, captions, batch_size)
        assert found == {"val/i2t_r1": sum(to_text) / 4, "val/t2i_r1": sum(to_image) / 7}


def test_similarities_that_are_no_numbers_find_nothing(model, captions):
    model.eval()
    with torch.no_grad():
        model.text_proj.bias.fill_(torch.nan)
    assert retrieval(model, captions, 3)["val/t2i_r1"] == 0


def test_chance_counts_all_captions_of_an_image(captions):
    assert chance(captions) == {"val/i2t_r1": pytest.approx(7 / 4 / 7), "val/t2i_r1": 1 / 4}


def test_evaluation_leaves_the_mode_as_it_was_and_is_the_same_each_time(model, captions):
    model.train()
    first = evaluate(model, captions, 3)
    assert model.training
    assert evaluate(model, captions, 3) == first
    assert first["val/loss"] == pytest.approx(first["val/itc"] + first["val/itm"] + first["val/itg"])


def test_draws_depend_on_the_rows_alone(captions):
    a, b, c = (captions.batch(rows)["draws"] for rows in ([0, 2, 5], [0, 2, 5], [2, 0, 5]))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert captions.batch([0, 1, 2])["image"].tolist() == [0, 0, 1]
