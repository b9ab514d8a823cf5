"""Sentences on the runs of one study."""

from bridgelab.report.caveats import caveats
from bridgelab.runs.study import read_study

ONE = {"linear": {"exist": 0.7}, "blind": {"exist": 0.5}}


def test_what_results_generalize_to_follows_from_what_varied(simulated, change):
    study = simulated.write(bridges=ONE, images=6)
    assert "other inits, with the same order of examples in every run" in str(caveats(read_study(study)))
    for seed in range(3):
        for path in study.glob(f"*,seed={seed}"):
            change(path, data_seed=seed)
    assert "other inits and orders of examples, which vary together" in str(caveats(read_study(study)))
    for seed in range(3):  # one init with three orders
        for path in study.glob(f"*,seed={seed}"):
            change(path, seed=0)
    assert "other orders of examples, with the same init in every run, and to other" in str(
        caveats(read_study(study))
    )
    for path in study.glob("*,seed=2"):  # an init with two orders, another with one
        change(path, seed=1)
    assert "other orders of examples, with the same inits in several orders," in str(
        caveats(read_study(study))
    )
    single = simulated.write("single", bridges=ONE, images=6, seeds=(0,))
    (scope,) = [line for line in caveats(read_study(single)) if "generalize" in line]
    assert scope.startswith("These results are of one init and one order of examples")


def test_a_given_rate_was_not_searched_for(simulated, change):
    study = simulated.write(bridges=ONE, images=6)
    assert "searched over 0.0003, 0.001, 0.003, and beyond" in str(caveats(read_study(study)))
    for path in study.glob("*seed=*"):
        change(path, tuned_over=[0.001])
    (rates,) = [line for line in caveats(read_study(study)) if line.startswith("Learning rate")]
    assert rates == "Learning rate of each bridge, given and not searched for: blind 0.001, linear 0.001."
    for path in study.glob("*seed=*"):  # a grid of one rate, which the search widens
        change(path, tuning={"trials": {"lr=0.001,warmup=0.05": 0.5}})
    assert "searched over 0.001, and beyond" in str(caveats(read_study(study)))
    for path in study.glob("bridge=blind,*"):  # beside rates that were searched
        change(path, tuned_over=[0.002], lr=0.002, tuning=None)
    rates = [
        line for line in caveats(read_study(study, allow=["tuned_over"])) if line.startswith("Learning rate")
    ]
    assert rates == [
        "Learning rate, given and not searched for: blind 0.002.",
        "Learning rate, searched over 0.001, and beyond while the best was at an end: linear 0.001.",
    ]
