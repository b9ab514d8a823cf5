import pytest

from bridgelab.doctor.sweep import sweep


def test_one_job(conf):
    found = sweep(conf, ["bridge=qformer", "train.batch_size=3"])
    assert (found.jobs, found.searches, found.values) == (1, 1, {})
    assert found.config.train.batch_size == 3
    assert found.config.hydra.runtime.choices.bridge == "qformer"


def test_lists_on_the_command_line_multiply(conf):
    found = sweep(conf, ["bridge=qformer,linear", "seed=0,1,2", "data_seed=0,1", "+bridge.x=[1,2]"])
    assert found.values == {"bridge": 2, "seed": 3, "data_seed": 2}
    assert (found.jobs, found.searches) == (12, 2)
    assert found.config.hydra.runtime.choices.bridge == "qformer"
    assert list(found.config.bridge.x) == [1, 2]


def test_a_study_carries_its_sweep(conf):
    found = sweep(conf, ["experiments=first_look"])
    assert found.values == {"seed": 3, "bridge": 7}
    assert (found.jobs, found.searches) == (21, 7)
    assert found.config.train.steps == 400
    narrowed = sweep(conf, ["experiments=first_look", "seed=7", "bridge=mlp,linear"])
    assert narrowed.values == {"bridge": 2}
    assert narrowed.config.seed == 7
    assert sweep(conf, ["experiments=first_look", "hydra.mode=RUN"]).jobs == 1


@pytest.mark.parametrize("args", [["bridge=qfromer"], ["train.batchsize=3"], ["bridge==x"]])
def test_what_does_not_compose_is_told_in_one_line(conf, args):
    with pytest.raises(ValueError, match=r"Give overrides as to `bridgelab train`\.") as error:
        sweep(conf, args)
    assert "\n" not in str(error.value)
