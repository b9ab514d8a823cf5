import hashlib

import numpy as np
import pytest
from PIL import Image

from bridgelab.data.images import file_hashes, read_image


def test_every_mode_becomes_rgb(tmp_path):
    for mode, colour in (("RGB", (255, 0, 0)), ("L", 7), ("P", 3), ("1", 1), ("CMYK", (0, 255, 255, 0))):
        path = tmp_path / f"{mode}.tif"
        Image.new(mode, (5, 4), colour).save(path)
        image = read_image(path)
        assert image.shape == (4, 5, 3)
        assert image.dtype == np.uint8


def test_transparency_is_laid_on_white(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (2, 2), (255, 0, 0, 128)).save(tmp_path / "half.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()
    assert (read_image(tmp_path / "half.png")[0, 0] == [255, 127, 127]).all()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n cut short"])
def test_a_broken_image_is_named_with_the_fix(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"broken\.png can't be read .* must be a whole image.* write that file"
    ):
        read_image(tmp_path / "broken.png")


def test_a_truncated_image_is_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        tmp_path / "a.png"
    )
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"b\.png can't be read"):
        read_image(tmp_path / "b.png")


def test_a_missing_image_is_named_with_the_fix(tmp_path):
    for call in (read_image, lambda path: file_hashes([path])):
        with pytest.raises(FileNotFoundError, match=r"gone\.png is missing.*benchmark\.root"):
            call(tmp_path / "gone.png")


def test_hashes_are_those_of_the_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hashes([tmp_path / "a"]) == [hashlib.sha256(b"abc").hexdigest()]
