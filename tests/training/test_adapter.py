"""Runs with text.adapt: what they train, record, keep and put back; and what is refused before anything is read."""

import json

import pytest
import torch

from bridgelab.evaluation.load import load_trained
from bridgelab.runs.study import read_study
from bridgelab.training import experiment as settings
from bridgelab.training import main

PROMPT = ("text.adapt=prompt", "text.prompt_tokens=3")
LORA = ("text.adapt=lora", "text.lora={rank: 2, alpha: 4, targets: [q, v, wo]}")
GIVEN = ("train.lr=0.01", "train.budgets=[0.5]", "evaluate.shuffled=false", "study=toy")


def finished(directory, config, *overrides):
    bridge = next(one for one in overrides if one.startswith("bridge=")).removeprefix("bridge=")
    main.run(config(*GIVEN, *overrides), directory, bridge=bridge)
    return json.loads((directory / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("overrides", "adapter"),
    [
        (("bridge=qformer_question", *LORA), {"lora": 2 * (2 * 4 + 3), "prompt": 0}),
        (("bridge=words", *LORA), {"lora": 2 * (2 * 4 + 3), "prompt": 0}),
        (("bridge=blind", *PROMPT), {"lora": 0, "prompt": 1}),
    ],
)
def test_a_run_trains_records_and_puts_back_its_adapter(
    tiny, config, tmp_path, tiny_text, overrides, adapter
):
    before = tiny_text.fingerprint
    record = finished(tmp_path / "run", config, *overrides)
    assert record["adapt"] == ("lora" if adapter["lora"] else "prompt")
    assert record["steps"] == 6
    assert tiny_text.fingerprint == before == record["fingerprints"]["text"]
    start = settings.Experiment.set_up(config(*GIVEN, *overrides), "cpu").model(0)
    _, _, model = load_trained(tmp_path / "run")
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    first = dict(start.named_parameters())
    for name, parameter in trained.items():
        assert torch.equal(parameter, saved[f"model.{name}"])
        assert not torch.equal(parameter, first[name]), f"{name} was not trained"
    kinds = {
        "lora": [name for name in trained if ".lora_" in name],
        "prompt": [n for n in trained if n == "soft_prompt"],
    }
    assert {kind: len(names) for kind, names in kinds.items()} == adapter
    costs = record["costs"]
    assert costs["adapter_parameters"] == sum(p.numel() for p in model.adapter_parameters)
    assert costs["trainable_parameters"] == sum(p.numel() for p in trained.values())
    # Another run goes on from all of it, be there a bridge with weights of its own or not.
    source = f'bridge.init_from="{tmp_path}/run/last.ckpt"'
    further = settings.Experiment(config(*GIVEN, *overrides, source, "seed=1"), "cpu").backbones.model(1)
    for name, value in further.trained_state().items():
        assert torch.equal(value, saved[f"model.{name}"]), name
    # Each budget's value is of a model of its own, which left the whole run's adapter alone.
    assert [budget["steps"] for budget in record["budgets"]] == [3, 6]


def test_levels_of_text_adapt_are_a_factor(tiny, config, tmp_path):
    """Rows by level, floors of the same level, and a floor that is missing is said."""
    study = tmp_path / "toy"
    for level in ("none", "prompt"):
        for bridge in ("linear", "words", "blind")[: 3 if level == "none" else 2]:
            name = f"bridge={bridge},text.adapt={level}"
            finished(study / name, config, f"bridge={bridge}", f"text.adapt={level}", *PROMPT[1:])
    found = read_study(study)
    assert set(found.bridges) == {
        f"{bridge}, text.adapt={level}"
        for bridge in ("linear", "words", "blind")
        for level in ("none", "prompt")
    } - {"blind, text.adapt=prompt"}
    assert found.counterpart("linear, text.adapt=none", "blind") == "blind, text.adapt=none"
    assert found.counterpart("linear, text.adapt=prompt", "blind") is None
    assert found.counterpart("linear, text.adapt=prompt", "words") == "words, text.adapt=prompt"
    assert [run.trains for run in found.runs if run.bridge == "words"] == [False, True]
    assert {str(one).split(":")[0] for one in found.missing} == {"bridge=blind,seed=0,text.adapt=prompt"}


def test_an_adapter_starts_the_same_beside_any_bridge_and_a_bridge_beside_any_adapter(tiny, config):
    def model(*overrides, seed=0):
        return settings.Experiment.set_up(config(*overrides), "cpu").model(seed)

    for chosen in (LORA, PROMPT):
        linear, qformer = (model(f"bridge={name}", *chosen) for name in ("linear", "qformer"))
        assert linear.adapter_parameters
        for a, b in zip(linear.adapter_parameters, qformer.adapter_parameters, strict=True):
            assert torch.equal(a, b)
        frozen = model("bridge=linear")
        for a, b in zip(linear.bridge.parameters(), frozen.bridge.parameters(), strict=True):
            assert torch.equal(a, b)
        other = model("bridge=linear", *chosen, seed=1)
        assert not torch.equal(other.adapter_parameters[0], linear.adapter_parameters[0])
    capped = model("bridge=mlp", "budget.params=70000", *LORA)
    bridge = sum(p.numel() for p in capped.bridge.parameters())
    assert bridge == pytest.approx(70_000, rel=0.02), "a budget is of the bridge alone"


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (("text.adapt=full",), r"text\.adapt='full': must be one of none, prompt or lora"),
        ((*PROMPT, "text.prompt_tokens=0"), r"text\.prompt_tokens=0: must be at least 1"),
        ((*LORA, "text.lora.rank=0"), r"text\.lora\.rank=0: must be at least 1"),
        ((*LORA, "text.lora.alpha=0"), r"text\.lora\.alpha=0: must be above 0"),
        ((*LORA, "text.lora.targets=[]"), r"text\.lora\.targets=\[\]: must have at least 1"),
        ((*LORA, "text.lora.targets=[q, key]"), r"text\.lora\.targets\[1\]='key': must be one of q, k, v, o"),
        ((*LORA, "text.lora.targets=[wi]"), r"text\.lora\.targets has wi, .* are q, k, v, o, wi_0, wi_1, wo"),
        ((*LORA, "+text.eight_bit=true"), r"text\.adapt=lora with text\.eight_bit=true: .*eight_bit=false, or"),
        ((*LORA, "+text.device_map=auto"), r"text\.adapt=lora with text\.device_map=auto: .*device_map=null, or"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_data_are_read(tiny, config, tmp_path, monkeypatch, overrides, match):
    monkeypatch.setattr(settings, "BenchmarkDataModule", None)
    with pytest.raises(ValueError, match=match):
        main.run(config(*overrides), tmp_path / "run", bridge="linear")
