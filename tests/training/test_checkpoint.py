import re

import pytest
import torch
from tiny_training import IDENTITY, Killed, train


@pytest.mark.parametrize("adapt", ["none", "prompt", "lora"])
def test_a_checkpoint_is_safe_and_holds_what_is_trained(tmp_path, tiny_text, adapt):
    train(tiny_text, tmp_path, adapt=adapt)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    stacks = {"encoder": [(0, "SelfAttention"), (1, "SelfAttention")]}
    stacks["decoder"] = [(0, "SelfAttention"), (0, "EncDecAttention")]
    lora = [
        f"model.language.{stack}.block.{block}.layer.{int(kind == 'EncDecAttention')}.{kind}.{target}.lora_{x}.default.weight"
        for stack, places in stacks.items() for block, kind in places for target in "qv" for x in "AB"
    ]  # fmt: skip
    assert sorted(checkpoint["state_dict"]) == sorted(
        [
            "model.bridge.mm_projector.bias",
            "model.bridge.mm_projector.weight",
            "model.mean",
            "model.scale",
            "model.std",
            *{"none": [], "prompt": ["model.soft_prompt"], "lora": lora}[adapt],
        ]
    )
    assert checkpoint["identity"] == IDENTITY
    assert checkpoint["global_step"] == 12
    assert not list(tmp_path.glob("*.part"))


def test_anothers_checkpoint_is_refused(tmp_path, tiny_text):
    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=4)
    with pytest.raises(ValueError, match=r"checkpoint has config=c, this run config=d"):
        train(tiny_text, tmp_path, identity=IDENTITY | {"config": "d"}, earlier="e")
    with pytest.raises(
        ValueError,
        match=r"checkpoint has vision=v, this run vision=w.*Move last\.ckpt and previous\.ckpt away",
    ):
        train(tiny_text, tmp_path, identity=IDENTITY | {"vision": "w"})
    begun = IDENTITY | {"init_from": "w@1"}
    train(
        tiny_text, tmp_path, identity=begun
    )  # a checkpoint from before they named the weights they began with
    seen = IDENTITY | {"images": "i", "choices": "c"}
    train(tiny_text, tmp_path, identity=seen)  # nor what they had seen
    train(tiny_text, tmp_path, identity=IDENTITY | {"config": "d"}, earlier="c")  # of an earlier release
    with pytest.raises(Killed):
        train(tiny_text, tmp_path / "seen", stop=5, identity=seen)
    with pytest.raises(ValueError, match=r"has images=i, choices=c, this run images=j, choices=d: "):
        train(tiny_text, tmp_path / "seen", identity=IDENTITY | {"images": "j", "choices": "d"})
    train(tiny_text, tmp_path / "seen")  # features are not stored, so nobody knows
    with pytest.raises(Killed):
        train(tiny_text, tmp_path / "begun", stop=5, identity=begun)
    with pytest.raises(
        ValueError,
        match=r"has init_from=w@1, this run init_from=w@2.*Move last\.ckpt and previous\.ckpt away",
    ):
        train(tiny_text, tmp_path / "begun", identity=begun | {"init_from": "w@2"})


def test_a_finished_checkpoint_is_not_trained_on(tmp_path, tiny_text):
    model, _ = train(tiny_text, tmp_path)
    again, _ = train(tiny_text, tmp_path)
    for a, b in zip(again.bridge.parameters(), model.bridge.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 3] + bytes(512) + whole[len(whole) // 3 + 512 :],
    ],
)
def test_a_spoiled_checkpoint_falls_back_to_the_one_before(tmp_path, tiny_text, spoil, caplog):
    whole, _ = train(tiny_text)
    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=8, save_every=3)
    last = tmp_path / "last.ckpt"
    last.write_bytes(spoil(last.read_bytes()))
    resumed, _ = train(tiny_text, tmp_path, save_every=3)
    assert re.search(r"last\.ckpt can't be read .*: resuming from .*previous\.ckpt, step 3", caplog.text)
    for a, b in zip(resumed.bridge.parameters(), whole.bridge.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
    assert not (tmp_path / "previous.ckpt").exists()  # the run has ended


def test_a_kill_between_two_renames_loses_one_save_at_most(tmp_path, tiny_text):
    whole, _ = train(tiny_text)
    with pytest.raises(Killed):
        train(tiny_text, tmp_path, stop=8, save_every=3)
    (tmp_path / "last.ckpt").unlink()
    resumed, _ = train(tiny_text, tmp_path, save_every=3)
    for a, b in zip(resumed.bridge.parameters(), whole.bridge.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_a_run_without_a_whole_checkpoint_is_not_begun_anew_unasked(tmp_path, tiny_text):
    (tmp_path / "last.ckpt").write_bytes(b"torn")
    with pytest.raises(
        ValueError, match=r"last\.ckpt can't be read .*Move last\.ckpt and previous\.ckpt away to start from"
    ):
        train(tiny_text, tmp_path)
