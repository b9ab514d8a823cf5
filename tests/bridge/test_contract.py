"""The contract of `bridgelab.bridge`: every yaml in conf/bridge/ keeps it, and planted faults are found."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import OmegaConf
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from bridgelab.bridge.contract import DEMANDS, SIZES, Case, check
from bridgelab.cli.main import main

CONF = Path(__file__).parents[2] / "conf"
EVERY_NAME = sorted(path.stem for path in (CONF / "bridge").glob("*.yaml"))
NAMES = [
    name for name in EVERY_NAME if "_published" not in name
]  # which have classes of the others, at sizes for which this takes long


def composed(name):
    """Return a bridge's class and choices as composed for training, with the defaults of its yaml."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose(f"bridge/{name}").bridge)
    for key in ("init_from", "insert"):
        config.pop(key, None)  # no arguments of a class
    return get_class(config.pop("_target_")), config


BRIDGES = {name: composed(name) for name in EVERY_NAME}


def test_there_are_bridges_to_test():
    assert {"linear", "mlp", "qformer", "perceiver", "blind", "words", "words_prompted"} <= set(NAMES)
    assert {"linear_pooled", "mlp_pooled", "pixel_shuffle", "c_abstractor", "perceiver_idefics2"} <= set(
        NAMES
    )
    assert {"token_packer", "perceiver_qwen", "cls_linear", "ldp_v2", "d_abstractor", "matryoshka"} <= set(
        NAMES
    )
    query = ("qformer", "perceiver", "perceiver_idefics2")
    assert {f"{b}_{c}" for b in query for c in ("question", "mismatched")} <= set(NAMES)


def test_the_first_widths_are_the_miniatures():
    """As a bridge that the package has trained for it says."""
    card = json.loads((CONF.parent / "src/bridgelab/assets/warm/miniature/linear_64_seed0.json").read_text())
    assert SIZES[0][:2] == (card["vision_dim"], card["text_dim"])


@pytest.mark.parametrize("name", NAMES)
def test_every_bridge_keeps_the_contract(name):
    results = list(check(*BRIDGES[name]))
    assert [result.demand for result in results] == list(DEMANDS)
    assert not [result for result in results if result.problem]


# On a GPU convolutions are in TF32, and cuBLAS warns of its context in a backward thread.
ON_GPU = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:.*CUDA context")]


@pytest.mark.parametrize(("device", "off"), [("cpu", 1e-3), pytest.param("cuda", 5e-3, marks=ON_GPU)])
@pytest.mark.parametrize("name", NAMES)
def test_bf16_follows_float64_in_tokens_and_gradients(name, device, off):
    case = Case(*BRIDGES[name], (48, 80, 36))
    exact = tokens_and_gradient(case, copy.deepcopy(case.bridge).double(), case.patches.double())
    case.text, bridge, patches = case.text.to(device), case.bridge.to(device), case.patches.to(device)
    single = tokens_and_gradient(case, bridge, patches)
    with torch.autocast(device, torch.bfloat16):
        rounded = tokens_and_gradient(case, bridge, patches)
    # D-Abstractor samples at grid points first, where bilinear interpolation has a kink: its gradient depends on rounding.
    parts = 1 if name == "d_abstractor" else 2
    for wanted, fp32, bf16 in list(zip(exact, single, rounded, strict=True))[:parts]:
        assert (fp32 - wanted).norm() <= off * wanted.norm()
        assert (bf16 - wanted).norm() <= 0.05 * wanted.norm()


def tokens_and_gradient(case, bridge, patches):
    """A bridge's tokens, and the gradient of a weighted sum of them, both flat and in float64."""
    tokens = case.tokens(patches, bridge)
    parameters = [p for p in bridge.parameters() if p.requires_grad]
    if not parameters:
        return [tokens.detach().double().cpu().flatten()]
    weights = torch.randn(tokens.shape, generator=torch.Generator().manual_seed(0)).to(tokens)
    gradients = torch.autograd.grad((tokens * weights).sum(), parameters)
    return [
        torch.cat([one.detach().double().cpu().flatten() for one in part]) for part in ([tokens], gradients)
    ]


@pytest.mark.parametrize("name", EVERY_NAME)
def test_shapes_between_vit_l_14_and_flan_t5_xl(name, monkeypatch):
    monkeypatch.setattr(nn.init, "trunc_normal_", lambda tensor, **_: tensor)  # it reads values
    with FakeTensorMode():  # shapes alone, without memory
        tokens = Case(*BRIDGES[name], (1024, 2048, 256)).tokens()
    assert (tokens.shape[0], tokens.shape[2]) == (4, 2048)


TOKENS = {  # of bridges without queries or grid, for 36 patches: a prompt, and one token per patch
    "linear": 36,
    "mlp": 36,
    "blind": 16,
    "words": 36,
    "words_patch_like": 36,
    "words_prompted": 16 + 36,
}


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_tokens(name):
    case = Case(*BRIDGES[name], (48, 80, 36))
    if name in TOKENS:
        assert not case.has_queries
        assert not case.takes_grid
        expected = TOKENS[name]
    elif case.has_queries:
        expected = BRIDGES[name][1]["num_queries"]
    elif name == "cls_linear":
        expected = 1
    elif "ratio" in BRIDGES[name][1]:
        expected = 36 // BRIDGES[name][1]["ratio"] ** 2
    else:
        expected = BRIDGES[name][1]["num_tokens"]
    assert case.tokens().shape[1] == expected


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_question")])
def test_mismatched_has_the_parameters_of_question(name):
    def shapes(name):
        return {k: v.shape for k, v in Case(*BRIDGES[name], (48, 80, 36)).bridge.state_dict().items()}

    plain, mismatched = name.removesuffix("_question"), name.replace("_question", "_mismatched")
    assert shapes(name) == shapes(mismatched)
    assert set(shapes(plain)) < set(shapes(name))
    assert {**BRIDGES[name][1], "conditioning": "none"} == BRIDGES[plain][1]


class Mine(nn.Module):
    """Keeps the contract; the others below break it in one place each."""

    def __init__(self, vision_dim, text_dim):
        super().__init__()
        self.project = nn.Linear(vision_dim, text_dim)

    def forward(self, patches, text=None, text_mask=None):
        return self.project(patches)


class Flat(Mine):
    def forward(self, patches, text=None, text_mask=None):
        return super().forward(patches).mean(1)


class Idle(Mine):
    def __init__(self, vision_dim, text_dim):
        super().__init__(vision_dim, text_dim)
        self.spare = nn.Linear(2, 2)


class Huge(Mine):
    def forward(self, patches, text=None, text_mask=None):
        return super().forward(patches) * 1e4


class Overflows(Mine):
    def forward(self, patches, text=None, text_mask=None):
        return super().forward(patches) + (
            1e39 * patches.new_ones(()) if patches.dtype == torch.bfloat16 else 0
        )


class Normed(Mine):
    def forward(self, patches, text=None, text_mask=None):
        return super().forward(patches - patches.mean(0))


class Placed(Mine):
    def forward(self, patches, text=None, text_mask=None):
        return super().forward(patches).cumsum(1)


class Queries(Mine):
    """Equal queries."""

    def __init__(self, vision_dim, text_dim, *, start="ones", positions=False):
        super().__init__(vision_dim, text_dim)
        self.num_queries, self.positions = 3, positions
        self.query = nn.Parameter(
            torch.ones(3, vision_dim) if start == "ones" else torch.randn(3, vision_dim)
        )

    def forward(self, patches, text=None, text_mask=None):
        if self.positions:
            patches = patches * torch.linspace(0, 1, patches.shape[1])[:, None].to(patches.dtype)
        weights = (self.query @ patches.transpose(1, 2) / 7).softmax(-1)
        return self.project(weights @ patches + self.query)


class Short(Queries):
    def forward(self, patches, text=None, text_mask=None):
        return super().forward(patches)[:, :2]


class Sighted(Mine):
    sees = "nothing"


class Reader(Mine):
    def forward(self, patches, text=None, text_mask=None):
        return self.project(patches) + (0 if text is None else text.mean())


class Deaf(Mine):
    conditioning = "question"


class Padded(Mine):
    conditioning = "question"

    def forward(self, patches, text=None, text_mask=None):
        if text is None:
            raise ValueError("no question")
        return self.project(patches) + text.mean(1, keepdim=True)


class Seeded(Mine):
    def __init__(self, vision_dim, text_dim):
        torch.manual_seed(0)
        super().__init__(vision_dim, text_dim)


class Noisy(Mine):
    def __init__(self, vision_dim, text_dim):
        super().__init__(vision_dim, text_dim)
        with torch.no_grad():
            self.project.bias.normal_(generator=torch.Generator().manual_seed(torch.seed() % 2**31))


class Forgetful(Mine):
    def __init__(self, vision_dim, text_dim):
        super().__init__(vision_dim, text_dim)
        self.gain = 1 + torch.rand(())

    def forward(self, patches, text=None, text_mask=None):
        return super().forward(patches) * self.gain


class Placeless(Mine):
    def __init__(self, vision_dim, text_dim, *, grid):
        super().__init__(vision_dim, text_dim)

    def forward(self, patches, text=None, text_mask=None):
        return super().forward(patches).mean(1, keepdim=True)


class Dropped(Mine):
    """Dropout alone is no fault, though it makes two passes differ."""

    def __init__(self, vision_dim, text_dim, *, norm=False):
        super().__init__(vision_dim, text_dim)
        self.norm = nn.BatchNorm1d(text_dim) if norm else None

    def forward(self, patches, text=None, text_mask=None):
        tokens = nn.functional.dropout(super().forward(patches), 0.1, self.training)
        return tokens if self.norm is None else self.norm(tokens.transpose(1, 2)).transpose(1, 2)


FAULTS = [  # class, choices, start of the demand that it breaks, and the problem
    (Flat, {}, "gives tokens", r"gave \(4, 128\) for 4 images and text_dim=128"),
    (Short, {"start": "normal"}, "gives tokens", "num_queries=3, but it gave 2 tokens"),
    (Idle, {}, "a gradient reaches", r"no gradient reaches spare\.weight, spare\.bias"),
    (Huge, {}, "the first gradient", "not between 1e-5 and 100"),
    (Overflows, {}, "is finite in bfloat16", "tokens are not finite by weights"),
    (Normed, {}, "does not depend on the rest", "1 at a time give other tokens"),
    (Dropped, {"norm": True}, "does not depend on the rest", "norm is a batch norm, which reads the batch"),
    (
        Queries,
        {"start": "normal", "positions": True},
        "does not depend on the patches' order",
        "take the keyword grid",
    ),
    (Placed, {}, "does not depend on the patches' order", "take the keyword grid"),
    (Queries, {}, "its queries differ", "alike at the start"),
    (Sighted, {}, "sees what it says", "sees='nothing', but other patches give other tokens"),
    (Reader, {}, "reads the question", "conditioning is none, but text is read"),
    (Deaf, {}, "reads the question", "another question gives the same tokens"),
    (Padded, {}, "reads the question", "padding of the question is read"),
    (Seeded, {}, "leaves the seed", r"project\.weight, project\.bias are the same for two seeds"),
    (Noisy, {}, "leaves the seed", r"project\.bias differ for one seed"),
    (Forgetful, {}, "its state_dict", "a copy through its state_dict gives other tokens"),
    (Placeless, {}, "says what grid", "raised no ValueError"),
    (Placeless, {}, "does not depend on the patches' order", "places do not matter"),
]


def test_every_demand_has_a_fault():
    unbroken = [
        demand for demand in DEMANDS if not any(demand.startswith(start) for _, _, start, _ in FAULTS)
    ]
    assert not unbroken


@pytest.mark.parametrize("bridge_class", [Mine, Dropped])
def test_a_plain_bridge_keeps_it(bridge_class):
    found = [(result.demand, result.problem) for result in check(bridge_class, {})]
    assert found == [(demand, None) for demand in DEMANDS]


@pytest.mark.parametrize(
    ("bridge_class", "choices", "demand", "message"), FAULTS, ids=lambda x: getattr(x, "__name__", None)
)
def test_a_fault_is_found(bridge_class, choices, demand, message):
    (result,) = [result for result in check(bridge_class, choices) if result.demand.startswith(demand)]
    assert result.problem is not None
    assert re.search(message, result.problem)


OWN = """
from torch import nn

class MyBridge(nn.Module):
    def __init__(self, vision_dim, text_dim, *, width=8):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(vision_dim, width), nn.Linear(width, text_dim))

    def forward(self, patches, text=None, text_mask=None):
        return self.net(patches)

class Broken(MyBridge):
    def forward(self, patches, text=None, text_mask=None):
        return self.net(patches).mean(1)
"""


def test_a_users_own_file_is_checked(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_own_module.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert main(["check-bridge", "my_own_module.MyBridge", "width=5"]) == 0
    assert capsys.readouterr().out.count("holds   ") == len(DEMANDS)
    for name in (["perceiver_cross_attention"], ["qformer_aligned"], ["qformer", "dropout=0.1"]):
        assert main(["check-bridge", *name]) == 0
    capsys.readouterr()
    assert main(["check-bridge", "my_own_module.Broken"]) == 2
    out, err = capsys.readouterr()
    assert "BROKEN  gives tokens [batch, M, text_dim]" in out
    assert "my_own_module.Broken breaks" in err
    assert main(["check-bridge", "qformr"]) == 2
    assert "qformer" in capsys.readouterr().err
    assert main(["check-bridge", "os.getcwd"]) == 2
    assert "may not be built" in capsys.readouterr().err
    assert main(["check-bridge", "no_such.Thing"]) == 2
    assert "there is no module no_such." in capsys.readouterr().err
    for name, message in (
        ("my_own_module.MyBrige", "my_own_module has no class MyBrige. Did you mean MyBridge?"),
        ("my_own_modul.MyBridge", "there is no module my_own_modul. Did you mean my_own_module?"),
        ("bridgelab.bridge.linaer.Linear", "bridgelab.bridge has no module linaer. Did you mean linear?"),
        ("my_own_module.", "my_own_module has no class . Name a class of a file in the current folder"),
    ):
        assert main(["check-bridge", name]) == 2
        (line,) = capsys.readouterr().err.splitlines()  # and none of Hydra's
        assert message in line
