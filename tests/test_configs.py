import copy
import functools
import inspect
from itertools import zip_longest
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from submitit.slurm.slurm import SlurmExecutor

from bridgelab.config import instantiate as building
from bridgelab.config.check import check_config, check_content, check_launcher, declared
from bridgelab.config.schema.alignment import AlignmentConfig
from bridgelab.config.schema.config import Config
from bridgelab.training import main as train  # registers what configs call and sets BRIDGELAB_ROOT

ROOT = train.ROOT
CONF = ROOT / "conf"
STUDIES = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))
OPTIONS = sorted(
    (path.parent.relative_to(CONF).as_posix(), path.stem)
    for path in CONF.rglob("*.yaml")
    if path.parent != CONF
)
# A folder that the primary config does not choose from holds primary configs of its own (conf/pretrain).
GROUPS = {
    str(key).removeprefix("override ").lstrip("/")
    for entry in OmegaConf.load(CONF / "train.yaml").defaults
    if isinstance(entry, DictConfig)
    for key in entry
}
IN_ROOMS = {"bridge", "vision", "text", "benchmark", "optim"}


@functools.cache
def composed_once(overrides: tuple[str, ...], name: str, folder: Path, hydra: bool) -> DictConfig:
    with initialize_config_dir(str(folder), version_base="1.3"):
        return compose(name, list(overrides), return_hydra_config=hydra)


def composed(
    overrides: list[str], name: str = "train", folder: Path = CONF, hydra: bool = False
) -> DictConfig:
    return copy.deepcopy(composed_once(tuple(overrides), name, folder, hydra))


def option(group: str, name: str) -> DictConfig:
    """What an option makes of its group's node, resolved."""
    if group not in GROUPS:
        config = composed([], name, CONF / group)
        OmegaConf.resolve(config)
        return config
    config = composed([f"{group}={name}"], hydra=group.startswith("hydra/"))
    if not group.startswith("hydra/"):
        OmegaConf.resolve(config)
    return OmegaConf.select(config, group.replace("/", "."))


def targets(node: object) -> list[DictConfig]:
    """Every node with a `_target_`, at any depth."""
    if isinstance(node, DictConfig):
        inner = [found for key in node for found in targets(node._get_node(key))]
        return [node, *inner] if "_target_" in node else inner
    if isinstance(node, ListConfig):
        return [found for child in node._iter_ex(resolve=False) for found in targets(child)]
    return []


def test_the_primary_config_resolves():
    OmegaConf.resolve(composed([]))


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_option_composes_and_resolves(group, name):
    assert option(group, name) is not None


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_targets_are_allowed_and_take_what_they_are_given(group, name):
    for node in targets(option(group, name)):
        if group.startswith("hydra/"):
            assert node._target_.startswith("hydra_plugins.")
        else:
            assert building.target(node, group)
            assert not building.is_own(node, group)
        parameters = inspect.signature(get_object(node._target_)).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            # init_from is read by training, published by the doctor, insert and the adaptation of the T5 by the backbones
            not_its_own = (
                "_target_",
                "_partial_",
                "_convert_",
                "init_from",
                "insert",
                "published",
                "adapt",
                "prompt_tokens",
                "lora",
            )
            given = {str(key) for key in node if key not in not_its_own}
            taken = {parameter.name for parameter in parameters}
            assert given <= taken
            if group in ("bridge", "vision", "text", "benchmark"):  # whatever it takes has a rule
                of_training = {"vision_dim", "text_dim", "grid"}
                assert {f"{group}.{name}" for name in taken - of_training} <= declared()


def test_groups_of_classes_have_the_names_of_rooms():
    rooms = {path.parent.name for path in (ROOT / "src" / "bridgelab").glob("*/*.py")}
    assert GROUPS & rooms == IN_ROOMS
    assert {path.name for path in CONF.iterdir() if path.is_dir()} & rooms == IN_ROOMS


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, name in OPTIONS if group in IN_ROOMS])
def test_a_group_configures_the_room_of_its_name(group, name):
    target = get_object(option(group, name)._target_)
    if (group, name) == ("optim", "adamw"):
        assert target is torch.optim.AdamW
    else:
        assert Path(inspect.getfile(target)).is_relative_to(ROOT / "src" / "bridgelab" / group)


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_composes_and_its_own_keys_hold(study):
    config = composed([f"experiments={study}"])
    OmegaConf.resolve(config)
    own = OmegaConf.load(ROOT / "experiments" / f"{study}.yaml")
    for key in set(own) - {"defaults", "hydra"}:
        expected = own[key]
        if isinstance(expected, DictConfig):
            assert OmegaConf.merge(config[key], expected) == config[key]
        else:
            assert config[key] == expected
    assert config.study == study, "a study writes to the folder of its own name"


@pytest.mark.parametrize("study", STUDIES)
def test_every_value_that_a_study_sweeps_composes(study):
    config = composed([f"experiments={study}"], hydra=True)
    parser = OverridesParser.create()
    sweep = parser.parse_overrides([f"{key}={value}" for key, value in config.hydra.sweeper.params.items()])
    assert sweep, "a study carries its sweep in hydra.sweeper.params"
    assert config.hydra.mode.name == "MULTIRUN"
    choices = []
    for override in sweep:
        values = (
            list(override.sweep_string_iterator())
            if override.is_sweep_override()
            else [override.get_value_element_as_str()]
        )
        choices.append([f"{override.get_key_element()}={value}" for value in values])
    for job in zip_longest(*choices):  # some of its jobs, in which every value occurs
        own = [value or values[0] for value, values in zip(job, choices, strict=True)]
        OmegaConf.resolve(composed([f"experiments={study}", *own]))


def leaves(node, place=()):
    """Every scalar or list of a config, and where it stands."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, (*place, key))
        else:
            yield (*place, key), value


def refused(content, place, value, schema=Config):
    """What is said of a config with this value in this place; nothing where it is accepted."""
    node = functools.reduce(dict.__getitem__, place[:-1], content)
    before, node[place[-1]] = node[place[-1]], value
    try:
        check_content(content, schema)
    except ValueError as error:
        return str(error)
    finally:
        node[place[-1]] = before
    return ""


def wrong(key, value):
    """Values of another type, or out of range."""
    if key != "text.device_map":  # accelerate's, which takes a mapping too
        yield from ({"no": "such"}, [{}])
    yield float("nan")
    if key != "vision.layer":  # counted from either end
        yield -(10**9)
    if isinstance(value, bool):
        yield from (1, "yes")
    elif isinstance(value, int | float):
        yield from ("abc", ["abc"])
    elif isinstance(value, list):
        yield from ("abc", [*value, -1])
        if key != "benchmark.tags":  # names of columns
            yield [*value, "abc"]
    elif isinstance(value, str) and key not in MAY_BE_EMPTY:
        yield ""


MAY_BE_EMPTY = (
    "question",
    "hypothesis",
    "logger.tensorboard.name",
    "logger.tensorboard.version",
    "text.device_map",
)


@pytest.mark.parametrize(
    "group", [None, *sorted(group for group in GROUPS if (CONF / group).is_dir() and "/" not in group)]
)
def test_every_key_has_a_type_and_a_range(group):
    for options in [[f"{group}={name}"] for g, name in OPTIONS if g == group] or [[]]:
        content = OmegaConf.to_container(composed(options), resolve=True)
        check_content(content)
        for place, value in leaves(content if group is None else {group: content[group]}):
            for other in wrong(key := ".".join(place), value):
                assert key in refused(content, place, other), f"{key}={other} of {options} is accepted"


def test_every_key_of_an_alignment_has_a_type_and_a_range():
    content = OmegaConf.to_container(composed([], "align"), resolve=True)
    check_content(content, AlignmentConfig)
    for place, value in leaves(content):
        for other in wrong(key := ".".join(place), value):
            assert key in refused(content, place, other, AlignmentConfig), f"{key}={other} is accepted"


def test_a_sweep_of_alignments_runs_alignments():
    config = composed(["hydra.sweep.dir=x"], "align", hydra=True)
    check_launcher(config)
    assert list(config.hydra.launcher.command) == ["bridgelab.cli", "align"]


def test_a_launcher_is_checked_too():
    for name in sorted(path.stem for path in (CONF / "hydra" / "launcher").glob("*.yaml")):
        check_launcher(
            composed([f"hydra/launcher={name}", "hydra.sweep.dir=x", "trainer.devices=auto"], hydra=True)
        )
    for given in ("slots=0", "slots=abc", "threads=-1", "gpus_per_job=auto"):
        with pytest.raises(ValueError, match=rf"^hydra\.launcher\.{given.split('=')[0]}=.*: must be a"):
            check_launcher(composed([f"hydra.launcher.{given}"], hydra=True))
    slurm = composed(
        ["hydra/launcher=slurm", "hydra.launcher.timeout_min=0", "hydra.sweep.dir=x"], hydra=True
    )
    with pytest.raises(ValueError, match=r"^hydra\.launcher\.timeout_min=0: must be at least 1\.$"):
        check_launcher(slurm)


@pytest.mark.parametrize("name", ["train", "align"])
@pytest.mark.parametrize("launcher", sorted(path.stem for path in CONF.glob("hydra/launcher/slurm*.yaml")))
def test_submitit_takes_what_a_sweep_on_slurm_gives_it(name, launcher, tmp_path, monkeypatch):
    config = composed([f"hydra/launcher={launcher}", f"hydra.sweep.dir={tmp_path}"], name, hydra=True)
    monkeypatch.setattr(SlurmExecutor, "affinity", staticmethod(lambda: 1))  # as on a machine with Slurm
    instantiate(config.hydra.launcher)._executor((1, 2, 2))  # it refuses what it does not know


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=[0,1]"], r"^seed=\[0, 1\]: must be an integer; a sweep over several is written -m seed=A,B\.\ndata_seed=.*$"),
        (["evaluate.limit.answer=abc"], r"^evaluate\.limit\.answer='abc': must be an integer\.$"),
        (["paths.reuse=5"], r"^paths\.reuse=5: must be text, or a list\.$"),
        (["paths.reuse=[a,5]"], r"^paths\.reuse\[1\]=5: must be text\.$"),
        (["~bridge._target_"], r"^bridge\._target_ must be given\.$"),
        (["+trainer.precision=16-mixed"], r"^trainer\.precision=16-mixed: .* set train\.precision\.$"),
        (["+trainer.limit_train_batches=0.5"], r"^trainer\.limit_train_batches=0\.5: .* set train\.steps\.$"),
        (["+trainer.logger=false"], r"^trainer\.logger=False: a run's logger decides this\. Remove it, and set logger\.$"),
        (["+trainer.enable_checkpointing=true"], r"^trainer\.enable_checkpointing=True: .* set train\.save_every\.$"),
        (["+trainer.callbacks=[{_target_: mine.Callback}]"], r"^trainer\.callbacks=.*mine\.Callback.*: a run has its own, .* Remove it; .* docs/api\.md\.$"),
        (["+trainer.val_check_interval=5"], r"^trainer\.val_check_interval=5: .* set train\.val_points\.$"),
        (["+trainer.limit_val_batches=5"], r"^trainer\.limit_val_batches=5: .* set train\.val_limit, or .*\.$"),
        (["optim=adamw", "+optim.lr=1e-4"], r"^optim\.lr=0\.0001: a run's train\.lr decides this, or .* tune\.lrs\. Remove it, "),
        (["+optim.lr=1e-4"], r"^optim\.lr=0\.0001: a run's train\.lr decides this, "),
        (["logger=wandb", "+logger.wandb.group=x"], r"^logger\.wandb\.group=x: a run has its own, .* study=NAME sets the group\.$"),
        (["logger=tensorboard", "+logger.tensorboard.save_dir=x"], r"^logger\.tensorboard\.save_dir=x: .* set paths\.runs\.$"),
        (["trainer.devices=-5"], r"^trainer\.devices=-5: must be at least 1, or one of -1 or auto\.$"),
        (["trainer.devices=[3,5]"], r"^trainer\.devices=\[3, 5\]: must be the number of GPUs, .* Set trainer\.devices=2, and CUDA_VISIBLE_DEVICES=3,5 in the environment\.$"),
        (["+train.step=10"], r"^train\.step: there is no such key\. Did you mean train\.steps\?$"),
        (["+bridge.wdth=3"], r"^bridge\.wdth: there is no such key\. Did you mean width\?$"),
        (["bridge._target_=mine.Bridge", "+bridge.insert=decoder"], r"^bridge\.insert='decoder': must be one of encoder_input, "),
        (["benchmark.root='~/x'"], r"^benchmark\.root='~/x': must not begin with '~'.*: give /.*/x\.$"),
        (["train.lr=${oc.env:NOPE}"], r"^train\.lr: .*'NOPE' not found"),
        (["train.schedule.shape=cosine"], r"^train\.budgets=\[0\.25, 0\.5\] with train\.schedule\.shape=cosine: .* Set "),
        (["train.budgets=[0.05]"], r"^train\.budgets=\[0\.05\]: at 0\.05 of the steps .* train\.schedule\.warmup to 0\.04 or less\.$"),
        (["tune.warmups=[0.02,0.3]"], r"^train\.budgets=\[0\.25, 0\.5\]: .*which is 0\.3 of all .*set each of tune\.warmups to 0\.2 or less\.$"),
        (["compile=true", "model.insert=cross_attention"], r"^compile=true with model\.insert=cross_attention: .* Set compile=false\.$"),
        (["compile=true", "bridge=perceiver_cross_attention"], r"^compile=true with bridge\.insert=cross_attention: .* Set compile=false\.$"),
        (["model.insert=encoder_output", "bridge=perceiver_cross_attention"], r"^model\.insert=encoder_output with bridge\.insert=cross_attention: .* Set model\.insert=encoder_input, "),
        (["model.cross_attention.every=0"], r"^model\.cross_attention\.every=0: must be at least 1\.$"),
        (["verdict.delta=-1", "train.steps=-1"], r"^train\.steps=-1: .* 0\.\nverdict\.delta=-1: must be above 0\.$"),
    ],
)  # fmt: skip
def test_a_value_is_refused_with_its_key_and_rule(overrides, message):
    with pytest.raises(ValueError, match=message):
        check_config(composed(overrides))


def test_other_values_are_left_alone():
    for overrides in (
        # A class of the user's own, whose keywords have types of their own, whatever a class of bridgelab takes by their names.
        ["bridge._target_=mine.Bridge", "+bridge.mine=[1,{a: b}]", "+bridge.ffn_ratio=2.67", "+bridge.projector=resnet"],
        ["benchmark=own_class", "benchmark._target_=mine.Data", "+benchmark.images=null", "+benchmark.tags=type"],
        ["train.lr=0.1", "tune.lrs=[]", "tune.warmups=[0.9]"],  # nothing is searched for
        ["train.steps=0", "evaluate.limit.caption=0"],
        ["trainer.devices=auto", "+trainer.accumulate_grad_batches=2", "+trainer.benchmark=true"],
        ["experiments=first_look", "logger=wandb", "+logger.wandb.entity=mine"],
    ):  # fmt: skip
        check_config(composed(overrides))


PUBLISHED_WIDTHS = {"QFormer": 768, "PerceiverResampler": 8 * 64}  # BLIP-2's and Flamingo's


@pytest.mark.parametrize("study", [study for study in STUDIES if "flan_t5" in study])
def test_a_study_of_published_models_has_query_bridges_of_published_sizes(study):
    """At the miniature's size all their tokens lie in 128 dimensions of the T5's 2,048."""
    sweep = OmegaConf.load(ROOT / "experiments" / f"{study}.yaml").hydra.sweeper.params
    widths = {}
    for name in sweep.bridge.split(","):
        bridge = composed([f"experiments={study}", f"bridge={name}"]).bridge
        width = bridge.get("width") or bridge.get("num_heads", 0) * bridge.get("head_dim", 0)
        widths.setdefault(bridge._target_.rpartition(".")[2], set()).add(width)
    assert {kind: widths.get(kind) for kind in PUBLISHED_WIDTHS} == {
        k: {w} for k, w in PUBLISHED_WIDTHS.items()
    }


def test_nested_targets_are_found():
    config = OmegaConf.create({"a": {"_target_": "x.Y", "b": [{"_target_": "z.W"}]}, "c": 1})
    assert [node._target_ for node in targets(config)] == ["x.Y", "z.W"]
