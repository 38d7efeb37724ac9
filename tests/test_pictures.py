"""Pictures of every kind, and broken ones."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from segtune.annotations.label_image import channels, decode
from segtune.classes import IGNORE, class_table, numbered_classes
from segtune.errors import UserError
from segtune.pictures import open_picture, orientation, read_labels, read_picture, shown_size, write_labels

HEIGHT, WIDTH = 20, 30


def ramp() -> np.ndarray:
    return np.linspace(0, 255, HEIGHT * WIDTH).astype(np.uint8).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "LA"])
@pytest.mark.parametrize("suffix", ["png", "tiff", "jpg", "webp", "bmp"])
def test_modes_become_rgb(tmp_path, mode, suffix):
    path = tmp_path / f"x.{suffix}"
    try:
        Image.fromarray(ramp()).convert(mode).save(path)
    except OSError:
        pytest.skip(f"{suffix} can't hold {mode}")
    picture = read_picture(path)
    assert (picture.shape, picture.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert picture[0, 0].mean() < 60 < 190 < picture[-1, -1].mean()


@pytest.mark.parametrize(("top", "dtype"), [(65535, np.uint16), (1.0, np.float32), (65535, np.int32)])
def test_more_than_8_bits_are_scaled(tmp_path, top, dtype):
    Image.fromarray((ramp() / 255 * top).astype(dtype)).save(tmp_path / "x.tiff")
    assert np.abs(read_picture(tmp_path / "x.tiff")[:, :, 0].astype(int) - ramp()).max() <= 1


@pytest.mark.parametrize(
    ("highest", "dtype", "white"),
    [(1.003, np.float32, 1), (255.4, np.float32, 255), (250.0, np.float32, 255), (4000.0, np.float32, 65535),
     (300, np.int32, 255), (1000, np.int32, 65535), (1, np.int32, 255)],
)  # fmt: skip
def test_values_a_little_beyond_their_range_do_not_make_it_another(tmp_path, highest, dtype, white):
    values = (ramp() / 255 * highest).astype(dtype)
    Image.fromarray(values).save(tmp_path / "x.tiff")
    shown = np.clip(values / white * 255, 0, 255)
    assert np.abs(read_picture(tmp_path / "x.tiff")[:, :, 0] - shown).max() <= 1


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", "<u2"), ("I;16B", ">u2")])
def test_16_bits_are_scaled_by_their_range_in_either_order_of_bytes(tmp_path, mode, dtype):
    Image.frombytes(mode, (WIDTH, HEIGHT), ramp().astype(dtype).tobytes()).save(tmp_path / "dark.tiff")
    assert read_picture(tmp_path / "dark.tiff").max() == 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    path = tmp_path / f"x.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(ramp()).save(path, exif=exif)
    expected = (WIDTH, HEIGHT) if orientation >= 5 else (HEIGHT, WIDTH)
    # From memory: Pillow 13 garbles TIFFs that it maps from the disk.
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(path.read_bytes()))).convert("RGB")
    assert (read_picture(path) == np.array(shown)).all()
    assert read_picture(path).shape[:2] == shown_size(open_picture(path)) == expected


@pytest.mark.parametrize(
    "exif", [b"", b"no TIFF", b"MM\0*", b"Exif\0\0II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"]
)
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("JPEG", {"dpi": (72, 72)}), ("WEBP", {"lossless": True})])
def test_exif_that_can_not_be_read_says_nothing(tmp_path, kind, options, exif):
    path = tmp_path / "x"
    Image.fromarray(ramp()).convert("RGB").save(path, kind, exif=exif, **options)
    assert shown_size(open_picture(path)) == (HEIGHT, WIDTH)
    assert read_picture(path).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0garbage",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
)
def test_what_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.jpg"):
        read_picture(tmp_path / "broken.jpg")


def test_truncated_picture_is_named(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)).save(tmp_path / "x.jpg")
    (tmp_path / "x.jpg").write_bytes((tmp_path / "x.jpg").read_bytes()[:5000])
    with pytest.raises(UserError, match="can't be decoded"):
        read_picture(tmp_path / "x.jpg")


def test_decompression_bomb_is_refused(tmp_path):
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    with pytest.raises(UserError, match="more than 178,956,970 pixels"):
        read_picture(tmp_path / "bomb.png")


def test_pixels_that_are_broken_before_exif_are_told():
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"no pixels") + chunk(b"eXIf", EXIF) + chunk(b"IEND", b"")
    with pytest.raises(UserError, match=r"x\.png can't be decoded"):
        shown_size(open_picture(content, "x.png"), "x.png")
    with pytest.raises(UserError, match=r"x\.png can't be decoded"):
        read_picture(content, "x.png")


def test_labels_read_back_as_written(tmp_path):
    labels = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
    write_labels(tmp_path / "x.png", labels, class_table(["a", "b"]))
    assert (read_labels(tmp_path / "x.png") == labels).all()
    assert open_picture(tmp_path / "x.png").mode == "P"


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_keep_their_values(tmp_path, bits):
    values = np.arange(2**bits, dtype=np.uint8)[None]
    rows = np.packbits(np.unpackbits(values[..., None], axis=-1)[..., -bits:].reshape(1, -1), axis=-1).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2**bits, 1, bits, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + rows)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert read_labels(tmp_path / "x.png").tolist() == values.tolist()
    assert channels(decode((tmp_path / "x.png").read_bytes(), "x.png")).tolist() == values.tolist()


def test_ignore_value_becomes_255(tmp_path):
    Image.fromarray(np.array([[0, 10, 11, 255]], np.uint8)).save(tmp_path / "x.png")
    assert read_labels(tmp_path / "x.png", numbered_classes(11, 11)).tolist() == [[0, 10, IGNORE, IGNORE]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "LA"])
def test_labels_of_other_modes_are_refused(tmp_path, mode):
    Image.new(mode, (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match="one 8-bit channel"):
        read_labels(tmp_path / "x.png")


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


EXIF = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
XMP = b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
DATE = b"date:create\x002026-01-01"


@pytest.mark.parametrize(
    ("chunks", "place", "turned"),
    [
        ([], "before", False),
        ([chunk(b"eXIf", EXIF)], "before", True),
        ([chunk(b"eXIf", EXIF)], "after", True),
        ([chunk(b"iTXt", XMP)], "before", True),
        ([chunk(b"iTXt", XMP)], "after", True),
        ([chunk(b"tEXt", DATE)], "after", False),
        ([chunk(b"tEXt", DATE), chunk(b"eXIf", EXIF)], "after", True),
    ],
)
@pytest.mark.parametrize("source", ["path", "bytes", "file"])
def test_orientation_of_a_png_is_found_wherever_it_stands(tmp_path, chunks, place, turned, source):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    # IHDR ends at byte 33, IEND has the last 12.
    at = 33 if place == "before" else len(content) - 12
    (tmp_path / "a.png").write_bytes(content[:at] + b"".join(chunks) + content[at:])
    with (tmp_path / "a.png").open("rb") as file:
        opened = {"path": tmp_path / "a.png", "bytes": (tmp_path / "a.png").read_bytes(), "file": file}[source]
        picture = open_picture(opened)
        assert shown_size(picture) == ((30, 20) if turned else (20, 30))
        assert orientation(picture) == (6 if turned else 1)
        picture.load()
        assert shown_size(picture) == ((30, 20) if turned else (20, 30))
    assert read_picture(tmp_path / "a.png").shape[:2] == ((30, 20) if turned else (20, 30))


def test_the_size_of_a_png_is_found_without_decoding_it():
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", b"no pixels at all")
    content = b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"tEXt", DATE) + chunk(b"IEND", b"")
    assert shown_size(open_picture(content)) == (20, 30)


@pytest.mark.parametrize("cut", [40, 60, 1])
def test_the_size_of_a_cut_png_is_found(tmp_path, cut):
    Image.effect_noise((30, 20), 50).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    assert shown_size(open_picture(content[:-cut])) == (20, 30)


@pytest.mark.parametrize("kind", [2, 7, 11, 12])
def test_tags_of_an_impossible_type_are_told(tmp_path, kind):
    """A TIFF that says in letters or fractions where its pixels stand."""
    Image.new("RGB", (16, 16)).save(tmp_path / "x.tif")
    content = bytearray((tmp_path / "x.tif").read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    (entry,) = [
        place for place in range(first + 2, first + 2 + 12 * count, 12) if content[place : place + 2] == b"\x11\x01"
    ]
    struct.pack_into("<H", content, entry + 2, kind)
    with pytest.raises(UserError, match=r"x\.tif"):
        read_picture(bytes(content), "x.tif")
