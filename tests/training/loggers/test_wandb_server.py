"""W&B's real client against a server on this machine that speaks as much of its protocol as is needed."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import wandb
import yaml
from tiny_experiment import PROGRAM
from wandb.wandb_agent import Agent

from bridgelab.report.dashboard import dashboard
from bridgelab.training import main
from bridgelab.training.loggers.wandb_logger import wandb_identity

TESTS = Path(__file__).parents[2]
RUN = {"id": "run", "name": "", "displayName": "", "config": "{}", "sweepName": None, "historyLineCount": 0,
       "project": {"id": "project", "name": "bridgelab", "entity": {"id": "entity", "name": "me"}}}  # fmt: skip


class Server:
    """What it was asked and given.

    Attributes:
        asked: names of GraphQL operations with their variables, in order.
        sweep: the content of a sweep file.
        commands: what an agent is still to be told.
        runs: by id, the rows of history that were streamed, the summary and the config.
        files: names of files that were uploaded, with their bytes.
    """

    def __init__(self):
        self.asked, self.runs, self.files = [], {}, {}
        self.sweep, self.commands = {}, []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.answer({})

            def do_PUT(self):
                owner.files[self.path] = self.body()
                self.answer({})

            def do_POST(self):
                body = self.body()
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                body = json.loads(body) if body.startswith(b"{") else {}  # else it is the client's telemetry
                if self.path == "/graphql":
                    self.answer({"data": owner.graphql(body, f"http://{self.headers['Host']}")})
                else:
                    owner.stream(self.path, body)
                    self.answer({"exitcode": None, "limits": {}})

            def body(self):
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = b""
                while size := int(self.rfile.readline(), 16):
                    found += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return found

            def answer(self, content):
                text = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def graphql(self, body, address):
        given = body.get("variables") or {}
        match = re.search(r"(?:query|mutation)\s+(\w+)", body["query"])
        name = match[1] if match else body["query"][:60]
        self.asked.append((name, given))
        viewer = {"id": "me", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
        if name == "UpsertBucket":
            found = self.runs.setdefault(given["name"], {"history": [], "summary": {}, "config": {}})
            found["config"] |= json.loads(given.get("config") or "{}")
            found["group"] = given.get("groupName") or found.get("group")
            return {
                "upsertBucket": {"bucket": RUN | {"name": given["name"]}, "inserted": not found["history"]}
            }
        if name == "RunResumeStatus":
            known = self.runs.get(given["name"])
            if known is None:
                return {"model": {"id": "project", "name": "bridgelab", "bucket": None}}
            last = len(known["history"]) - 1
            tail = json.dumps([json.dumps({"_step": last})])
            return {"model": {"id": "project", "name": "bridgelab", "entity": {"id": "entity", "name": "me"}, "bucket": {
                "id": "run", "name": given["name"], "summaryMetrics": json.dumps(known["summary"]), "displayName": "",
                "logLineCount": 0, "historyLineCount": last + 1, "eventsLineCount": 0, "historyTail": tail,
                "eventsTail": "[]", "config": json.dumps({k: v for k, v in known["config"].items() if k != "wandb_version"}),
                "tags": [], "wandbConfig": '{"t": 1}',
            }}}  # fmt: skip
        if name == "CreateAgent":
            return {"createAgent": {"agent": {"id": "agent"}}}
        if name == "Heartbeat":
            told = [self.commands.pop(0)] if self.commands else []
            return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(told)}}
        if name == "SweepWithRuns":
            return {
                "project": {"sweep": {"id": "sweep", "config": json.dumps(self.sweep), "runs": {"edges": []}}}
            }
        if name == "CreateRunFiles":
            names = [{"name": one, "uploadUrl": f"{address}/upload/{one}"} for one in given["files"]]
            return {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": names}}
        if name == "CreateArtifact":
            return {"createArtifact": {"artifact": {"id": "a", "state": "PENDING", "digest": "d", "artifactSequence": {
                "id": "s", "latestArtifact": None}}}}  # fmt: skip
        if name == "CreateArtifactManifest":
            file = {
                "id": "f",
                "name": "manifest",
                "displayName": "manifest",
                "uploadUrl": f"{address}/manifest",
                "uploadHeaders": [],
            }
            return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}
        if name == "CreateArtifactFiles":
            edges = [
                {"node": {"id": "f", "name": spec["name"], "displayName": spec["name"], "uploadUrl": f"{address}/artifact/{spec['name']}",
                          "uploadHeaders": [], "storagePath": "x", "uploadMultipartUrls": None, "artifact": {"id": "a"}}}
                for spec in given["input"]["artifactFiles"]
            ]  # fmt: skip
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if name == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}
        if name == "UpsertView" or "upsertView" in body["query"]:
            return {
                "upsertView": {"view": {"id": "view", "name": given.get("name", "nw-view")}, "inserted": True}
            }
        return {
            "viewer": viewer, "serverInfo": {"cliVersionInfo": {"max_cli_version": "99.0.0"}, "features": []},
            "project": {"id": "project", "name": "bridgelab", "internalId": "1", "entity": {"id": "entity", "name": "me"}, "artifact": None,
                        "artifactType": None},
            "model": {"id": "project", "bucket": None}, "entity": {"id": "entity", "name": "me"}, "__type": None,
        }  # fmt: skip

    def stream(self, path, body):
        match = re.search(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path)
        if not match:
            return
        run = self.runs.setdefault(match[1], {"history": [], "summary": {}, "config": {}})
        for name, part in (body.get("files") or {}).items():
            rows = (
                [json.loads(line) for line in part["content"]] if name.endswith((".jsonl", ".json")) else []
            )
            if name == "wandb-history.jsonl":
                run["history"] += rows
            elif name == "wandb-summary.json":
                run["summary"] |= rows[-1]
        if "exitcode" in body:
            run["exitcode"] = body["exitcode"]


@pytest.fixture
def server(monkeypatch, tmp_path):
    made = Server()
    for name, value in {
        "WANDB_BASE_URL": made.address, "WANDB_API_KEY": "0" * 40, "WANDB_ENTITY": "me", "WANDB_SILENT": "true",
        "WANDB_DATA_DIR": str(tmp_path), "WANDB_X_DISABLE_STATS": "true", "WANDB_INIT_TIMEOUT": "30", "WANDB_MODE": "online",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    wandb.teardown()  # it reads these once a process
    yield made
    wandb.teardown()
    made.http.shutdown()
    made.http.server_close()


ONLINE = ("logger=wandb", "logger.wandb.offline=false", "bridge=linear", "train.lr=0.01", "train.log_every=1")


@pytest.fixture
def ended_once(monkeypatch):
    """The first run is told to end at its first validation."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    from bridgelab.training.experiment import Experiment

    validate, ended = Experiment.validate, []

    def stopping(self, model):
        if not ended:
            ended.append(1)
            os.kill(os.getpid(), signal.SIGTERM)
        return validate(self, model)

    monkeypatch.setattr(Experiment, "validate", stopping)


def test_a_run_that_is_ended_and_resumed_is_one_run_there(tiny, config, tmp_path, server, ended_once):
    directory = tmp_path / "toy" / "bridge=linear"
    given = config(*ONLINE, "logger.artifact=true")
    with pytest.raises(SystemExit):
        main.run(given, directory, bridge="linear")
    (run,) = server.runs.values()
    assert run["exitcode"] == 1
    main.run(given, directory, bridge="linear")
    assert list(server.runs) == [wandb_identity(directory)["id"]]
    assert run["exitcode"] == 0
    assert run["group"] == "toy"
    assert run["config"]["bridge_name"]["value"] == "linear"
    assert run["config"]["train"]["value"]["batch_size"] == 4
    steps = [row["trainer/global_step"] for row in run["history"] if "val/accuracy" in row]
    assert steps == [2, 4, 6]
    assert [row["_step"] for row in run["history"]] == list(range(len(run["history"])))
    record = json.loads((directory / "metrics.json").read_text())
    assert run["summary"]["test/accuracy"] == record["metrics"]["test/accuracy"]
    assert run["summary"]["costs/visual_tokens"] == record["costs"]["visual_tokens"]
    assert run["summary"]["chosen/lr"] == record["lr"] == 0.01
    told = {name: value for name, value in run["summary"].items() if name.startswith("budget/")}
    assert told == {f"budget/{one['steps']}": one["value"] for one in record["budgets"]} != {}
    table = next(json.loads(body) for name, body in server.files.items() if name.endswith(".table.json"))
    assert table["columns"][:3] == ["id", "image", "kind"]
    assert len(table["data"]) > 3
    rests = table["columns"].index("rests on")
    assert {row[rests]["_type"] for row in table["data"] if row[rests]} == {"image-file"}
    assert sum(name.endswith(".png") for name in server.files) > len(
        {row[1]["path"] for row in table["data"]}
    )
    kept = next(body for name, body in server.files.items() if name.endswith("last.ckpt"))
    assert kept == (directory / "last.ckpt").read_bytes()


def test_what_was_told_offline_is_sent_later(tiny, config, tmp_path, server, monkeypatch, ended_once):
    monkeypatch.setenv("WANDB_MODE", "offline")
    directory = tmp_path / "toy" / "a"
    given = config("logger=wandb", "bridge=linear", "train.lr=0.01")
    with pytest.raises(SystemExit):
        main.run(given, directory, bridge="linear")
    main.run(given, directory, bridge="linear")
    assert not server.runs
    parts = sorted(map(str, directory.glob("wandb/offline-run-*")))
    assert len(parts) == 2
    monkeypatch.delenv("WANDB_MODE")
    subprocess.run([sys.executable, "-m", "wandb", "sync", *parts], check=True, capture_output=True)
    run = server.runs[wandb_identity(directory)["id"]]
    assert run["summary"]["test/accuracy"] >= 0
    assert [row["trainer/global_step"] for row in run["history"] if "val/accuracy" in row] == [2, 4, 6]
    assert [row["_step"] for row in run["history"]] == list(range(len(run["history"])))


@pytest.mark.slow
def test_an_agent_runs_what_its_sweep_says(tmp_path, server, monkeypatch):
    """The sweep file of docs/sweeps.md; its command starts a run between two tiny sides instead."""
    document = (main.ROOT / "docs" / "sweeps.md").read_text()
    server.sweep = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```", document, re.MULTILINE | re.DOTALL)[1])
    program, command, *choices = server.sweep["command"]
    assert (program, command, choices[-1]) == ("${program}", "train", "${args_no_hyphens}")
    assert server.sweep["program"] == "bridgelab"
    tiny = [f"benchmark.root={tmp_path}/world", f"paths.features={tmp_path}/features", *PROGRAM]
    server.sweep["command"] = [sys.executable, "-m", "tiny_run", str(tmp_path / "run"), "1", *tiny, *choices]
    args = {"bridge.depth": {"value": 1}, "train.lr": {"value": 0.005}}
    assert args.keys() == server.sweep["parameters"].keys()
    server.commands = [{"type": "run", "run_id": "first", "program": "bridgelab", "args": args}]
    monkeypatch.setattr(Agent, "POLL_INTERVAL", 0.2)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *filter(None, sys.path)]))
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_PROJECT", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, "")  # what the agent sets is gone after the test
        monkeypatch.delenv(name)
    wandb.agent("me/bridgelab/sweep", count=1)
    assert list(server.runs) == ["first"]  # the sweep's id, and not the run's own
    run = server.runs["first"]
    assert run["exitcode"] == 0
    metric = server.sweep["metric"]["name"]
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [row[metric] for row in run["history"] if metric in row][-1] == record["curve"][-1][1]
    assert (record["bridge"], record["lr"]) == ("perceiver", 0.005)
    assert run["config"]["bridge"]["value"]["depth"] == 1


def test_a_workspace_of_a_study_is_saved_again_in_its_place(server, simulated):
    study = simulated.write(bridges={"linear": {"exist": 0.7}}, images=6)
    for _ in range(2):
        dashboard(study, entity="me", project="bridgelab", save=True)
    first, second = [given for name, given in server.asked if name.startswith("UpsertView")]
    assert "id" not in first
    assert (second["id"], second["name"]) == ("view", first["name"])


def test_the_workspace_is_saved(server, capsys):
    address = dashboard(None, entity="me", project="bridgelab", save=True)
    assert address.startswith(server.address)
    (sent,) = [given for name, given in server.asked if name.startswith("UpsertView")]
    spec = json.loads(sent["spec"])
    sections = spec["section"]["panelBankConfig"]["sections"]
    assert [section["name"].split(":")[0] for section in sections] == [
        "Answers", "Reasoning", "Where it breaks", "Learning", "Cost", "Choices", "Predictions"]  # fmt: skip
    shown = dashboard(None, entity="me", project="bridgelab", save=False)
    panels = [
        panel
        for section in json.loads(shown)["spec"]["section"]["panelBankConfig"]["sections"]
        for panel in section["panels"]
    ]
    assert {panel["viewType"] for panel in panels} == {
        "Bar Chart", "Run History Line Plot", "Scatter Plot", "Parallel Coordinates Plot", "Weave"}  # fmt: skip
    assert json.loads(capsys.readouterr().out.split("\n", 1)[1]) == json.loads(shown)


def test_nobody_logged_in_is_told(server, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"W&B rejected the workspace .*Run: wandb login"):
        dashboard(None, entity="me", project="bridgelab", save=True)
