from bridgelab.cli.key_comments import ExplainedKey, explained_keys, head_comment
from bridgelab.config.check import declared
from bridgelab.config.root import config_root

TEXT = """\
# @package _global_
# What this is: `x`.
#
# More of it.
defaults: [_self_]
seed: 0   # of the init
# Above it,
# over two lines.
train:
  steps: 10   # 0: none
  lr: null

  # Of a list.
  stages:
    - {share: 1.0}   # inner
question: >-
  what: is it
  and why
colour: "#fff"
hydra:
  run: x
"""


def test_comments_beside_and_above_explain_a_key():
    assert head_comment(TEXT) == ["What this is: x.", "", "More of it."]
    assert explained_keys(TEXT) == [
        ExplainedKey("seed", "0", "of the init"),
        ExplainedKey("train", "", "Above it, over two lines."),
        ExplainedKey("train.steps", "10", "0: none"),
        ExplainedKey("train.lr", "null", ""),
        ExplainedKey("train.stages", "[{share: 1.0}]", "Of a list."),
        ExplainedKey("question", "…", ""),
        ExplainedKey("colour", '"#fff"', ""),
    ]


def test_every_key_of_a_run_is_found():
    explained = explained_keys((config_root() / "conf" / "train.yaml").read_text())
    keys = {key.name for key in explained}
    assert keys <= declared()
    in_groups = ("bridge", "vision", "text", "benchmark", "optim", "trainer", "logger")
    in_one_line = tuple(f"{key.name}." for key in explained if key.default.startswith("{"))
    assert {key for key in declared() if not key.startswith((*in_groups, *in_one_line))} <= keys
