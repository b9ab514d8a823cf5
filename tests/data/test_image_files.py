import hashlib
import os

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from bridgelab.data.image_files import (
    MOST_PIXELS,
    check_image,
    file_hash,
    missing,
    read_image,
    refuse_broken,
    try_each,
)

PICTURE = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)


def test_every_mode_becomes_rgb(tmp_path):
    for mode, colour, expected in (
        ("RGB", (255, 0, 0), (255, 0, 0)),
        ("L", 7, (7, 7, 7)),
        ("1", 1, (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("I;16", 515, (2, 2, 2)),
        ("I", 65535, (255, 255, 255)),
    ):
        path = tmp_path / f"{mode.replace(';', '')}.tif"
        Image.new(mode, (5, 4), colour).save(path)
        image = read_image(path)
        assert image.shape == (4, 5, 3)
        assert image.dtype == np.uint8
        assert (image == expected).all()


def test_a_palette_gives_its_colours(tmp_path):
    image = Image.fromarray(PICTURE).quantize(16)
    image.save(tmp_path / "palette.png")
    assert (read_image(tmp_path / "palette.png") == np.array(image.convert("RGB"))).all()


def test_cmyk_jpegs_are_as_bright_as_they_were(tmp_path):
    Image.new("RGB", (16, 16), (200, 100, 50)).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    found = read_image(tmp_path / "cmyk.jpg").astype(int)
    assert np.abs(found - [200, 100, 50]).max() <= 3


def test_of_16_bits_the_upper_8_are_kept(tmp_path):
    grey = np.array([[0, 255, 256], [32768, 65279, 65535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    with Image.open(tmp_path / "grey.png") as stored:
        assert stored.mode.startswith("I")
    assert read_image(tmp_path / "grey.png")[..., 0].tolist() == [[0, 0, 1], [128, 254, 255]]


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 70000), ("I", -1)])
def test_values_without_a_known_white_are_refused(tmp_path, mode, value):
    Image.new(mode, (2, 2), value).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=rf"mode {mode} with values from .* which is white"):
        read_image(tmp_path / "deep.tif")


def test_transparency_is_laid_on_white(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (2, 2), (255, 0, 0, 128)).save(tmp_path / "half.png")
    Image.new("L", (2, 2), 9).save(tmp_path / "grey.png", transparency=9)
    Image.fromarray(np.full((2, 2), 900, dtype=np.uint16)).save(tmp_path / "deep.png", transparency=900)
    Image.new("RGBA", (2, 2), (9, 0, 0, 0)).save(tmp_path / "web.png", "WEBP", lossless=True)
    for name in ("clear", "grey", "deep", "web"):
        assert (read_image(tmp_path / f"{name}.png") == 255).all()
    assert (read_image(tmp_path / "half.png")[0, 0] == [255, 127, 127]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_images_stand_upright(tmp_path, orientation, kind):
    upright = np.kron(np.array([[0, 80, 160], [240, 40, 120]], dtype=np.uint8), np.ones((16, 16), np.uint8))
    as_stored = {  # how a camera that was held so wrote it
        1: upright, 2: np.fliplr(upright), 3: np.rot90(upright, 2), 4: np.flipud(upright),
        5: upright.T, 6: np.rot90(upright, 1), 7: np.rot90(upright, 2).T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"compression": "tiff_lzw"} if kind == "tif" else {}
    Image.fromarray(np.ascontiguousarray(as_stored)).save(tmp_path / f"turned.{kind}", exif=exif, **how)
    found = read_image(tmp_path / f"turned.{kind}")[..., 0].astype(int)
    assert found.shape == upright.shape
    assert np.abs(found - upright).max() <= 8  # of the JPEG


def test_a_tiff_that_pillow_garbles_is_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PICTURE[..., 0]).save(tmp_path / "raw.tif", exif=exif)
    with pytest.raises(ValueError, match=r"raw\.tif can't be read .*uncompressed TIFF"):
        read_image(tmp_path / "raw.tif")


def test_a_broken_exif_block_turns_nothing(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.jpg", exif=b"Exif\x00\x00nonsense")
    assert read_image(tmp_path / "a.jpg").shape == PICTURE.shape


def test_the_content_says_what_a_file_is(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.jpg", format="PNG")
    assert (read_image(tmp_path / "a.jpg") == PICTURE).all()


def test_no_program_is_started_for_an_image(tmp_path, monkeypatch):
    """Pillow has Ghostscript run a file that begins as PostScript, whatever its name."""
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: started.append(1))
    Image.fromarray(PICTURE).save(tmp_path / "a.png", format="EPS")
    with pytest.raises(ValueError, match=r"a\.png can't be read \(UnidentifiedImageError"):
        read_image(tmp_path / "a.png")
    assert not started


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for call in (read_image, file_hash):
        with pytest.raises(ValueError, match=r"a\.png is not a regular file: remove it"):
            call(tmp_path / "a.png")
    problems = try_each(check_image, [str(tmp_path / "a.png")], "looking")[1]
    assert list(problems.values()) == ["is not a regular file: remove it, or put the image in its place"]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9460, 13_400])
def test_an_image_that_is_too_large_is_not_called_broken(tmp_path, side):
    """Beyond Pillow's warning, and beyond its error."""
    assert side**2 > MOST_PIXELS
    Image.new("1", (side, side)).save(tmp_path / "a.png", compress_level=1)
    with pytest.raises(
        ValueError, match=r"a\.png has more than 89 megapixels, the most that are read: scale it down"
    ):
        read_image(tmp_path / "a.png")


def test_a_pointer_in_place_of_an_image_is_named(tmp_path):
    (tmp_path / "a.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(
        ValueError, match=r"a\.png is a Git LFS pointer, not the file itself: run 'git lfs pull'"
    ):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n cut short"])
def test_a_broken_image_is_named_with_the_fix(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"broken\.png can't be read .* must be a whole image.* write that file"
    ):
        read_image(tmp_path / "broken.png")


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "tif"])
def test_a_truncated_image_is_refused(tmp_path, kind):
    whole = tmp_path / f"a.{kind}"
    Image.fromarray(PICTURE).save(whole)
    (tmp_path / f"b.{kind}").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"b\.{kind} can't be read"):
        read_image(tmp_path / f"b.{kind}")


def test_a_missing_image_is_named_with_the_fix(tmp_path):
    for call in (read_image, file_hash):
        with pytest.raises(FileNotFoundError, match=r"gone\.png is missing.*benchmark\.root"):
            call(tmp_path / "gone.png")


def test_hashes_are_those_of_the_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_all_that_is_wrong_is_listed(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "good.png")
    (tmp_path / "empty.png").touch()
    paths = [str(tmp_path / f"{name}.png") for name in ("good", "empty", "gone")]
    hashes, problems = try_each(file_hash, paths, "hashing")
    assert list(hashes) == paths[:2]
    assert list(problems) == paths[2:]
    whole, problems = try_each(check_image, paths, "looking")
    assert list(whole) == paths[:1]
    assert list(problems) == paths[1:]
    with pytest.raises(
        ValueError,
        match=r"(?s)2 of 3 images can't be used:\n  .*empty\.png can't be read \(Unid.*gone\.png is missing\n.*skip",
    ):
        refuse_broken(problems, 3)
    refuse_broken({}, 3)
    with pytest.raises(ValueError, match=r"(?s)/19 is missing\n  and 10 more\n"):
        refuse_broken({f"/{k}": "is missing" for k in range(30)}, 30)


def test_missing_images_are_named_in_order(tmp_path, monkeypatch):
    (tmp_path / "there.png").touch()
    gone = [str(tmp_path / "no" / "folder.png"), str(tmp_path / "gone.png")]
    assert missing([gone[0], str(tmp_path / "there.png"), gone[1], gone[0]]) == dict.fromkeys(
        gone, "is missing"
    )
    monkeypatch.chdir(tmp_path)  # a user-defined class may name images of the working folder
    assert missing(["there.png", "./there.png", "gone.png"]) == {"gone.png": "is missing"}
