"""Bridges on the hub: huggingface_hub's real client against a server on this machine that speaks as much of its protocol as is needed."""

import base64
import hashlib
import json
import re
import shlex
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
import torch
import yaml
from huggingface_hub import constants
from omegaconf import OmegaConf
from safetensors.torch import load_file, save

import bridgelab
from bridgelab import backbones
from bridgelab.bridge.hub import read_hub_bridge, repository
from bridgelab.cli import main as cli
from bridgelab.cli.published import published_config
from bridgelab.evaluation.push_check import check_push
from bridgelab.evaluation.push_to_hub import TEMPLATES, model_card, portable, push
from bridgelab.report.write import report
from bridgelab.runs.study import read_study
from bridgelab.training import main

REPO = "me/bridge"


class Hub:
    """Repositories by name, each a list of (commit, files); names of those that an account may not write."""

    def __init__(self):
        self.repos, self.asked, self.messages, self.readonly = {}, [], [], set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                owner.asked.append((self.command, self.path))
                if self.path == "/api/whoami-v2":
                    return self.answer({"type": "user", "name": "me", "orgs": []})
                if match := re.match(r"/api/models/([^/]+/[^/?]+)(?:/revision/([^?]+))?", self.path):
                    return self.of_revision(match[1], match[2], lambda commit, files: self.answer(
                        {"id": match[1], "sha": commit, "siblings": [{"rfilename": name} for name in files]}
                    ))  # fmt: skip
                if not (match := re.match(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)):
                    return self.answer({"error": "Not found"}, 404)
                return self.of_revision(
                    match[1], match[2], lambda commit, files: self.file(commit, files[match[3]])
                )

            do_HEAD = do_GET

            def do_POST(self):
                owner.asked.append((self.command, self.path))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path == "/api/repos/create":
                    content = json.loads(body)
                    name = f"{content.get('organization', 'me')}/{content['name']}"
                    if name in owner.readonly:
                        return self.answer({"error": "You don't have the rights"}, 403)
                    owner.repos.setdefault(name, [])
                    return self.answer({"url": f"{owner.address}/{name}"})
                if self.path == "/api/validate-yaml":
                    return self.answer({"errors": [], "warnings": []})
                name = re.match(r"/api/models/([^/]+/[^/]+)/", self.path)[1]
                if "/preupload/" in self.path:
                    files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                             for file in json.loads(body)["files"]]  # fmt: skip
                    return self.answer({"files": files})
                lines = [json.loads(line) for line in body.splitlines()]
                owner.messages += [line["value"]["summary"] for line in lines if line["key"] == "header"]
                commit = owner.commit(name, {
                    line["value"]["path"]: base64.b64decode(line["value"]["content"])
                    for line in lines if line["key"] == "file"
                })  # fmt: skip
                address = f"{owner.address}/{name}/commit/{commit}"
                return self.answer({"commitUrl": address, "commitOid": commit, "success": True})

            def of_revision(self, name, revision, answer):
                commits = owner.repos.get(name)
                if commits is None:
                    return self.answer(
                        {"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"}
                    )
                found = [one for one in commits if revision in (None, "main", one[0])]
                if not found:
                    return self.answer({"error": "Invalid rev"}, 404, {"X-Error-Code": "RevisionNotFound"})
                return answer(*found[-1])

            def file(self, commit, content):
                etag = hashlib.sha256(content).hexdigest()
                self.answer(content, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})

            def answer(self, content, status=200, headers=()):
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def commit(self, name, files):
        commits = self.repos.setdefault(name, [])
        commit = hashlib.sha1(f"{name} {len(commits)}".encode()).hexdigest()
        commits.append((commit, (commits[-1][1] if commits else {}) | files))
        return commit

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    made = Hub()
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, made.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", made.address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    yield made
    made.close()


@pytest.fixture
def run(trained):
    place = "runs/toy/bridge=qformer_question,seed=0"
    return trained(place, "qformer_question", "study=toy", "model.positions=true", "train.lr=0.01")


def test_a_pushed_bridge_is_the_runs_own(run, hub, world, tmp_path, monkeypatch):
    given = OmegaConf.load(run / "config.yaml")
    given.train.precision, given.data.dtype = "fp32", "float32"  # by default a GPU would round both
    OmegaConf.save(given, run / "config.yaml")
    address = push(run, REPO, license_id="cc-by-4.0")
    ((commit, files),) = hub.repos[REPO]
    assert address == f"{hub.address}/{REPO}/commit/{commit}"
    assert set(files) == {"README.md", "config.json", "model.safetensors"}
    image = next((world / "images" / "test").glob("*.png"))
    own, theirs = bridgelab.load_bridge(run), bridgelab.load_bridge(f"hf://{REPO}")
    for name, weight in own.model.trained_state().items():
        assert torch.equal(theirs.model.state_dict()[name], weight)
    question = "what is left of the cube ?"
    assert own.answer(image, question) == theirs.answer(image, question)
    monkeypatch.setattr(backbones, "bf16_is_fast", lambda device: True)
    exact = bridgelab.load_bridge(f"hf://{REPO}")
    assert (exact.model.precision, exact.dtype) == ("fp32", "float32")
    for named, expected in (
        ([], ("fp32", "float32")),
        (["train.precision=bf16"], ("bf16", "float32")),
        (["data.dtype=float16"], ("fp32", "float16")),
    ):
        _, chosen = published_config(f"hf://{REPO}", named, asks=True)
        assert (chosen.train.precision, chosen.data.dtype) == expected
    assert str(tmp_path.parent) not in files["config.json"].decode()  # a machine's paths stay on it
    assert hub.messages == ["bridgelab push: qformer_question, seed 0"]  # and a folder's name may hold one
    # A cached commit is read without the network.
    hub.close()
    pinned = bridgelab.load_bridge(f"hf://{REPO}@{commit}")
    assert pinned.answer(image, question) == own.answer(image, question)


def test_of_an_absolute_path_the_last_part_alone_is_published():
    group = {"weights": "local-dir:/home/alice/vit", "roots": ["/data/vqa", "data/vqa", "local-dir:vit", 3]}
    published = {"weights": "local-dir:vit", "roots": ["vqa", "data/vqa", "local-dir:vit", 3]}
    assert portable(OmegaConf.create(group)) == published


def test_the_card_says_what_the_record_says(run, hub, world, tmp_path, monkeypatch):
    push(run, REPO, license_id="cc-by-4.0")
    card = hub.repos[REPO][-1][1]["README.md"].decode()
    record = json.loads((run / "metrics.json").read_text())
    _, header, text = card.split("---\n", 2)
    about = yaml.safe_load(header)
    assert (about["license"], about["library_name"]) == ("cc-by-4.0", "bridgelab")
    assert "Of one run (seed 0, data seed 0) on `world`" in text
    (accuracy,) = about["model-index"][0]["results"][0]["metrics"]
    assert accuracy["value"] == record["metrics"]["test/accuracy"]
    rows = pd.read_parquet(run / "predictions.parquet").query("kind == 'answer' and view == 'image'")
    (row,) = (line for line in text.splitlines() if line.startswith("| qformer_question"))
    assert float(row.split("|")[2].split()[0]) == pytest.approx(100 * rows["score"].mean(), abs=0.051)
    assert re.search(r"\(\d.*–.*\d\)", row)  # an interval
    assert "floor: majority" in text
    for value in (*record["fingerprints"].values(),):
        assert (value in text) == (value != record["fingerprints"]["data"])
    assert f"| learning rate | {record['lr']}, " in text
    for budget in record["budgets"]:
        assert f"% after {budget['steps']} steps" in text
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    assert len([line for line in block.splitlines() if line]) <= 5
    (tmp_path / "image.png").write_bytes(next((world / "images" / "test").glob("*.png")).read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(block, {})  # noqa: S102
    push(run, REPO)
    again = hub.repos[REPO][-1][1]["README.md"].decode()
    assert "stated no licence for the weights" in again
    assert "license:" not in again


def card_of(run, config, bridge="linear", **content):
    """The model card of a simulated run."""
    record = json.loads((run / "metrics.json").read_text()) | {
        "bridge": bridge,
        "warmup": 0.1,
        "precision": "fp32",
    }
    content = {
        "bridgelab": "0.1.0", "choices": {}, "vision_dim": 6, "text_dim": 16, "fingerprints": {"vision": "a", "text": "b"},
        "insert": "encoder_input", "positions": False, "cross_attention": None,
        "groups": {"vision": {"weights": "tiny"}, "text": {"path": "tiny"}}, **content,
    }  # fmt: skip
    return model_card(REPO, run, record, config, content, None)


def test_the_card_of_a_class_of_ones_own_names_it_and_trusts_it(simulated, config, tmp_path, monkeypatch):
    (tmp_path / "pushed_module.py").write_text("from bridgelab.bridge.mlp import MLP\nclass Own(MLP): ...\n")
    monkeypatch.chdir(tmp_path)
    run = simulated.write(bridges={"linear": {"exist": 0.7}}, seeds=(0,)) / "bridge=linear,seed=0"
    choices = {"sizes": [1, 2], "gain": None, "deep": True, "name": "a b", "of": {"x": 1.5}}
    given = config("bridge._target_=pushed_module.Own")
    card = card_of(run, given, "pushed_module.Own", choices={"grid": [2, 2], **choices})
    assert f'load_bridge("hf://{REPO}", trust=True)' in card
    assert "It needs the class `pushed_module.Own`, which is not in this repository" in card
    assert f"`bridgelab evaluate --bridge hf://{REPO} --trust benchmark=NAME`" in card
    train, key, *overrides = shlex.split(re.search(r"`bridgelab (train [^`]*)`", card)[1])
    assert (train, key, overrides[-1]) == (
        "train", "bridge._target_=pushed_module.Own", f"bridge.init_from=hf://{REPO}"
    )  # fmt: skip
    chosen = OmegaConf.to_container(config(key, *overrides).bridge)
    assert {name: chosen[name] for name in chosen if name in choices} == choices
    plain = card_of(run, config("bridge=mlp"), "mlp")
    assert "trust" not in plain
    assert f"`bridgelab train bridge=mlp bridge.init_from=hf://{REPO}`" in plain


def test_the_card_of_a_bridge_that_captions_has_their_scores(simulated, config):
    run = simulated.write(bridges={"linear": {}}, seeds=(0,)) / "bridge=linear,seed=0"
    record = json.loads((run / "metrics.json").read_text())
    del record["metrics"]["test/accuracy"]
    (run / "metrics.json").write_text(json.dumps(record))
    _, header, text = card_of(run, config("bridge=linear")).split("---\n", 2)
    about = yaml.safe_load(header)
    assert about["pipeline_tag"] == "image-to-text"
    (result,) = about["model-index"][0]["results"]
    assert [(one["name"], one["value"]) for one in result["metrics"]] == [("test/cider", 1.25)]
    assert re.search(
        r"^\| \| CIDEr-D \| attributes right \|\n.*\n\| linear \| 1\.25.* \| 75\.0.* \|$", text, re.MULTILINE
    )
    assert ("## Captions" in text, "## Accuracy" in text) == (True, False)


def test_a_record_that_lacks_what_the_card_says_is_refused_before_models_are_loaded(simulated):
    run = simulated.write(bridges={"linear": {}}, seeds=(0,), images=2) / "bridge=linear,seed=0"
    record = json.loads((run / "metrics.json").read_text()) | {"warmup": 0.05, "precision": "fp32"}
    said = set(re.findall(r"record\.(\w+)", (TEMPLATES / "model_card.md.jinja").read_text()))
    for name in said - {"adapt", "curve_of"}:  # without them the T5 is frozen, and the curve is of accuracy
        (run / "metrics.json").write_text(json.dumps({key: record[key] for key in record if key != name}))
        with pytest.raises(ValueError, match=rf"metrics.json lacks {name}\. A record needs"):
            check_push(run, REPO)


def test_a_run_begins_with_a_bridge_of_the_hub(run, hub, config, tmp_path):
    push(run, REPO)
    commit = hub.repos[REPO][-1][0]
    first = json.loads((run / "metrics.json").read_text())
    # Neither another seed nor the moments of other training images change what is evaluated.
    chosen = ["bridge=qformer_question", "model.positions=true", "train.steps=0", "seed=7"]
    given = config(*chosen, f"bridge.init_from=hf://{REPO}")
    moments = {name: torch.full((6,), 9.0) for name in ("mean", "std")}
    begun = backbones.Backbones(given, "cpu").model(3, **moments).trained_state()
    tensors = read_hub_bridge(f"hf://{REPO}").tensors
    assert begun.keys() == tensors.keys()
    assert all(torch.equal(begun[name], tensor) for name, tensor in tensors.items())
    folder = tmp_path / "runs" / "from_hub" / "bridge=qformer_question"
    main.run(given, folder, bridge="qformer_question")
    record = json.loads((folder / "metrics.json").read_text())
    assert record["init_from"] == f"hf://{REPO}@{commit}"
    assert record["metrics"] == pytest.approx(first["metrics"])
    trained = config(*chosen[:2], "train.lr=0.01", f"bridge.init_from=hf://{REPO}@{commit}")
    main.run(trained, tmp_path / "runs" / "further" / "a", bridge="qformer_question")
    after = torch.load(tmp_path / "runs" / "further" / "a" / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(after["model.scale"], tensors["scale"])


BLOCKS = ("model.insert=cross_attention", "model.cross_attention={stack: decoder, num_heads: 4}")
LORA = ("text.adapt=lora", "text.lora={rank: 2, targets: [q, wo]}")


@pytest.mark.parametrize(
    ("choices", "other", "message"),
    [
        (
            ("model.insert=cross_attention", "text.adapt=prompt", "text.prompt_tokens=3"),
            ("text.prompt_tokens=4",),
            r"was trained with text\.prompt_tokens=3, and text\.prompt_tokens=4 here: .*Set text\.prompt_tokens=3, or",
        ),
        (
            (*BLOCKS, *LORA),
            ("model.cross_attention.stack=encoder",),
            r"with model\.cross_attention\.stack=decoder, and model\.cross_attention\.stack=encoder here",
        ),
    ],
    ids=["encoder, prompt", "decoder, lora"],
)
def test_blocks_and_adapters_are_published_with_the_bridge(
    tiny, config, hub, world, tmp_path, monkeypatch, capsys, caplog, choices, other, message
):
    """A run whose T5 reads between layers, beside an adapter: pushed, put back, asked, evaluated, trained further."""
    run = tmp_path / "runs" / "toy" / "bridge=linear,seed=0"
    given = ("bridge=linear", "train.lr=0.05", f"text.path={tmp_path}/t5", *choices)
    main.run(config(*given, "study=toy"), run, bridge="linear")
    push(run, REPO)
    assert f"text.path={tmp_path}/t5 is a path of this machine, which no other finds" in caplog.text
    commit, files = hub.repos[REPO][-1]
    own, theirs = bridgelab.load_bridge(run), bridgelab.load_bridge(f"hf://{REPO}")
    trained = own.model.trained_state()
    for part in ("cross_attention.", "lora" if LORA[0] in choices else "soft_prompt"):
        assert any(part in name for name in trained)
    assert all(gate["attention"] for gate in theirs.model.cross_attention.gates())  # they are open
    assert trained.keys() == theirs.model.trained_state().keys()
    for name, weight in theirs.model.trained_state().items():
        assert torch.equal(weight, trained[name])
    image = next((world / "images" / "test").glob("*.png"))
    assert own.answer(image, "what is it ?") == theirs.answer(image, "what is it ?")
    card = files["README.md"].decode()
    assert "| tokens enter at | cross_attention |" in card
    assert re.search(r"`text.adapt`\) \| (prompt, 3 tokens|lora, rank 2) \|", card)
    adapter = sum(p.numel() for p in own.model.adapter_parameters)
    rest = sum(p.numel() for p in own.model.parameters() if p.requires_grad) - adapter
    blocks = "the blocks of cross-attention included,"
    assert (
        f"It holds {rest:,} parameters, {blocks} beside {adapter:,} of the T5's adapter, and outputs" in card
    )
    assert 'paths={"text.path": "PATH"})`, or\n`text.path=PATH` beside `--bridge`' in card

    monkeypatch.chdir(tmp_path)
    # The publisher's path is found nowhere else; one of the own machine changes that key alone.
    moved, published = (
        f"{tmp_path}/moved",
        OmegaConf.create(json.loads(files["config.json"])["groups"]["text"]),
    )
    assert published.path == "t5"
    for found in (
        published_config(f"hf://{REPO}", [f"text.path={moved}"], asks=True)[1].text,
        bridgelab.load_bridge(f"hf://{REPO}", paths={"text.path": moved}).config.text,
    ):
        assert found == OmegaConf.merge(published, {"path": moved})
    with pytest.raises(ValueError, match=r"paths names 'text\.adapt': its keys are among text\.path, vision"):
        bridgelab.load_bridge(f"hf://{REPO}", paths={"text.adapt": "none"})
    asking = ["answer", "--bridge", f"hf://{REPO}", f"text.path={moved}", str(image), "what is it ?"]
    assert cli.main(asking) == 0
    asked = capsys.readouterr().out
    assert cli.main(["answer", str(run), str(image), "what is it ?"]) == 0
    assert capsys.readouterr().out == asked
    places = [f"benchmark.root={world}", f"paths.features={tmp_path}/features", "benchmark.images={train:6,val:3,test:4}",
              "benchmark.processes=1", "benchmark.questions_per_image=3"]  # fmt: skip
    assert cli.main(["evaluate", "--bridge", f"hf://{REPO}", *places]) == 0
    evaluated = json.loads((tmp_path / capsys.readouterr().out.strip() / "metrics.json").read_text())
    first = json.loads((run / "metrics.json").read_text())
    assert evaluated["cross_attention"] == first["cross_attention"]
    assert evaluated["adapt"] == first["adapt"] != "none"
    assert evaluated["metrics"]["test/likelihood_answer"] == pytest.approx(
        first["metrics"]["test/likelihood_answer"]
    )

    begun = config(*given, f"bridge.init_from=hf://{REPO}@{commit}", "train.steps=0", "seed=3")
    main.run(begun, tmp_path / "runs" / "begun" / "a", bridge="linear")
    record = json.loads((tmp_path / "runs" / "begun" / "a" / "metrics.json").read_text())
    assert record["metrics"] == pytest.approx(first["metrics"])
    for overrides, expected in (
        (other, message),
        (("text.adapt=none",), r"was trained with text\.adapt=\w+, and text\.adapt=none here"),
        (("model.insert=encoder_input",), r"with model\.insert=cross_attention, and model\.insert=encoder_input here"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=expected):
            backbones.Backbones(config(*given, f"bridge.init_from=hf://{REPO}", *overrides), "cpu")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["bridge=linear"], r"hf://me/bridge@\w+ was trained with bridge._target_=bridgelab.bridge.qformer.QFormer, and .*Linear here"),
        (["model.positions=false"], r"with model.positions=true, and model.positions=false here: weights fit their own bridge"),
        (["model.insert=encoder_output"], r"with model.insert=encoder_input, .*Set model.insert=encoder_input"),
        (["bridge.num_queries=5"], r"with bridge.num_queries=16, and bridge.num_queries=5 here: .*Set bridge.num_queries=16, or leave"),
        (["budget.tokens=9"], r"with bridge.num_queries=16, and bridge.num_queries=9 here"),
    ],
)  # fmt: skip
def test_another_bridge_is_refused(run, hub, config, overrides, message):
    push(run, REPO)
    given = config(
        "bridge=qformer_question", "model.positions=true", f"bridge.init_from=hf://{REPO}", *overrides
    )
    with pytest.raises(ValueError, match=message):
        backbones.Backbones(given, "cpu").model(0)


def test_other_backbones_are_refused(run, hub, config, tiny_text, tiny_vision, monkeypatch):
    push(run, REPO)
    given = config("bridge=qformer_question", "model.positions=true", f"bridge.init_from=hf://{REPO}")
    weight = tiny_text.model.lm_head.weight
    own = weight.detach().clone()
    weight.data.add_(1)
    with pytest.raises(
        ValueError, match=r"was trained with the text side \w+, and text is \w+ here: a bridge"
    ):
        backbones.Backbones(given, "cpu")
    weight.data.copy_(own)
    monkeypatch.setattr(tiny_vision, "dim", 7)
    with pytest.raises(
        ValueError, match=r"with a vision side of width 6, and vision has 7 here: .*Set vision=NAME"
    ):
        backbones.Backbones(given, "cpu")
    given.bridge._target_ = "bridgelab.bridge.linear.Linear"
    monkeypatch.setattr(backbones, "build", None)  # refused before a model is built
    with pytest.raises(ValueError, match=r"was trained with bridge._target_"):
        backbones.Backbones(given, "cpu")


def test_it_is_evaluated_and_asked_from_the_command_line(run, hub, world, tmp_path, capsys, monkeypatch):
    push(run, REPO)
    monkeypatch.chdir(tmp_path)
    own = [f"benchmark.root={world}", f"paths.features={tmp_path}/features", "benchmark.images={train:6,val:3,test:4}",
           "benchmark.processes=1", "benchmark.questions_per_image=3"]  # fmt: skip
    assert cli.main(["evaluate", "--bridge", f"hf://{REPO}", *own]) == 0
    folder = tmp_path / capsys.readouterr().out.strip()
    assert folder.parent.name == "published_on_world"
    record = json.loads((folder / "metrics.json").read_text())
    assert (record["bridge"], record["conditioning"], record["steps"]) == ("qformer_question", "question", 0)
    first = json.loads((run / "metrics.json").read_text())["metrics"]
    assert record["metrics"]["test/accuracy"] == pytest.approx(first["test/accuracy"])
    assert record["metrics"]["test/likelihood_answer"] == pytest.approx(first["test/likelihood_answer"])
    assert read_study(folder.parent).bridges == ("qformer_question",)
    report(folder.parent)
    image = next((world / "images" / "test").glob("*.png"))
    capsys.readouterr()
    assert cli.main(["answer", "--bridge", f"hf://{REPO}", str(image), "what is it ?"]) == 0
    asked = capsys.readouterr().out
    assert cli.main(["answer", str(run), str(image), "what is it ?"]) == 0
    assert capsys.readouterr().out == asked
    for words, message in (
        (["evaluate", "--bridge", f"hf://{REPO}", "bridge=linear"], "bridge is the repository's own"),
        (["evaluate", "--bridge", f"hf://{REPO}", "train.steps=5"], "train.steps changes nothing here"),
        (["evaluate", "--bridge", f"hf://{REPO}", str(run)], "give runs, or a published bridge"),
        (["answer", "--bridge", f"hf://{REPO}", "what is it ?"], "an image must come before the question"),
    ):
        assert cli.main(words) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["bridge", "me/", "me/a b", "me/bridge@", "a/b/c", ""])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=r"names no repository of the hub: it must be hf://ORG/NAME"):
        repository(f"hf://{name}")


def good(**changes):
    content = {
        "bridgelab": "0.1.0", "bridge": "linear", "target": "bridgelab.bridge.linear.Linear", "choices": {}, "vision_dim": 6,
        "text_dim": 16, "fingerprints": {}, "insert": "encoder_input", "positions": False, "groups": {},
    }  # fmt: skip
    return json.dumps(content | changes).encode()


WEIGHTS = save({"scale": torch.ones(())})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"hf://me/bridge has no config.json. It holds no file: a bridge has config.json and model.safetensors"),
        ({"config.json": good(), "pytorch_model.bin": b"x"}, r"no model.safetensors. Its weights are in pytorch_model.bin, a pickle"),
        ({"config.json": b"{}", "model.safetensors": WEIGHTS}, r"config.json holds bridgelab=.*field required. Choose a repository that"),
        ({"config.json": b"[1", "model.safetensors": WEIGHTS}, r"config.json is not JSON .*'bridgelab push' wrote"),
        ({"config.json": good(vision_dim="6"), "model.safetensors": WEIGHTS}, r"holds vision_dim='6': input should be a valid integer"),
        ({"config.json": good(bridge="linear\x1b[2J"), "model.safetensors": WEIGHTS}, r"bridge='linear.*string should match pattern"),
        ({"config.json": good(choices={"init_from": "/etc/hostname"}), "model.safetensors": WEIGHTS}, r"choices has init_from, which is not a keyword"),
        ({"config.json": good(choices={"_target_": "os.system"}), "model.safetensors": WEIGHTS}, r"choices has _target_, which is not a keyword"),
        ({"config.json": good(insert="cross_attention"), "model.safetensors": WEIGHTS}, r"insert=cross_attention with cross_attention=None: blocks belong"),
        (
            {"config.json": good(insert="cross_attention", cross_attention={"stack": "encoder", "every": 0, "num_heads": 1, "ffn_ratio": 1}), "model.safetensors": WEIGHTS},
            r"holds cross_attention\.every=0: input should be greater than or equal to 1",
        ),
        ({"config.json": good(groups={"text": {"path": "${oc.env:HOME}"}}), "model.safetensors": WEIGHTS}, r"holds an interpolation"),
        ({"config.json": good(), "model.safetensors": b"\x80\x04pickle"}, r"model.safetensors is not a complete safetensors file"),
    ],
)  # fmt: skip
def test_a_repository_without_a_bridge_is_refused(hub, files, message):
    hub.commit(REPO, files)
    with pytest.raises(ValueError, match=message):
        read_hub_bridge(f"hf://{REPO}")


def test_code_that_a_repository_names_is_not_run(hub, tmp_path, monkeypatch):
    (tmp_path / "somebodys.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    groups = {name: {"_target_": f"bridgelab.{name}.x"} for name in ("vision", "text", "benchmark")}
    foreign = good(target="somebodys.Bridge", groups=groups)
    hub.commit(REPO, {"config.json": foreign, "model.safetensors": WEIGHTS})
    with pytest.raises(
        ValueError, match=r"hf://me/bridge@\w+: bridge._target_=somebodys.Bridge is code from outside"
    ):
        bridgelab.load_bridge(f"hf://{REPO}")
    assert not (tmp_path / "ran").exists()
    hub.commit(REPO, {"config.json": good()})
    with pytest.raises(ValueError, match=r"hf://me/bridge@\w+ does not name its vision by a _target_"):
        bridgelab.load_bridge(f"hf://{REPO}")


def test_a_hub_that_does_not_answer_is_said_at_once(hub, monkeypatch):
    with pytest.raises(
        OSError, match=r"hf://me/bridge: the hub has no model of this name, or keeps it private"
    ):
        read_hub_bridge(f"hf://{REPO}")
    hub.commit(REPO, {"config.json": good(), "model.safetensors": WEIGHTS})
    with pytest.raises(OSError, match=r"hf://me/bridge has no revision v9. Name a commit, tag or branch"):
        read_hub_bridge(f"hf://{REPO}@v9")
    hub.close()
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits for another try"))
    with pytest.raises(ConnectionError, match=r"hf://me/bridge: the hub can't be reached .* HF_HOME"):
        read_hub_bridge(f"hf://{REPO}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"the hub can't be reached"):
        read_hub_bridge(f"hf://{REPO}")


def test_a_push_that_cannot_be_is_refused_before_models_are_loaded(run, hub, config, tmp_path, monkeypatch):
    words = tmp_path / "runs" / "toy" / "bridge=words"
    main.run(config("bridge=words", "study=toy"), words, bridge="words")
    with pytest.raises(
        ValueError, match=r"is of bridge=words, which sees words: only a bridge that reads images"
    ):
        push(words, REPO)
    with pytest.raises(ValueError, match=r"me/bridge@v1 names a revision"):
        push(run, f"{REPO}@v1")
    hub.readonly.add(REPO)
    with pytest.raises(OSError, match=r"hf://me/bridge: the hub refuses this account .*hf auth login"):
        push(run, REPO)
    monkeypatch.setattr(
        "bridgelab.evaluation.push_to_hub.load_trained", lambda *a, **k: pytest.fail("loaded")
    )
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(OSError, match=r"you are not logged in, .*Run 'hf auth login'"):
        push(run, REPO)
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    hub.close()
    with pytest.raises(ConnectionError, match=r"hf://me/bridge: the hub can't be reached .*Push from where"):
        push(run, REPO)
    assert cli.main(["push", str(tmp_path / "nowhere"), REPO]) == 2


def test_a_published_file_holds_tensors_alone(run, hub, tmp_path):
    push(run, REPO)
    (tmp_path / "model.safetensors").write_bytes(hub.repos[REPO][-1][1]["model.safetensors"])
    names = set(load_file(tmp_path / "model.safetensors"))
    assert {"mean", "std", "scale", "positions"} <= names
    assert not any(name.startswith("language.") for name in names)
