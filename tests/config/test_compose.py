import pytest

from bridgelab.config.compose import compose_config, compose_sweep, each_value, lists
from bridgelab.config.root import config_root


@pytest.fixture
def conf():
    return config_root() / "conf"


def test_one_job(conf):
    sweep = compose_sweep(conf, ["bridge=qformer", "train.batch_size=3"])
    assert (sweep.jobs, sweep.searches, sweep.values) == (1, 1, {})
    assert sweep.config.train.batch_size == 3
    assert sweep.config.hydra.runtime.choices.bridge == "qformer"


def test_lists_on_the_command_line_multiply(conf):
    sweep = compose_sweep(conf, ["bridge=qformer,linear", "seed=0,1,2", "data_seed=0,1", "+bridge.x=[1,2]"])
    assert sweep.values == {"bridge": 2, "seed": 3, "data_seed": 2}
    assert (sweep.jobs, sweep.searches) == (12, 2)
    assert sweep.config.hydra.runtime.choices.bridge == "qformer"
    assert list(sweep.config.bridge.x) == [1, 2]


def test_a_glob_is_the_options_that_it_matches(conf):
    """Hydra's own sweeper, which runs them, names them in the same order."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path

    named = ConfigLoaderImpl(create_config_search_path(f"file://{conf}")).get_group_options("bridge")
    perceivers = [name for name in named if name.startswith("perceiver") and "idefics" not in name]
    assert len(perceivers) > 2
    given = "bridge=glob(perceiver*,exclude=*idefics*)"
    sweep = compose_sweep(conf, [given, "seed=0,1"])
    assert sweep.values == {"bridge": len(perceivers), "seed": 2}
    assert sweep.config.hydra.runtime.choices.bridge == perceivers[0]
    assert list(each_value(conf, [given])) == [[f"bridge={name}"] for name in perceivers]
    assert compose_sweep(conf, ["experiments=glob(first_look_*)"]).values["experiments"] == 3
    for wrong in ("bridge=glob(percievr*)", "train.lr=glob(*)"):
        with pytest.raises(ValueError, match=r"=glob\(.*\): no option of [a-z.]+ matches"):
            compose_sweep(conf, [wrong])


def test_a_study_carries_its_sweep(conf):
    sweep = compose_sweep(conf, ["experiments=first_look"])
    assert sweep.values == {"seed": 3, "bridge": 8}
    assert (sweep.jobs, sweep.searches) == (24, 8)
    assert sweep.config.train.steps == 300
    narrowed = compose_sweep(conf, ["experiments=first_look", "seed=7", "bridge=mlp,linear"])
    assert narrowed.values == {"bridge": 2}
    assert narrowed.config.seed == 7
    assert compose_sweep(conf, ["experiments=first_look", "hydra.mode=RUN"]).jobs == 1


@pytest.mark.parametrize(
    ("arg", "message"),
    [
        ("bridg=linear", r"bridg=linear: there is no key bridg\. Did you mean bridge\?"),
        ("train.batchsize=3", r"train\.batchsize=3: .* Did you mean train\.batch_size\?"),
        (
            "bridge.num_querys=3",
            r"there is no key bridge\.num_querys\. Keys of the chosen bridge are init_from\.",
        ),
        ("bridge=qfromer", r"bridge=qfromer: must be one of blind, .*\. Did you mean qformer\?"),
        ("experiments=first_lok", r"experiments=first_lok: must be one of aa, .* Did you mean first_look\?"),
        ("hydra/launcher=pol", r"hydra/launcher=pol: must be one of .*slurm.*\. Did you mean pool\?"),
        ("vision.pretrained=x", r"the chosen vision has no key pretrained, .* write \+vision\.pretrained=x\.$"),
        ("text.device_map=auto", r"the chosen text has no key device_map, .* write \+text\.device_map=auto\.$"),
        ("optim.lr=3e-4", r"^optim\.lr=3e-4: a run's train\.lr decides this, .*Remove it, and set one of these\.$"),
        ("trainer.max_steps=3", r"^trainer\.max_steps=3: a run's train\.steps decides this\."),
        ("text.pth=x", r"there is no key text\.pth\. Did you mean text\.path\?$"),
        ("bridge.width=3", r"there is no key bridge\.width\. Keys of the chosen bridge are init_from\.$"),
        ("hydra.launcher.partition=gpu", r"\. Keys of the chosen hydra\.launcher are command, .*slots, .*[a-z]\.$"),
        ("benchmark.images={other: 3}", r"benchmark\.images has no key of this name yet\. .* write \+benchmark\.images="),
        ("+seed=3", "An item is already at 'seed'. .* Correct that override, or leave it out"),
        ("~nothing", "'nothing' does not exist. Correct that override"),
        ("bridge==x", "bridge==x.* Correct that override"),
        ("bridge", "missing EQUAL"),
    ],
)  # fmt: skip
def test_what_does_not_compose_is_told_in_one_line(conf, arg, message):
    with pytest.raises(ValueError, match=message) as error:
        compose_sweep(conf, [arg])
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(arg) or "qfromer" not in arg


@pytest.mark.parametrize(
    ("chosen", "given", "message"),
    [
        ("hydra/launcher=slurm", "hydra.launcher.timeout_mn=60", r"Did you mean hydra\.launcher\.timeout_min\? If SlurmLauncher takes it"),
        (
            "hydra/launcher=slurm",
            "hydra.launcher.additional_parameters={reservation:mine}",
            r"has no key of this name yet\. To add it, write \+hydra\.launcher\.additional_parameters=\{reservation:mine\}\.$",
        ),
        ("optim=adamw", "optim.amsgrad=true", r"\. If AdamW takes it, write \+optim\.amsgrad=true\.$"),
        ("logger=wandb", "logger.wandb.entity=me", r"If WandbLogger takes it, write \+logger\.wandb\.entity=me\.$"),
    ],
)  # fmt: skip
def test_a_key_that_takes_a_plus_is_told_with_it(conf, chosen, given, message):
    with pytest.raises(ValueError, match=message):
        compose_sweep(conf, [chosen, given])
    compose_sweep(conf, [chosen, f"+{given}"])  # what stands behind the plus is the class's affair


def test_an_unknown_key_beside_a_chosen_option_names_its_keys(conf):
    with pytest.raises(ValueError, match=r"bridge\.num_querys=3: .* Did you mean bridge\.num_queries\?"):
        compose_config(conf, "train", ["bridge=qformer", "bridge.num_querys=3"])
    with pytest.raises(
        ValueError, match=r"reader=prse: must be one of dense, grids, prose, schooled. Did you mean prose"
    ):
        compose_config(conf / "pretrain", "text", ["reader=prse"])


def test_each_value_of_a_list_is_tried_once(conf):
    args = ["bridge=linear,mlp", "seed=0,1,2", "train.lr=0.1", "tune.lrs=[1,2,3]"]
    assert lists(args) == ["bridge=linear,mlp", "seed=0,1,2"]
    first, *others = each_value(conf, args)
    assert first == ["bridge=linear", "seed=0", "train.lr=0.1", "tune.lrs=[1,2,3]"]
    assert others == [
        ["bridge=mlp", "seed=0", "train.lr=0.1", "tune.lrs=[1,2,3]"],
        ["bridge=linear", "seed=1", "train.lr=0.1", "tune.lrs=[1,2,3]"],
        ["bridge=linear", "seed=2", "train.lr=0.1", "tune.lrs=[1,2,3]"],
    ]


def test_an_interval_of_another_sweeper_is_tried_at_its_ends(conf):
    assert list(each_value(conf, ["train.lr=interval(0.001,0.1)"])) == [["train.lr=0.001"], ["train.lr=0.1"]]


def test_a_keyword_of_ones_own_class_needs_a_plus(conf):
    message = r"bridge\.width=3: the yaml that bridge starts from has no key width\. If your class takes it, write \+bridge\.width=3\."
    with pytest.raises(ValueError, match=message):
        compose_sweep(conf, ["bridge=linear", "bridge._target_=mine.Bridge", "bridge.width=3"])
