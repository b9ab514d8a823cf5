import numpy as np
import pytest
import torch

from bridgelab.data.features.feature_store import FeatureStore
from bridgelab.data.image_files import file_hash, read_image
from bridgelab.doctor import dry_run as dry
from bridgelab.doctor import measurement
from bridgelab.doctor.costs import Answering, Costs, Memory
from bridgelab.doctor.dry_run import REPEATS, DryRun, depths, noise, write_images
from bridgelab.doctor.measurement import allocated, at_size
from bridgelab.doctor.random_models import Layers, tower
from bridgelab.doctor.workload import Lengths
from bridgelab.evaluation.costs import measure_costs

CPU = torch.device("cpu")
LENGTHS = Lengths(8, 4)


@pytest.fixture
def run(composed, shape, monkeypatch):
    """Make a dry run with batches of 1; with at most `fitting` layers a stack, if given."""

    def make(*overrides, fitting=None, **kwargs):
        if fitting is not None:
            monkeypatch.setattr(dry, "depths", lambda full, share: depths(full, (fitting + 0.5) / max(full)))
        config = composed("train.batch_size=1", "evaluate.batch_size=1", *overrides)
        return DryRun(config, CPU, shape, tower(config.vision), **kwargs)

    return make


# With our encoder and with transformers' own, with activations kept and not, tokens before the encoder and behind it.
RUNS = (
    ["bridge=linear", "train.precision=fp32"],
    ["bridge=qformer", "text.dtype=bfloat16", "text.attention=sdpa"],
    ["bridge=linear", "text.dtype=bfloat16", "++text.checkpointing=true"],
    ["bridge=perceiver_question", "model.insert=encoder_output", "optim=adamw", "train.precision=fp32"],
    ["bridge=linear", "model.insert=cross_attention", "train.precision=fp32"],
    ["bridge=linear", "text.adapt=lora", "train.precision=fp32"],
)


@pytest.mark.parametrize("bridge", ["linear", "qformer", "perceiver_question", "blind", "words_prompted"])
def test_a_step_is_a_training_step(run, bridge, monkeypatch):
    # The weights that it starts from do not matter: the file is not even read.
    start = "bridge.init_from=none.ckpt"
    dry_run = run(f"bridge={bridge}", "train.precision=fp32", "trainer.gradient_clip_val=null", start)
    batches = []
    plain = DryRun.batch
    monkeypatch.setattr(DryRun, "batch", lambda *args: batches.append(plain(*args)) or batches[-1])
    model, _, step = dry_run.trial(3, LENGTHS)
    trained = [p for p in model.parameters() if p.requires_grad]
    expected = torch.autograd.grad(model.loss(batches[0]), trained, allow_unused=True)
    before = [p.detach().clone() for p in trained]
    step()
    for p, gradient in zip(trained, expected, strict=True):
        torch.testing.assert_close(p.grad, gradient)
    assert not all(torch.equal(p, old) for p, old in zip(trained, before, strict=True))


def test_a_step_in_parts_takes_the_memory_of_one_and_the_time_of_all(run, monkeypatch):
    taken, own = [], DryRun.trial
    monkeypatch.setattr(
        DryRun,
        "trial",
        lambda self, examples, lengths: taken.append(examples) or own(self, examples, lengths),
    )
    passes, forward = [], dry.BridgedModel.forward
    monkeypatch.setattr(
        dry.BridgedModel, "forward", lambda self, batch: passes.append(1) or forward(self, batch)
    )
    dry_run = run("bridge=linear", "train.batch_size=6", "+trainer.accumulate_grad_batches=3", processes=2)
    dry_run.memory(LENGTHS)
    dry_run.step_seconds(LENGTHS)
    assert set(taken) == {1}  # of batches of 6, by two processes, in three parts
    *_, step = dry_run.trial(1, LENGTHS)
    passes.clear()
    step()
    assert len(passes) == 3


def test_an_answer_is_encoded_generated_and_scored(run):
    found = run("bridge=linear").answering(LENGTHS, 3)
    assert min(found.encode, found.generate, found.score, found.bytes) > 0


def test_examples_of_several_images_have_the_patches_of_all(run):
    dry_run = run("bridge=linear", images=2)
    assert dry_run.batch(3, LENGTHS)["patches"].shape == (3, 128, 160)
    assert dry_run.bridged().prefix(dry_run.batch(3, LENGTHS)).shape == (3, 128, 16)


@pytest.mark.parametrize("overrides", RUNS, ids=" ".join)
def test_memory_of_few_layers_predicts_that_of_all(run, overrides):
    true = run(*overrides)
    assert true.depths == [Layers(7, 6)]
    few = run(*overrides, fitting=4)
    assert few.depths == [Layers(2, 1), Layers(4, 3)]
    counted, predicted = true.memory(LENGTHS), few.memory(LENGTHS)
    for name in ("text", "vision", "trained", "step"):
        assert getattr(predicted, name) == pytest.approx(getattr(counted, name), rel=0.05, abs=2000), name
    answers, few_answers = (one.answering(LENGTHS, 2).bytes for one in (true, few))
    assert few_answers == pytest.approx(answers, rel=0.05, abs=2000)


def test_memory_of_a_part_of_a_batch_predicts_that_of_all(run, monkeypatch):
    overrides = ["bridge=linear", "train.batch_size=32", "text.dtype=bfloat16"]
    whole = run(*overrides).memory(LENGTHS)
    monkeypatch.setattr(measurement, "LIMIT", 0.0)
    assert run(*overrides).memory(LENGTHS).step == pytest.approx(whole.step, rel=0.1)


def test_what_is_trained_has_weights_gradients_and_a_state(run):
    weights = 4 * (160 * 16 + 16)  # in float32
    adamw = run("bridge=linear", "optim=adamw").memory(LENGTHS)
    assert adamw.trained == pytest.approx(4 * weights, abs=16)  # two means, and a step for each tensor
    muon = run("bridge=linear", "optim=muon").memory(LENGTHS)
    assert muon.trained == pytest.approx(3 * weights + 4 * 16, abs=16)  # one for the matrix
    assert run("bridge=words").memory(LENGTHS).trained == 0


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_blocks_between_all_layers_are_counted_from_few(run, stack):
    overrides = ["bridge=linear", "model.insert=cross_attention", f"model.cross_attention.stack={stack}"]
    blocks = {"encoder": 7, "decoder": 6}[stack]  # of four projections and three matrices four times as wide
    expected = 160 * 16 + 16 + blocks * (16 * 16**2 + 2 * 16 + 2)
    assert run(*overrides).trained == expected
    assert run(*overrides, fitting=4).trained == pytest.approx(expected, rel=0.1)


def test_an_adapter_is_counted_with_what_is_trained(run):
    frozen = run("bridge=linear", "optim=adamw").memory(LENGTHS)
    prompt = run("bridge=linear", "optim=adamw", "text.adapt=prompt", "text.prompt_tokens=5").memory(LENGTHS)
    assert prompt.trained - frozen.trained == pytest.approx(4 * 4 * 5 * 16, abs=16)
    lora = run("bridge=words", "optim=adamw", "text.adapt=lora").memory(LENGTHS)
    matrices = 2 * (7 + 2 * 6)  # q and v in each layer's attention
    assert lora.trained == pytest.approx(4 * 4 * matrices * 8 * (16 + 16), abs=8 * matrices)


def test_weights_of_both_models(run):
    c = run("bridge=linear", "train.precision=fp32")
    plain = c.memory(LENGTHS)
    # Our encoder's own copies of queries, keys, values and the wide matrices, and its bias, once.
    folded = 4 * 7 * (3 * 16 * 16 + 2 * 16 * 24) + 4 * (2 * 72 * 72)
    assert plain.text == pytest.approx(c.text_bytes + folded, rel=0.02)
    half = run("bridge=linear", "text.dtype=bfloat16")
    assert half.text_bytes == c.text_bytes / 2
    assert half.memory(LENGTHS).text == pytest.approx(c.text_bytes / 2, rel=0.01)
    assert plain.vision == 4 * 1_337_920
    assert run("bridge=blind").memory(LENGTHS).vision == 0


@pytest.mark.parametrize(("dtype", "width"), [("bfloat16", 2), ("float32", 4)])
def test_eight_bits_are_a_byte_a_weight_of_the_layers(run, dtype, width):
    """transformers keeps what is no matrix, the embeddings and each FFN's `wo`."""
    # Checkpointing keeps copies of the weights away, which a GPU has none of.
    c = run("bridge=linear", f"text.dtype={dtype}", "++text.eight_bit=true", "++text.checkpointing=true")
    attention, dense, layers = 4 * 16 * 16, 16 * 24, 7 + 6
    matrices = (7 + 2 * 6) * attention + layers * 2 * dense
    norms, bias = 16 * (2 * 7 + 3 * 6 + 2), 2 * 8 * 2
    kept = 2 * 40 * 16 + norms + bias + layers * dense
    assert c.memory(LENGTHS).text == pytest.approx(matrices + width * kept, rel=0.005)


def test_the_peak_is_of_the_phase_that_takes_most():
    memory = Memory(text=1, vision=2, trained=3, step=40)
    costs = Costs(
        1, 1, 1, 60, {"answer": Answering(1, 1, 1, 50), "caption": Answering(1, 1, 1, 5)}, memory, 100
    )
    assert costs.phases == {"a step": 40, "an evaluation's batch": 50, "encoding": 60}
    assert costs.peak == 166


def test_processes_share_a_batch(run):
    assert run("bridge=linear", "train.batch_size=6", processes=4).batch_size == 2


@pytest.mark.parametrize("overrides", RUNS, ids=" ".join)
def test_operations_are_those_that_a_record_tells(run, overrides):
    dry_run = run(*overrides)
    model = dry_run.bridged().train()
    costs = measure_costs(model, dry_run.batch(1, LENGTHS, model.conditioning))
    total = sum(number for name, number in costs.items() if name.startswith("flops_"))
    # A record counts the T5's backward apart from the bridge's; what is checkpointed is computed again.
    assert dry_run.flops(LENGTHS) == pytest.approx(total, rel=0.01)


def text_flops(config, read, attended, written, *, through):
    """Operations of a T5's forward pass on one example, and of the backward pass to its input.

    Multiplications, for an encoder that reads r positions, a decoder that writes t and attends to a, with d = d_model,
    i = num_heads d_kv and f = 3 d_ff: an encoder layer r (4 d i + d f) + 2 r^2 i; a decoder layer
    t (6 d i + d f) + 2 a d i + 2 t^2 i + 2 t a i; the output t d V. Backward, each frozen matrix is multiplied by once more, and
    each product of two activations twice more. What lies before the first decoder layer's cross-attention has no gradient.
    """
    d, i, f = config.d_model, config.num_heads * config.d_kv, 3 * config.d_ff
    matrices, attention = read * (4 * d * i + d * f), 2 * read**2 * i
    own, look_back = written * 4 * d * i, 2 * written**2 * i
    ask, keys, look = written * 2 * d * i, attended * 2 * d * i, 2 * written * attended * i
    dense, head = written * d * f, written * d * config.vocab_size
    decoders = config.num_decoder_layers
    forward = config.num_layers * (matrices + attention) + head
    forward += decoders * (own + look_back + ask + keys + look + dense)
    backward = head + config.num_layers * (matrices + 2 * attention) * through
    backward += ask // 2 + keys + look * 3 // 2 + dense
    backward += (decoders - 1) * (own + 2 * look_back + ask + keys + 2 * look + dense)
    return 2 * forward, 2 * backward


@pytest.mark.parametrize("target", [1, 5])
@pytest.mark.parametrize("insert", ["encoder_input", "encoder_output"])
def test_operations_are_those_of_the_formula(run, shape, target, insert):
    dry_run = run("bridge=linear", "text.dtype=bfloat16", f"model.insert={insert}")
    read = 64 + 8 if insert == "encoder_input" else 8
    through = text_flops(shape, read, 64 + 8, target, through=insert == "encoder_input")
    bridge = 2 * (2 * 64 * 160 * 16)  # forward, and the gradient of its weights
    assert dry_run.flops(Lengths(8, target)) == pytest.approx(sum(through) + bridge, rel=0.01)


def test_operations_of_few_layers_predict_those_of_all(run):
    true = run("bridge=linear").flops(LENGTHS)
    assert run("bridge=linear", fitting=4).flops(LENGTHS) == pytest.approx(true, rel=0.1)


def test_the_t5s_weights_decide_how_many_layers_are_built():
    full = Layers(24, 24)
    assert depths(full, 1.0) == [full]
    assert depths(full, 0.5) == [Layers(6, 6), Layers(12, 12)]
    assert depths(full, 0.01) == [Layers(1, 1), Layers(2, 2)]


def test_seconds_are_of_whole_batches_and_all_layers(run, monkeypatch):
    """With a clock by which a layer of the encoder takes 2 s an example, one of the decoder 3 s, and the optimizer 7 s."""
    dry_run = run("bridge=linear", "train.batch_size=6", fitting=2)
    model = dry_run.text.model

    def step(examples, lengths):
        layers = 2 * len(model.encoder.block) + 3 * len(model.decoder.block)
        return None, None, lambda: examples * layers + 7.0

    monkeypatch.setattr(dry_run, "trial", step)
    monkeypatch.setattr(dry_run, "_seconds", lambda call: call())
    monkeypatch.setattr(measurement, "LIMIT", 0.0)
    dry_run.layers = Layers(6, 6)
    assert dry_run.step_seconds(LENGTHS) == pytest.approx(6 * (2 * 6 + 3 * 6) + 7)


def test_a_batch_that_takes_long_is_extrapolated():
    tried = []

    def measure(examples):
        tried.append(examples)
        return np.array([1.0 + 0.5 * examples, 10.0 * examples])

    assert at_size(measure, 3).tolist() == [2.5, 30.0]
    assert at_size(measure, 64) == pytest.approx([33.0, 640.0])
    assert tried == [1, 3, 1, 4]


@pytest.mark.parametrize(("most", "tried"), [(15, [1, 4, 16]), (63, [1, 4, 16, 64]), (3, [1, 4])])
def test_a_batch_that_does_not_fit_is_extrapolated_from_two_that_do(most, tried):
    sizes = []

    def measure(examples):
        sizes.append(examples)
        if examples > most:
            raise torch.OutOfMemoryError
        return np.array([0.01, 5.0 + 10.0 * examples])

    if most < 4:
        with pytest.raises(torch.OutOfMemoryError):
            at_size(measure, 64)
    else:
        assert at_size(measure, 64) == pytest.approx([0.01, 645.0])
    assert sizes == tried


def test_what_takes_long_is_timed_once(run, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(dry.time, "perf_counter", lambda: clock[0])
    dry_run = run("bridge=linear")

    def call(seconds):
        clock[0] += seconds

    assert dry_run._seconds(lambda: call(0.1)) == pytest.approx(0.1)
    assert clock[0] == pytest.approx(0.1 * (1 + REPEATS))
    assert dry_run._seconds(lambda: call(5.0)) == 5.0
    assert clock[0] == pytest.approx(0.1 * (1 + REPEATS) + 2 * 5.0)


def test_images_are_written_as_files_that_differ(tmp_path):
    paths = write_images(tmp_path, [noise()], 3)
    assert len({file_hash(path) for path in paths}) == 3
    pixels = [read_image(path) for path in paths]
    assert pixels[0].shape == (480, 640, 3)
    assert all(np.array_equal(pixels[0], other) for other in pixels)


def test_encoding_takes_what_the_feature_store_takes(run, monkeypatch):
    dry_run = run("bridge=linear")
    vision = dry_run.vision.on(CPU)
    images = torch.zeros(64, 96, 96, 3, dtype=torch.uint8)
    counted = allocated(lambda: vision.patches(images), CPU).peak
    clock = [0.0]

    def features(store, paths):
        assert all(read_image(path).shape == (480, 640, 3) for path in paths)
        clock[0] += 0.5 + 0.25 * len(paths)

    monkeypatch.setattr(FeatureStore, "features", features)
    monkeypatch.setattr(dry.time, "perf_counter", lambda: clock[0])
    seconds, peak = dry_run.encoding()
    assert peak == pytest.approx(counted, rel=0.1)
    assert seconds == pytest.approx((0.5 + 0.25 * 64) / 64)
    assert run("bridge=blind").encoding() == (0, 0)


def test_the_most_that_was_held_and_what_is_left_are_counted():
    kept = []

    def call():
        first = torch.empty(1000)
        torch.empty(500)  # gone at once
        kept.append(torch.empty(200))
        del first

    assert allocated(call, CPU) == (6000, 800)


def test_what_an_earlier_call_left_may_be_given_back():
    held = []
    allocated(lambda: held.append(torch.empty(1000)), CPU)
    assert allocated(held.clear, CPU) == (0, -4000)


def test_what_a_backward_pass_needs_is_held_until_then():
    x = torch.ones(1000, requires_grad=True)

    def call():
        y = x.exp().exp().exp()  # each output is kept for its gradient
        y.backward(torch.ones_like(y))

    peak, kept = allocated(call, CPU)
    assert 4 * 4000 <= peak <= 6 * 4000
    assert kept == 4000  # the gradient
