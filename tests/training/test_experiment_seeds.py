import pytest
import torch
from tiny_experiment import BRIDGES

from bridgelab.bridge.weights import write_weights
from bridgelab.training import experiment as settings
from bridgelab.training import lr_trial, main


def test_init_seed_and_data_seed_are_separate(tiny, config, tmp_path, monkeypatch):
    seeds = ((0, 0), (1, 0), (0, 1))
    first, other_init, other_data = (
        settings.Experiment.set_up(config(f"seed={s}", f"data_seed={d}"), torch.device("cpu"))
        for s, d in seeds
    )

    def order(experiment):
        return [
            step.rows.tolist() for step in experiment.data.batches(6, experiment.config.data_seed).sampler
        ]

    def init(experiment):
        return experiment.model(experiment.config.seed).bridge.mm_projector.weight

    assert order(first) == order(other_init) != order(other_data)
    assert torch.equal(init(first), init(other_data))
    assert not torch.equal(init(first), init(other_init))

    # All of them share a search, in folders whose names are cut too.
    def searched(experiment, *seeds):
        name = main.run_name("bridge=linear,seed={},data_seed={},".format(*seeds) + 300 * "a")
        return lr_trial.learning_rate(experiment, tmp_path / "toy" / name)

    monkeypatch.setattr(lr_trial, "search", lambda folder, *_, **__: folder)
    (shared,) = {
        searched(experiment, *own)
        for experiment, own in zip((first, other_init, other_data), seeds, strict=True)
    }
    assert shared.parent == tmp_path / "toy" / "tune"
    first.config.train.batch_size = 3
    assert searched(first, 0, 0) != shared


def test_trials_start_from_the_same_weights_whichever_seed_does_them(tiny, config, tmp_path):
    """As those of bridge=qformer_aligned, each of whose seeds has a first stage of its own."""
    made = settings.Experiment.set_up(config("train.lr=0.1"), "cpu")
    for seed in (0, 1):
        write_weights(made.model(10 + seed).bridge.state_dict(), tmp_path / f"{seed}.safetensors")

    def searching(seed):
        return config(f"seed={seed}", f"bridge.init_from={tmp_path}/${{seed}}.safetensors", "tune.extend=0")

    first, second = (
        lr_trial.learning_rate(
            settings.Experiment.set_up(searching(seed), "cpu"), tmp_path / f"{seed}" / "run"
        )
        for seed in (0, 1)
    )
    assert first["trials"] == second["trials"]
    write_weights(made.model(12).bridge.state_dict(), tmp_path / "0.safetensors")
    with pytest.raises(ValueError, match=r"trials from other weights \(0\.safetensors@\w+, this one 0\.saf"):
        lr_trial.learning_rate(settings.Experiment.set_up(searching(1), "cpu"), tmp_path / "1" / "run")
    main.check_initial_weights(searching(1))
    (tmp_path / "0.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"^the trials .* of tune\.seed=0: .*0\.safetensors: there is no such"
    ):
        main.check_initial_weights(searching(1))


def test_every_bridge_sees_the_same_examples_in_the_same_order(tiny, config, tmp_path):
    orders = []
    for bridge in BRIDGES:
        experiment = settings.Experiment.set_up(config(f"bridge={bridge}"), torch.device("cpu"))
        experiment.model(0)
        batches = experiment.data.batches(6, 0)
        orders.append([experiment.data.pools[s.pool].examples[r].id for s in batches.sampler for r in s.rows])
    assert all(order == orders[0] for order in orders)
