import pytest
import torch

from bridgelab.doctor.dry_run import Lengths, Rehearsal
from bridgelab.doctor.layer_costs import Layers, Positions
from bridgelab.doctor.ledger import allocated
from bridgelab.doctor.meta_models import tower

CPU = torch.device("cpu")


@pytest.fixture
def rehearse(composed, shape):
    def make(*overrides, images=1):
        config = composed(*overrides)
        return Rehearsal(config, CPU, shape, tower(config.vision), Layers(2, 2), images)

    return make


@pytest.mark.parametrize("bridge", ["linear", "qformer", "perceiver_question", "blind", "words_prompted"])
def test_a_step_is_a_training_step(rehearse, bridge):
    rehearsal = rehearse(f"bridge={bridge}", "train.precision=fp32", "trainer.gradient_clip_val=null")
    model = rehearsal.bridged().train()
    batch = rehearsal.batch(3, Lengths(8, 4), model.conditioning)
    optimizer = rehearsal.optimizer(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    expected = torch.autograd.grad(model.loss(batch), trained, allow_unused=True)
    before = [p.detach().clone() for p in trained]
    assert all(seconds > 0 for seconds in rehearsal.step(model, optimizer, batch))
    for p, gradient in zip(trained, expected, strict=True):
        torch.testing.assert_close(p.grad, gradient)
    assert not all(torch.equal(p, old) for p, old in zip(trained, before, strict=True))


def test_the_parts_of_a_step_are_seen_in_turn(rehearse):
    rehearsal = rehearse("bridge=linear")
    model = rehearsal.bridged().train()
    batch, optimizer = rehearsal.batch(3, Lengths(8, 4)), rehearsal.optimizer(model)
    found = allocated(lambda: rehearsal.step(model, optimizer, batch), CPU)
    assert list(found) == ["start", "forward", "decoder", "encoder", "bridge", "optimizer", "end"]
    assert (
        found["forward"] > found["bridge"] > 0
    )  # activations are gone when the gradient has reached the bridge
    assert found["end"] > 0  # gradients, and what the optimizer keeps


def test_an_answer_is_read_written_and_scored(rehearse):
    rehearsal = rehearse("bridge=linear")
    model = rehearsal.bridged().eval()
    assert all(seconds > 0 for seconds in rehearsal.answer(model, rehearsal.batch(3, Lengths(8, 4)), 3, 2))


def test_examples_of_several_images_have_the_patches_of_all(rehearse):
    rehearsal = rehearse("bridge=linear", images=2)
    assert rehearsal.batch(3, Lengths(8, 4))["patches"].shape == (3, 128, 160)
    assert rehearsal.bridged().prefix(rehearsal.batch(3, Lengths(8, 4))).shape == (3, 128, 16)


def test_positions_follow_where_tokens_enter(rehearse):
    assert rehearse("bridge=linear").positions(64, Lengths(8, 4)) == Positions(72, 72, 4)
    behind = rehearse("bridge=linear", "model.insert=encoder_output")
    assert behind.positions(64, Lengths(8, 4)) == Positions(8, 72, 4)
