import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from bridgelab.world import write
from bridgelab.world.split import split_scene
from bridgelab.world.write import write_world


def digest(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_same_seed_same_files_over_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "BLOCK", 20)
    write_world(tmp_path / "one", "val", 26, seed=3, processes=1)  # two blocks
    write_world(tmp_path / "two", "val", 26, seed=3, processes=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_a_stopped_drawing_goes_on_with_the_next_block(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(write, "BLOCK", 20)
    write_world(tmp_path / "whole", "val", 42, seed=3)  # three blocks
    draw, drawn = write._draw_block, []

    def stop_at_the_second(block):
        if len(drawn) == 1:
            raise KeyboardInterrupt
        drawn.append(block.start)
        return draw(block)

    monkeypatch.setattr(write, "_draw_block", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        write_world(tmp_path / "stopped", "val", 42, seed=3)
    assert not (tmp_path / "stopped/questions/CLEVR_val_questions.json").exists()
    rest = []
    monkeypatch.setattr(write, "_draw_block", lambda block: rest.append(block.start) or draw(block))
    with caplog.at_level("INFO"):
        write_world(tmp_path / "stopped", "val", 42, seed=3)
    assert (drawn, rest) == ([0], [20, 40])
    (began,) = [message for message in caplog.messages if "the built-in world" in message]
    assert began.startswith("drawing 42 images of the built-in world (val), once, into ")
    assert began.endswith("stopped; 20 of them are there")
    assert digest(tmp_path / "stopped") == digest(tmp_path / "whole")


def test_blocks_of_another_world_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "write_text", lambda path, content: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_world(tmp_path, "val", 3, seed=3, size=24)
    monkeypatch.undo()
    (kept,) = tmp_path.glob(".val-*")
    (kept / "000000.json").write_text("[[], [], []]")  # as if the block were drawn
    write_world(tmp_path, "val", 3, seed=4, size=24)
    scenes = json.loads((tmp_path / "scenes/CLEVR_val_scenes.json").read_text())["scenes"]
    assert len(scenes) == 3


def test_layout_is_clevr_s(tmp_path):
    write_world(tmp_path, "val", 12, seed=0)
    questions = json.loads((tmp_path / "questions/CLEVR_val_questions.json").read_text())["questions"]
    scenes = json.loads((tmp_path / "scenes/CLEVR_val_scenes.json").read_text())["scenes"]
    assert {
        "image_index",
        "image_filename",
        "question",
        "answer",
        "program",
        "question_family_index",
        "split",
    } <= set(questions[0])
    assert {"objects", "relationships", "directions", "image_index", "image_filename"} <= set(scenes[0])
    assert {"shape", "size", "color", "material", "rotation", "3d_coords", "pixel_coords"} == set(
        scenes[0]["objects"][0]
    )
    for scene in scenes:
        image, mask = (
            read(tmp_path / folder / "val" / scene["image_filename"]) for folder in ("images", "masks")
        )
        assert image.shape == (96, 96, 3)
        assert set(np.unique(mask)) == set(range(len(scene["objects"]) + 1))  # every object is seen


def test_splits_and_seeds_share_no_scene():
    drawn = [
        split_scene(s, seed, k).objects
        for s in ("train", "val", "test")
        for seed in (0, 1)
        for k in range(20)
    ]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": 0}, "images=0: must be at least 1"),
        ({"images": 1, "split": "../x"}, "split='../x': must be one of train"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_world(tmp_path, **{"split": "val", **arguments})
