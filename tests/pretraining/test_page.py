import json
from pathlib import Path

from omegaconf import OmegaConf

from bridgelab.pretraining.page import READERS, write_page
from bridgelab.world.scene import ATTRIBUTES

ROOT = Path(__file__).parents[2]


def test_every_reader_has_a_title():
    for path in (ROOT / "conf" / "pretrain" / "reader").glob("*.yaml"):
        assert OmegaConf.load(path).shipped_as in READERS


def test_the_page_says_what_the_cards_measured(tmp_path):
    families = {"zero_hop_query": [90, 100], "caption": [1, 4]}
    earlier = {"seed": 0, "minutes": 12.5, "steps": 5, "lessons": 640, "went_on_from": None}
    text = {
        "fingerprint": "0123abcd", "parameters": 1_500_000, "seed": 0, "minutes": 40.0, "threads": 1, "steps": 10, "lessons": 1280, "went_on_from": earlier,
        "recipe": {"phases": [{"blur": 0.3}]},
        "words": {form: {"mean": 0.9, "families": families} for form in ("compact", "patch_like")},
    }  # fmt: skip
    one = {"value": 0.951, "interval": [0.94, 0.96], "objects": 10}
    parts = dict.fromkeys(("all", "small", "half_hidden"), one)
    probe = {
        pooling: {**dict.fromkeys(ATTRIBUTES, parts), "x": one, "y": one} for pooling in ("centre", "mask")
    }
    vision = {
        "fingerprint": "4567cdef", "parameters": 1_300_000, "seed": 0, "training_minutes": 30.0, "threads": 1, "device": "cpu",
        "images_seen": 1000, "scenes": 400, "steps": 20, "probe": probe,
        "recipe": {"decoder_mlp": False},
    }  # fmt: skip
    (tmp_path / "text_card.json").write_text(json.dumps(text))
    prose = text | {"fingerprint": "89abcdef", "recipe": {"phases": [{"blur": 0.0}]}}
    (tmp_path / "text_prose_card.json").write_text(json.dumps(prose))
    for name in ("text_grids", "text_mine"):
        (tmp_path / f"{name}_card.json").write_text(json.dumps(prose))
    (tmp_path / "vision_card.json").write_text(json.dumps(vision))
    for name, bytes_in in (("text", 2_000_000), ("warm", 4_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(bytes(bytes_in))
    page = write_page(tmp_path).read_text()
    assert "text/model.safetensors 2.0 MB; 2.0 MB in all." in page
    assert "This favours a linear bridge." in page
    assert "| zero_hop_query | 100 | 0.900 ± 0.059 | 0.900 ± 0.059 |" in page
    assert "Fingerprint `0123abcd`" in page
    assert "Fingerprint `4567cdef`" in page
    assert "1,280 lessons" in page
    schooled, grids, mine, prose = page.split("## T5: ")[1:]
    assert "on 36, 64 and 144 positions" in grids
    assert mine.startswith("`text_mine`")
    assert "behind noise of any strength" in schooled
    assert prose.startswith("prose")
    assert "Fingerprint `89abcdef`" in prose
    assert "behind noise of any strength" not in prose
    assert "on top of 12.5 minutes and 640 lessons, from scratch" in page
    assert "0.951 [0.940, 0.960]" in page
