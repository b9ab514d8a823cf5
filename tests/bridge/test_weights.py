"""A bridge's weights: what is read from a file, what is refused, and what a bridge keeps of its own."""

import pytest
import torch
from omegaconf import OmegaConf

from bridgelab.bridge import weights
from bridgelab.bridge.init_from import check_first_stage_file, check_initial_file
from bridgelab.bridge.linear import Linear
from bridgelab.bridge.mlp import MLP
from bridgelab.bridge.published import file_metadata
from bridgelab.bridge.qformer import QFormer
from bridgelab.bridge.weights import load_weights, read_initial, read_weights, write_weights

QFORMER = {"num_queries": 3, "depth": 3, "width": 8, "num_heads": 2}


def test_another_vision_width_keeps_the_initial_cross_attention_and_logs_it():
    wide, narrow = QFormer(14, 8, **QFORMER), QFormer(12, 8, **QFORMER)
    log = []
    kept = load_weights(narrow, wide.state_dict(), log.append)
    # In the first and the last of three layers the queries look at the patches.
    width = {f"layer.{i}.crossattention.attention.{n}.weight" for i in (0, 2) for n in ("key", "value")}
    assert set(kept) == width | {"ln_vision.weight", "ln_vision.bias"}
    assert "the vision width differs: ln_vision" in log[0]
    for name, value in narrow.state_dict().items():
        assert name in kept or torch.equal(value, wide.state_dict()[name])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda: MLP(12, 8), r"mm_projector\.0\.weight.* are not in this bridge"),
        (
            lambda: QFormer(12, 9, **QFORMER),
            r"language_projection\.weight.*have another shape.*\(9, 8\), here \(8, 8\)",
        ),
        (lambda: QFormer(12, 8, **QFORMER | {"depth": 2}), r"layer\.2\.\S+ and \d+ more are missing"),
    ],
)
def test_weights_of_another_bridge_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        load_weights(QFormer(12, 8, **QFORMER), source().state_dict())


def test_a_linear_bridge_of_another_width_is_refused():
    with pytest.raises(
        ValueError, match=r"mm_projector\.weight have another shape; .* is \(8, 14\), here \(8, 12\)"
    ):
        load_weights(Linear(12, 8), Linear(14, 8).state_dict())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"model": s},
        lambda s: {"state_dict": s},
        lambda s: {"module." + k: v for k, v in s.items()},
    ],
)
def test_pytorch_files_are_read_as_weights_only(tmp_path, wrap):
    state = Linear(3, 2).state_dict()
    torch.save(wrap(state), tmp_path / "w.pth")
    tensors = read_weights(tmp_path / "w.pth")
    assert all(torch.equal(tensors[name], state[name]) for name in state)
    assert set(tensors) == set(state)


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_files_that_hold_something_else_are_refused(tmp_path, capsys):
    torch.save({"w": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"could not be read as weights only \(UnpicklingError\)"):
        read_weights(tmp_path / "evil.pth")
    assert "run" not in capsys.readouterr().out
    for content in ([1, 2], {1: torch.ones(1)}, {"state_dict": {"model.scale": "x"}}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(ValueError, match="holds no tensors by name"):
            read_weights(tmp_path / "other.pth")
    (tmp_path / "torn.safetensors").write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"torn\.safetensors is not a complete safetensors file"):
        read_weights(tmp_path / "torn.safetensors")
    with pytest.raises(FileNotFoundError, match=r"nothing is not a file"):
        read_weights(tmp_path / "nothing")


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    write_weights({"w": torch.ones(2, 3).T}, tmp_path / "w.safetensors")

    def torn(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(weights, "save_file", torn)
    with pytest.raises(OSError, match="No space left"):
        write_weights({"w": torch.zeros(1)}, tmp_path / "w.safetensors")
    assert torch.equal(read_weights(tmp_path / "w.safetensors")["w"], torch.ones(3, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_runs_checkpoint_holds_its_bridge_and_names_its_backbones(tmp_path):
    state = Linear(3, 2).state_dict()
    run = {f"model.bridge.{name}": value for name, value in state.items()} | {"model.mean": torch.ones(3)}
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": run, "identity": {"vision": "v", "text": "t", "data": "d"}}, path)
    lines = []
    tensors = read_initial(path, {"vision": "v", "text": "t"}, lines.append)
    assert set(tensors) == set(state)
    assert all(torch.equal(tensors[name], state[name]) for name in state)
    assert not lines
    read_initial(path, {"vision": "w", "text": "t"}, lines.append)
    assert f"bridge.init_from={path} was trained with the vision encoder v, and vision is w here" in lines[0]
    with pytest.raises(
        ValueError, match=r"for the language model t, and text is u here.*Set text to that model"
    ):
        read_initial(path, {"vision": "v", "text": "u"}, lines.append)


def beginning(path, target="qformer.QFormer", reader="miniature", **bridge):
    """What the check of a file reads of a run's config."""
    sizes = {"num_queries": 3, "width": 8, **bridge} if target.startswith("qformer") else bridge
    return OmegaConf.create(
        {
            "bridge": {"_target_": f"bridgelab.bridge.{target}", "init_from": str(path), **sizes},
            "budget": {"tokens": None, "params": None},
            "text": {"path": reader},
            "train": {"steps": 4},
            "embed_dim": 5,
        }
    )


@pytest.mark.parametrize(
    ("tensors", "given", "message"),
    [
        (QFormer(12, 8, **QFORMER), {"target": "perceiver.PerceiverResampler"}, r"holds a Q-Former, and bridge\._target_=.*Set bridge=qformer, or"),
        (Linear(12, 8), {}, r"holds no Q-Former \(its first tensor is mm_projector\.bias\).*Choose the bridge that it was trained for"),
        (QFormer(12, 8, **QFORMER), {"num_queries": 4}, r"query_tokens is \(1, 3, 8\), here \(1, 4, 8\)"),
    ],
)  # fmt: skip
def test_a_files_header_tells_another_bridge(tmp_path, tensors, given, message):
    path = tmp_path / "x.safetensors"
    write_weights(tensors.state_dict(), path)
    with pytest.raises(ValueError, match=message):
        check_initial_file(beginning(path, **given))
    fitting = {"Linear": "linear.Linear", "QFormer": "qformer.QFormer"}[type(tensors).__name__]
    check_initial_file(beginning(path, fitting))
    with pytest.raises(
        ValueError, match=r"has no text side \(its first tensor is .*Name those of 'bridgelab align'"
    ):
        check_first_stage_file(beginning(path))


def test_published_weights_are_not_evaluated_as_a_runs(tmp_path):
    """A run scales tokens, and so would score something else."""
    state, path = Linear(12, 8).state_dict(), tmp_path / "x.safetensors"
    write_weights(state, path, file_metadata(state, "llava"))
    begun = beginning(path, "linear.Linear")
    check_initial_file(begun)
    begun.train.steps = 0
    with pytest.raises(ValueError, match=rf"train\.steps=0 with .*Use 'bridgelab evaluate --bridge {path}'"):
        check_initial_file(begun)
    write_weights(state, path)
    check_initial_file(begun)


def test_a_published_first_stage_begins_the_second_alone(tmp_path):
    """It reads BERT's words, and an alignment those of a T5."""
    state, path = QFormer(12, 8, **QFORMER).state_dict(), tmp_path / "x.safetensors"
    state["word_embeddings.weight"] = torch.ones(30_523, 8)
    write_weights(state, path, file_metadata(state, "blip2_stage1"))
    check_initial_file(beginning(path))
    with pytest.raises(ValueError, match=r"reads BERT's words: .* by the 'bridgelab train' line that"):
        check_first_stage_file(beginning(path))


def test_a_checkpoint_is_told_by_the_config_beside_it(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"not read")
    trained = {"bridge": {"_target_": "bridgelab.bridge.mlp.MLP"}, "text": {"path": "miniature"}, "model": {}}
    OmegaConf.save(OmegaConf.create(trained), tmp_path / "config.yaml")
    path = tmp_path / "last.ckpt"
    check_initial_file(beginning(path, "mlp.MLP"))
    check_initial_file(
        beginning(path, "mlp.MLP", "google/flan-t5-base")
    )  # its fingerprint tells, once it is loaded
    with pytest.raises(
        ValueError,
        match=r"is of a run with bridge\._target_=bridgelab\.bridge\.mlp\.MLP, and it is .*qformer",
    ):
        check_initial_file(beginning(path))
    with pytest.raises(
        ValueError,
        match=r"trained for the language model miniature, and text is miniature_prose.*Set text=miniature,",
    ):
        check_initial_file(beginning(path, "mlp.MLP", "miniature_prose"))
    inserted = beginning(path, "mlp.MLP")
    inserted.model = {"insert": "encoder_output"}
    OmegaConf.save(
        OmegaConf.create(trained | {"model": {"insert": "encoder_input"}}), tmp_path / "config.yaml"
    )
    with pytest.raises(
        ValueError,
        match=r"with model\.insert=encoder_input, and it is encoder_output.*Set model\.insert=encoder_input,",
    ):
        check_initial_file(inserted)
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="is not a complete safetensors file"):
        check_initial_file(beginning(tmp_path / "torn.safetensors"))
    with pytest.raises(
        FileNotFoundError, match=r"there is no such file.*'bridgelab align' writes first stages"
    ):
        check_initial_file(beginning(tmp_path / "none.safetensors"))


@pytest.mark.parametrize(
    ("key", "value", "trained"),
    [
        ("bridge.num_heads", 4, "2"),
        ("model.cross_attention.stack", "encoder", "decoder"),
        ("model.cross_attention.num_heads", 8, "4"),
        ("text.lora.alpha", None, "4"),
        ("text.lora.targets", ["q", "o"], r"\[q, v\]"),
    ],
)
def test_what_shapes_do_not_tell_is_told_by_the_config_beside_a_file(tmp_path, key, value, trained):
    """Another number of heads, another scale or another stack computes something else with the same tensors."""

    def begun(name):
        config = beginning(tmp_path / name, num_heads=2)
        config.text.update({"adapt": "lora", "lora": {"rank": 2, "alpha": 4, "targets": ["q", "v"]}})
        blocks = {"stack": "decoder", "every": 1, "num_heads": 4, "ffn_ratio": 4}
        config.model = {"insert": "cross_attention", "cross_attention": blocks}
        return config

    (tmp_path / "last.ckpt").write_bytes(b"not read")
    aligned = {"stage": "alignment"}
    write_weights(QFormer(12, 8, **QFORMER).state_dict(), tmp_path / "weights.safetensors", aligned)
    OmegaConf.save(begun("none"), tmp_path / "config.yaml")
    for name in ("last.ckpt", "weights.safetensors"):
        fitting, other = begun(name), begun(name)
        fitting.text.lora.targets = ["v", "q"]  # whose order means nothing
        check_initial_file(fitting)
        OmegaConf.update(other, key, value)
        with pytest.raises(
            ValueError, match=rf"was trained with {key}={trained}, and .*Set {key}={trained}, or"
        ):
            check_initial_file(other)
        if key == "bridge.num_heads":
            with pytest.raises(ValueError, match=rf"was trained with {key}=2, and {key}=4 here"):
                check_first_stage_file(other)
