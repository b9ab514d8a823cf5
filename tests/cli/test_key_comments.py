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
    keys = {key.name for key in explained_keys((config_root() / "conf" / "train.yaml").read_text())}
    assert keys <= declared()
    groups = ("bridge", "vision", "text", "benchmark", "optim", "trainer", "logger")
    own = {key for key in declared() if not key.startswith(groups)}
    inside = ("data.max_length.", "train.schedule.", "train.val_limit.", "evaluate.limit.")  # one line each
    assert {key for key in own if not key.startswith(inside)} <= keys
