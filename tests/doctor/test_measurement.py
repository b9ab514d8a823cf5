import pytest
import torch

from bridgelab.doctor import measurement as probing
from bridgelab.doctor.dry_run import Lengths
from bridgelab.doctor.layer_costs import Layers
from bridgelab.doctor.ledger import START, allocated
from bridgelab.doctor.measurement import TIMES, Memory, Probe, reading, repeated
from bridgelab.doctor.meta_models import tower

CPU = torch.device("cpu")
LENGTHS = Lengths(8, 4)


@pytest.fixture
def probe(composed, shape):
    def make(*overrides, whole=False, **kwargs):
        config = composed("train.batch_size=6", "evaluate.batch_size=6", *overrides)
        return Probe(config, CPU, shape, tower(config.vision), whole=whole, **kwargs)

    return make


# Read by our encoder and by transformers' own, with activations kept and not, before the encoder and behind it.
RUNS = (
    ["bridge=linear", "train.precision=fp32"],
    ["bridge=qformer", "text.dtype=bfloat16", "text.attention=sdpa"],
    ["bridge=linear", "text.dtype=bfloat16", "++text.checkpointing=true"],
    ["bridge=perceiver_question", "model.insert=encoder_output", "optim=adamw", "train.precision=fp32"],
)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: " ".join(run))
def test_memory_of_few_layers_tells_that_of_all(probe, run):
    few, all_of_it = probe(*run), probe(*run, whole=True)
    assert few.points == [Layers(2, 2), Layers(5, 2), Layers(2, 5)]
    assert all_of_it.points == [Layers(7, 6)]
    told, counted = few.memory(LENGTHS), all_of_it.memory(LENGTHS)
    for name in ("text", "vision", "trained", "step", "answers", "encoding"):
        assert getattr(told, name) == pytest.approx(getattr(counted, name), rel=0.05, abs=2000), name
    assert told.peak == pytest.approx(counted.peak, rel=0.02)


def test_memory_of_a_part_of_a_batch_tells_that_of_all(probe, monkeypatch):
    run = ["bridge=linear", "train.batch_size=32", "text.dtype=bfloat16"]
    whole = probe(*run, whole=True).memory(LENGTHS)
    monkeypatch.setattr(Probe, "_examples", lambda self, most, flops: min(most, 8))
    assert probe(*run).memory(LENGTHS).step == pytest.approx(whole.step, rel=0.1)


def test_what_is_trained_has_weights_gradients_and_a_state(probe):
    weights = 4 * (160 * 16 + 16)  # in float32
    adamw = probe("bridge=linear", "optim=adamw").memory(LENGTHS)
    assert adamw.trained == pytest.approx(4 * weights, abs=16)  # two means, and a step for each tensor
    muon = probe("bridge=linear", "optim=muon").memory(LENGTHS)
    assert muon.trained == pytest.approx(3 * weights + 4 * 16, abs=16)  # one for the matrix
    assert probe("bridge=words").memory(LENGTHS).trained == 0


def test_weights_of_both_sides(probe):
    c = probe("bridge=linear", "train.precision=fp32")
    plain = c.memory(LENGTHS)
    # Our encoder's own copies of queries, keys, values and the wide matrices, and its bias, once.
    folded = 4 * 7 * (3 * 16 * 16 + 2 * 16 * 24) + 4 * (2 * 72 * 72)
    assert plain.text == pytest.approx(c.text_weights + folded, rel=0.02)
    own = probe("bridge=linear", "text.dtype=bfloat16").memory(LENGTHS)
    assert own.text == pytest.approx(c.text_weights / 2, rel=0.01)
    assert plain.vision == 4 * 1_337_920
    assert probe("bridge=blind").memory(LENGTHS).vision == 0


def test_eight_bits_are_a_byte_a_weight_of_the_layers(probe):
    c = probe("bridge=linear", "text.dtype=bfloat16", "++text.eight_bit=true")
    words = 2 * 40 * 16
    assert c.memory(LENGTHS).text == pytest.approx(c.text_weights / 2 + words, rel=0.02)


def test_the_peak_is_of_whatever_takes_most():
    assert Memory(text=1, vision=2, trained=3, step=40, answers=50, encoding=60).peak == 66


def test_seconds_are_of_whole_batches_and_all_layers(probe, monkeypatch):
    """With a clock by which a layer of the encoder takes 2 s an example, one of the decoder 3 s, and the optimizer 7 s."""
    made = probe("bridge=linear")

    def layers():
        model = made.rehearsal.text.model
        return 2 * len(model.encoder.block) + 3 * len(model.decoder.block)

    monkeypatch.setattr(
        made.rehearsal, "step", lambda model, optimizer, batch: (layers() * len(batch["labels"]), 7.0)
    )
    monkeypatch.setattr(
        made.rehearsal, "answer", lambda model, batch, tokens, num_beams: (6.0 * layers(), 6.0 * tokens, 6.0)
    )
    monkeypatch.setattr(made, "_examples", lambda most, flops: 2)
    assert made.step(LENGTHS) == pytest.approx(6 * (2 * 7 + 3 * 6) + 7)
    monkeypatch.setattr(made, "_examples", lambda most, flops: most)
    found = made.answering(LENGTHS, 40)
    assert (found.read, found.token, found.score) == pytest.approx((2 * 7 + 3 * 6, 1.0, 1.0))


def test_processes_share_a_batch(probe):
    assert probe("bridge=linear", processes=4).batch_size == 2


def test_a_trial_is_as_large_as_time_allows(probe):
    made = probe("bridge=linear")
    made.speed = 1000.0
    assert made._examples(64, 100) == 10
    assert made._examples(64, 1) == 64
    assert made._examples(64, 1e9) == 1


def test_an_image_that_is_there_is_read(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(probing, "read_image", seen.append)
    monkeypatch.setattr(probing, "file_hash", lambda path: None)
    assert reading(["a.png", "b.png"]) >= 0
    assert seen == ["a.png", "b.png"]
    reading([])
    assert seen[-1].endswith("made.jpg")


def test_encoding_takes_what_a_batch_of_images_takes(probe):
    made = probe("bridge=linear")
    vision = made.rehearsal.vision.see(3, CPU)
    images = torch.zeros(64, 96, 96, 3, dtype=torch.uint8)
    counted = allocated(lambda: vision.patches(images), CPU)[START]
    assert made.memory(LENGTHS).encoding == pytest.approx(counted, rel=0.1)
    assert made.encoding() > 0
    assert probe("bridge=blind").encoding() == 0


def test_what_takes_long_is_tried_once(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(probing.time, "perf_counter", lambda: clock[0])

    def call(seconds):
        clock[0] += seconds
        return seconds

    assert repeated(lambda: call(0.1)) == [0.1] * TIMES
    assert repeated(lambda: call(5.0)) == [5.0]
    assert clock[0] == pytest.approx(0.1 * (1 + TIMES) + 2 * 5.0)
