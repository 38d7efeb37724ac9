"""The page of a check: complete, safe, and without a network."""

import base64
import io
import re

import numpy as np
from PIL import Image

from segtune.annotations.check import check_dataset
from segtune.annotations.check_page import MAX_PICTURES, _picture, write_check_page
from segtune.annotations.dataset_folder import dataset_classes
from segtune.classes import class_table, write_classes
from segtune.cli import main


def page_of(dataset, tmp_path):
    write_check_page(tmp_path / "page.html", check_dataset(dataset, dataset_classes(dataset), thorough=True))
    return (tmp_path / "page.html").read_text()


def test_page_shows_classes_findings_and_pictures(dataset, tmp_path):
    (dataset / "train" / "Labels" / "000.png").unlink()
    text = page_of(dataset, tmp_path)
    for part in (
        "floor",
        "wall",
        "box",
        "unpaired (1)",
        "has no label image 000.png",
        "--repair drop",
        "no label image",
    ):
        assert part in text
    # Eight pairs with both together, and the picture without labels in the findings and samples.
    assert text.count("<img") == 3 * 8 + 1 + 1


def test_labels_lie_over_the_picture_where_pixels_count(dataset, tmp_path):
    labels = np.zeros((72, 96), np.uint8)
    labels[:, 48:] = 255
    labels[36:, :48] = 2
    Image.fromarray(labels).save(dataset / "train" / "Labels" / "000.png")
    Image.new("RGB", (96, 72), (100, 100, 100)).save(dataset / "train" / "Images" / "000.jpg", quality=95)
    figure = page_of(dataset, tmp_path).partition("<h2>Pictures of train</h2>")[2].partition("</figure>")[0]
    overlay = re.findall(r'alt="labels over the picture" src="data:image/jpeg;base64,([^"]+)"', figure)[0]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(overlay))), np.int64)
    colors = dataset_classes(dataset).colors
    for (row, column), color in {(18, 24): colors[0], (54, 24): colors[2], (36, 72): (100, 100, 100)}.items():
        assert np.abs(pixels[row, column] - (np.array(color) + 100) / 2).max() <= 8


def test_labels_of_another_shape_do_not_lie_over_the_picture(dataset, tmp_path):
    Image.new("L", (96, 50)).save(dataset / "train" / "Labels" / "000.png")
    assert "the labels have another shape" in page_of(dataset, tmp_path)


def test_pictures_of_16_bits_are_shown_as_training_reads_them(tmp_path):
    Image.fromarray(np.full((20, 20), 128 * 257, np.uint16)).save(tmp_path / "deep.png")
    assert _picture(tmp_path / "deep.png").getpixel((9, 9)) == (128, 128, 128)


def test_page_asks_nothing_of_a_network(dataset, tmp_path):
    text = page_of(dataset, tmp_path)
    assert not re.findall(r"(?:src|href)=\"(?!data:image/jpeg;base64,)", text)
    assert "<script" not in text
    assert "://" not in text
    assert "default-src 'none'" in text


def test_names_can_not_write_html(dataset, tmp_path):
    write_classes(dataset / "classes.yaml", class_table(["<script>alert(1)</script>", 'a"b', "<b>"]))
    path = dataset / "train" / "Images" / "000.jpg"
    path.rename(path.with_name("<img src=x>.jpg"))
    text = page_of(dataset, tmp_path)
    assert "<script" not in text
    assert "<img src=x>" not in text
    assert "&lt;script&gt;" in text


def test_pictures_are_bounded(dataset, tmp_path):
    picture, labels = (dataset / "train" / kind for kind in ("Images/000.jpg", "Labels/000.png"))
    for index in range(60):
        picture.with_name(f"x{index}.jpg").write_bytes(picture.read_bytes() + bytes([index]))
        labels.with_name(f"x{index}.png").write_bytes(labels.read_bytes())
    text = page_of(dataset, tmp_path)
    assert text.count("<figure") <= MAX_PICTURES
    assert len(text) < 10 * 2**20


def test_broken_pictures_are_shown_as_broken(dataset, tmp_path):
    (dataset / "train" / "Images" / "000.jpg").write_bytes(b"broken")
    assert "can't be decoded" in page_of(dataset, tmp_path)


def test_an_existing_page_is_not_replaced_unasked(dataset, tmp_path, capsys):
    arguments = ["check", str(dataset), "--page", str(tmp_path / "page.html")]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
