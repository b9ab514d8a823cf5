import re
import shlex

import pytest
from omegaconf import OmegaConf

from bridgelab.config.root import config_root
from bridgelab.runs import warm_start_files
from bridgelab.runs.identity import DEVICE_MAPS, claim, config_hash, refuse_another, search_key
from bridgelab.runs.initial_weights import initial_file
from bridgelab.runs.own_code import own_code
from bridgelab.runs.record import write_json
from bridgelab.runs.repeat_command import keep_overrides
from bridgelab.runs.steps_done import StepsDone

CONFIG = OmegaConf.create(
    {"seed": 0, "paths": {"data": "/a"}, "benchmark": {"root": "${paths.data}/world"}, "train": {"lr": 0.1}}
)


def changed(key, value):
    config = CONFIG.copy()
    OmegaConf.update(config, key, value)
    return config


def test_the_hash_tells_choices_and_not_places():
    assert config_hash(CONFIG) == config_hash(changed("paths.data", "/b"))
    assert config_hash(CONFIG) == config_hash(OmegaConf.create(dict(reversed(list(CONFIG.copy().items())))))
    assert config_hash(CONFIG) == config_hash(OmegaConf.merge(CONFIG, {"compile": True}))
    keeps, *others = (
        changed("text", {"checkpointing": on, **placed})
        for on in (False, True)
        for placed in ({}, {"device_map": "auto"}, {"device_map": {"encoder": 0}})
    )
    for other in others:
        for training in (False, True):
            assert config_hash(keeps, training=training) == config_hash(other, training=training)
        assert search_key(keeps) == search_key(other)
    assert config_hash(keeps) == "77e4eac5b1b2b39c", "as runs from before it counted as false have it"
    assert config_hash(CONFIG) != config_hash(changed("train.lr", 0.2))
    assert config_hash(CONFIG) != config_hash(changed("seed", 1))
    published = OmegaConf.merge(CONFIG, {"benchmark": {"published": {"images": {"train": 5}}}})
    for training in (False, True):
        assert config_hash(CONFIG, training=training) == config_hash(published, training=training)


def test_the_hash_has_the_device_map_of_the_models_yaml():
    """As older runs have it: that of a model that is spread by itself, and otherwise none."""
    yamls = [OmegaConf.load(path) for path in (config_root() / "conf" / "text").glob("*.yaml")]
    assert {one.path: one.device_map for one in yamls if "device_map" in one} == DEVICE_MAPS
    auto, null = (
        changed("text", {"path": "google/flan-t5-xxl", "device_map": value}) for value in ("auto", None)
    )
    assert config_hash(auto) == config_hash(null) == "ab874e9ccf15c637", "as runs from before have it"


def test_the_hash_tells_what_a_trainer_does_to_learning_and_not_its_hardware():
    shipped = {
        "_target_": "pytorch_lightning.Trainer", "_partial_": True, "accelerator": "cpu", "devices": 1, "num_nodes": 1,
        "strategy": "auto", "gradient_clip_val": 1.0,
    }  # fmt: skip
    hardware = {
        "accelerator": "gpu",
        "devices": 8,
        "num_nodes": 2,
        "strategy": "ddp",
        "accumulate_grad_batches": 4,
    }
    learned = [
        {"gradient_clip_val": 0.1},
        {"gradient_clip_val": None},
        {"gradient_clip_algorithm": "value"},
        {"sync_batchnorm": True},
        {"_target_": "mine.Trainer"},
    ]

    def hashes(trainer):
        config = OmegaConf.merge(CONFIG, {"trainer": trainer})
        return config_hash(config), config_hash(config, training=True), search_key(config)

    from_before = hashes(shipped)
    assert from_before[0] == config_hash(CONFIG)  # in which the group was left out
    assert from_before == hashes(shipped | hardware) == hashes(shipped | {"gradient_clip_algorithm": None})
    others = [hashes(shipped | choice) for choice in learned]
    assert all(len(set(column)) == len(learned) + 1 for column in zip(from_before, *others, strict=True))
    without = {key: value for key, value in shipped.items() if key != "gradient_clip_val"}
    assert hashes(without) == hashes(shipped | {"gradient_clip_val": None})


def test_a_key_that_one_choice_alone_reads_is_told_with_that_choice_alone():
    """So that runs from before the key are the same runs."""
    given = {"cross_attention": {"every": 2}}
    for training in (False, True):
        before, after, between, other = (
            config_hash(OmegaConf.merge(CONFIG, {"model": model}), training=training)
            for model in (
                {"insert": "encoder_input"},
                {"insert": "encoder_input", **given},
                {"insert": "cross_attention", **given},
                {"insert": "cross_attention", "cross_attention": {"every": 1}},
            )
        )
        assert before == after
        assert len({before, between, other}) == 3
        # A bridge may choose it as well (bridge.insert).
        own = OmegaConf.merge(
            CONFIG, {"bridge": {"insert": "cross_attention"}, "model": {"insert": "encoder_input", **given}}
        )
        without = OmegaConf.merge(own, {"model": {"cross_attention": {"every": 1}}})
        assert config_hash(own, training=training) != config_hash(without, training=training)


def test_what_no_choice_reads_lets_an_older_run_go_on(tmp_path):
    """With a corrected evaluation, which is compared key by key with a config from before the keys."""
    older = OmegaConf.merge(CONFIG, {"text": {"path": "t5"}})
    claim(tmp_path, OmegaConf.merge(older, {"evaluate": {"num_beams": 1}}))
    (tmp_path / "metrics.csv").touch()
    later = {"text": {"adapt": "none", "prompt_tokens": 16, "lora": {"rank": 8}}}
    newer = OmegaConf.merge(older, later, {"evaluate": {"num_beams": 2}})
    assert not claim(tmp_path, newer)
    for adapt, key in (("lora", r"text\.lora\.rank"), ("prompt", r"text\.prompt_tokens")):
        other = OmegaConf.merge(newer, {"text": {"adapt": adapt, "prompt_tokens": 3, "lora": {"rank": 3}}})
        assert config_hash(other) != config_hash(newer)
        with pytest.raises(ValueError, match=rf"they differ in text\.adapt, {key}"):
            claim(tmp_path, other)


@pytest.mark.parametrize("written_out_first", [False, True])
def test_a_value_written_out_is_the_value_of_an_interpolation(tmp_path, written_out_first):
    """As `benchmark.root=/data/gqa` is, where conf/ takes /data from the environment."""
    pair = [CONFIG, changed("benchmark.root", "/a/world")]
    first, second = reversed(pair) if written_out_first else pair
    claim(tmp_path, first)
    (tmp_path / "metrics.csv").touch()
    assert not claim(tmp_path, second)
    assert (tmp_path / "config.hash").read_text().strip() == config_hash(second) != config_hash(first)
    warm = {"bridge": {"init_from": "warm"}, "text": {"path": "none", "adapt": "none"}}
    claim(tmp_path / "warm", OmegaConf.merge(first, warm))
    (tmp_path / "warm" / "metrics.csv").touch()
    with pytest.raises(ValueError, match=r"they differ in the files that bridge\.init_from=warm starts from"):
        claim(tmp_path / "warm", OmegaConf.merge(second, warm))  # which of both it is can't be told


def test_a_difference_in_published_sizes_is_not_named(tmp_path):
    claim(tmp_path, OmegaConf.merge(CONFIG, {"benchmark": {"published": {"images": {"train": 5}}}}))
    (tmp_path / "metrics.csv").touch()
    assert not claim(tmp_path, CONFIG)
    with pytest.raises(ValueError, match=r"they differ in seed\)"):
        claim(tmp_path, changed("seed", 1))


def test_what_a_full_gpu_is_told_to_set_lets_the_run_go_on(tmp_path):
    claim(tmp_path, OmegaConf.merge(CONFIG, {"evaluate": {"num_beams": 1}}))
    (tmp_path / "metrics.csv").touch()
    less = {
        "text": {"checkpointing": True, "device_map": "auto"},
        "trainer": {"accumulate_grad_batches": 2},
        "evaluate": {"num_beams": 2},
    }
    assert refuse_another(tmp_path, OmegaConf.merge(CONFIG, less))


def test_a_directory_is_claimed_by_one_config(tmp_path):
    assert not claim(tmp_path, CONFIG)
    assert OmegaConf.load(tmp_path / "config.yaml").benchmark.root == "/a/world"
    assert not claim(tmp_path, changed("paths.data", "/b"))
    (tmp_path / "metrics.csv").touch()
    with pytest.raises(
        ValueError, match=r"another config \(hash \w+, this one \w+; they differ in train\.lr\).*study="
    ):
        claim(tmp_path, changed("train.lr", 0.2))
    write_json(tmp_path / "metrics.json", {})
    assert claim(tmp_path, CONFIG)
    with pytest.raises(ValueError, match=r"they differ in seed, train\.lr"):
        claim(tmp_path, OmegaConf.merge(CONFIG, {"seed": 1, "train": {"lr": 3}}))


def test_what_was_trained_survives_moved_data_and_a_corrected_evaluation(tmp_path, caplog):
    begun = OmegaConf.merge(
        CONFIG, {"evaluate": {"num_beams": 1, "batch_size": 8}, "train": {"save_every": 5}}
    )
    claim(tmp_path, begun)
    (tmp_path / "last.ckpt").touch()
    corrected = OmegaConf.merge(begun, {"evaluate": {"num_beams": 2}, "benchmark": {"root": "/b/world"}})
    with caplog.at_level("INFO"):
        assert refuse_another(tmp_path, corrected)
        assert not claim(tmp_path, corrected)
    assert caplog.text.count("taken for the same data, moved") == 1
    assert OmegaConf.load(tmp_path / "config.yaml").evaluate.num_beams == 2
    assert (tmp_path / "config.hash").read_text().strip() == config_hash(corrected) != config_hash(begun)
    assert config_hash(corrected, training=True) == config_hash(begun, training=True)
    assert config_hash(changed("train.lr", 0.2), training=True) != config_hash(CONFIG, training=True)
    # A record was made by one evaluation; how it was done does not matter even then.
    write_json(tmp_path / "metrics.json", {})
    how = {"benchmark": {"root": "/c"}, "evaluate": {"batch_size": 4}, "train": {"save_every": 9}}
    assert claim(tmp_path, OmegaConf.merge(corrected, how))
    assert OmegaConf.load(tmp_path / "config.yaml").benchmark.root == "/b/world"
    asked = re.escape(shlex.join(["evaluate.captioned='what ?'", "evaluate.num_beams=3"]))
    with pytest.raises(
        ValueError,
        match=r"they differ in evaluate\.captioned, evaluate\.num_beams\).*To evaluate it again without training: bridgelab "
        rf"evaluate {tmp_path} {asked}$",
    ):
        claim(tmp_path, OmegaConf.merge(corrected, {"evaluate": {"num_beams": 3, "captioned": "what ?"}}))


def test_weights_that_were_written_again_are_not_those_of_a_finished_run(tmp_path):
    """As `bridgelab align` does at the same path. Weights that are gone leave what was trained from them."""
    weights, run = tmp_path / "w.safetensors", tmp_path / "run"
    weights.write_bytes(b"first")
    config = OmegaConf.merge(CONFIG, {"bridge": {"init_from": str(weights)}})
    claim(run, config)
    write_json(run / "metrics.json", {"init_from": initial_file(config)})
    assert claim(run, config)
    weights.write_bytes(b"second")
    with pytest.raises(
        ValueError,
        match=r"started from w\.safetensors@\w+, and bridge\.init_from=\S+ is w\.safetensors@\w+ now.*study=",
    ):
        claim(run, config)
    weights.write_bytes(b"first")
    assert claim(run, config)
    weights.unlink()
    assert claim(run, config)
    weights.write_bytes(b"third")
    for recorded in ({}, {"init_from": str(weights)}):  # from before digests were recorded
        write_json(run / "metrics.json", recorded)
        assert claim(run, config)


def test_a_finished_run_stands_beside_further_warm_starts(tmp_path, monkeypatch):
    """As of another seed. Those of its own seed are the ones it began with."""
    monkeypatch.setattr(warm_start_files, "SHIPPED", tmp_path / "warm")
    (tmp_path / "warm" / "t5").mkdir(parents=True)
    warm = {"bridge": {"init_from": "warm", "_target_": "L"}, "text": {"path": "t5", "adapt": "none"}}
    config, run = OmegaConf.merge(CONFIG, warm), tmp_path / "run"

    def card(seed, sha256):
        content = {"target": "L", "seed": seed, "sha256": sha256}
        write_json(tmp_path / "warm" / "t5" / f"linear_64_seed{seed}.json", content)

    card(0, "aab")
    claim(run, config)
    (run / "metrics.csv").touch()
    card(3, "ccd")
    message = r"they differ in the files that bridge\.init_from=warm starts from"
    with pytest.raises(ValueError, match=message):  # begun, it may still search
        claim(run, config)
    write_json(run / "metrics.json", {"init_from": "warm:t5/linear_64_seed0@aa"})
    assert claim(run, config)
    card(0, "ccd")
    with pytest.raises(ValueError, match=message):
        claim(run, config)


def test_code_that_was_edited_is_not_that_of_a_finished_run(tmp_path, monkeypatch):
    """Another class of the same file may be; and classes of bridgelab change with its releases."""
    monkeypatch.chdir(tmp_path)
    run, package = tmp_path / "run", tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").touch()
    text = "import math\nSIZE = {}\ndef size(): return SIZE['one']\nSIZE['one'] = 1\nclass A:\n    x = size\nclass B: pass\n"
    file = package / "bridges.py"
    file.write_text(text)
    config = changed("bridge", {"_target_": "mine.bridges.A"})
    assert own_code(config).startswith("bridges.py@")
    assert own_code(CONFIG) is own_code(changed("bridge", {"_target_": "bridgelab.bridge.mlp.MLP"})) is None
    assert own_code(changed("bridge", {"_target_": "nowhere.A"})) is None
    claim(run, config)
    write_json(run / "metrics.json", {"own_code": own_code(config)})
    for edited in (text, text.replace("pass", "y = 2") + "class C: pass\n"):
        file.write_text(edited)
        assert claim(run, config)
    for before, after in (("x = size", "x = 0"), ("return SIZE", "return 2 * SIZE"), ("= 1", "= 2")):
        file.write_text(text.replace(before, after))
        with pytest.raises(
            ValueError,
            match=r"holds a run of the code bridges\.py@\w+, and .*mine\.bridges\.A is .* now.*study=",
        ):
            refuse_another(run, config)
    write_json(run / "metrics.json", {})  # from before code was recorded
    assert refuse_another(run, config)
    file.unlink()
    assert refuse_another(run, config)


def test_a_finished_run_is_not_taken_for_one_of_other_data(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
    run, benchmark = tmp_path / "run", {"_target_": "bridgelab.benchmark.own.Own", "root": "cats"}

    def of(root, **other):
        return OmegaConf.merge(CONFIG, {"benchmark": {**benchmark, "root": root, **other}})

    claim(run, of("cats"))
    write_json(run / "metrics.json", {})
    assert claim(run, of("cats"))
    assert claim(run, of(f"{tmp_path}/cats/"))
    message = r"finished run of the data in benchmark\.root=cats, and it is dogs here: .*Give this run another study=NAME\. If"
    with pytest.raises(ValueError, match=message):
        claim(run, of("dogs"))
    # The default folders hang on BRIDGELAB_DATA, which the hash does not see.
    monkeypatch.setenv("DATA", "cats")
    by_place = of("${oc.env:DATA}")
    (run / "config.hash").write_text(config_hash(by_place))
    assert claim(run, by_place)
    monkeypatch.setenv("DATA", "dogs")
    with pytest.raises(ValueError, match=message):
        claim(run, by_place)
    # The world's content is fixed by its config, wherever it lies.
    world = {"_target_": "bridgelab.benchmark.world.World"}
    claim(tmp_path / "world", of("cats", **world))
    write_json(tmp_path / "world" / "metrics.json", {})
    assert claim(tmp_path / "world", of("dogs", **world))
    assert not caplog.text
    (run / "config.hash").write_text(config_hash(of("cats")))
    (tmp_path / "cats").rename(tmp_path / "moved")
    assert claim(run, of("moved"))
    assert "which is not there any more: moved is taken for the same data" in caplog.text


def test_weights_that_lie_here_are_recorded_by_their_whole_path(tmp_path, monkeypatch):
    """From another folder t5/plain would be taken for a name on the hub."""
    monkeypatch.chdir(tmp_path)
    for folder in ("t5/plain", "miniature", "ViT-L-14", "vit"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("vit.safetensors", "weights.pt"):
        (tmp_path / file).touch()
    for key, value, kept in (
        ("text.path", "t5/../t5/plain", f"{tmp_path}/t5/plain"),
        ("text.path", "google/flan-t5-base", "google/flan-t5-base"),
        ("text.path", "miniature", "miniature"),
        ("vision.weights", "vit.safetensors", f"{tmp_path}/vit.safetensors"),
        ("vision.weights", "local-dir:vit", f"local-dir:{tmp_path}/vit"),
        ("vision.weights", "ViT-L-14", "ViT-L-14"),
        ("vision.pretrained", "weights.pt", f"{tmp_path}/weights.pt"),
        ("vision.pretrained", "openai", "openai"),
        ("vision.pretrained", None, None),
    ):
        group, name = key.split(".")
        config = OmegaConf.merge(CONFIG, {group: {name: value}})
        folder = tmp_path / "runs" / config_hash(config)
        claim(folder, config)
        assert OmegaConf.load(folder / "config.yaml")[group][name] == kept
        assert not claim(folder, config), "it is the same run again"


@pytest.mark.parametrize("entry", ["budgets", "progress.json.new", "last.ckpt"])
def test_a_folder_with_a_link_is_refused_before_anything_is_written(tmp_path, entry):
    """Else a study from elsewhere decides what a training overwrites and deletes."""
    run = tmp_path / "run"
    (run / "wandb").mkdir(parents=True)
    (run / "wandb" / "latest-run").symlink_to(tmp_path)  # as Weights & Biases leaves it
    (tmp_path / "weights").touch()
    (run / "best.ckpt").hardlink_to(tmp_path / "weights")
    claim(run, CONFIG)
    (run / "config.hash").unlink()
    (run / entry).symlink_to(tmp_path / "weights")
    with pytest.raises(ValueError, match=rf"{entry} is a link, .* remove the link\.$"):
        claim(run, CONFIG)
    assert not (run / "config.hash").exists()


def test_asking_leaves_nothing_behind(tmp_path):
    assert not refuse_another(tmp_path / "new", CONFIG)
    assert not (tmp_path / "new").exists()
    claim(tmp_path, CONFIG)
    with_hydra = OmegaConf.merge(CONFIG, {"hydra": {"run": "${hydra:job.name}"}})
    assert refuse_another(tmp_path, with_hydra), "what Hydra says of itself is no choice"
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(ValueError, match=r"they differ in seed\)"):
        refuse_another(tmp_path, OmegaConf.merge(with_hydra, {"seed": 2}))


def test_a_config_that_failed_its_checks_leaves_the_directory_to_one_that_is_mended(tmp_path):
    """Or whose run was ended in its search."""
    claim(tmp_path, changed("seed", "none"))
    for name in ("lock", "log.txt", "train.log", "wandb_id"):
        (tmp_path / name).touch()
    StepsDone("lr=0.01, warmup=0.05").write(tmp_path)
    (tmp_path / "wandb").mkdir()
    keep_overrides(tmp_path, ["seed=none"])
    assert not refuse_another(tmp_path, CONFIG)
    assert not claim(tmp_path, CONFIG)
    assert refuse_another(tmp_path, CONFIG)
    assert OmegaConf.load(tmp_path / "config.yaml").seed == 0
    (tmp_path / "budgets").mkdir()  # it trains
    with pytest.raises(ValueError, match=r"they differ in seed\)"):
        claim(tmp_path, changed("seed", 1))
