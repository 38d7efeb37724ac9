"""Label Studio's JSON: what is read, whose annotation is taken, what is skipped, what is refused."""

import base64
import io
import json
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.export import open_export
from segtune.annotations.image_builder import BadAnnotation
from segtune.annotations.painter import paint
from segtune.annotations.read_label_studio import decode_brush, is_label_studio, read_label_studio

HEIGHT, WIDTH = 20, 40
SIZE = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
# Columns 4 to 11 and rows 5 to 9 of 40 x 20 pixels, in percent.
POINTS = [[10, 25], [30, 25], [30, 50], [10, 50]]
BOX = {"x": 10, "y": 25, "width": 20, "height": 25, "rotation": 0}
COUNTERS = (3, 4, 8, 16)


def result(kind="polygonlabels", labels=("car",), value=None, **others):
    value = dict(value or {"points": POINTS})
    if labels is not None:
        value[kind] = list(labels)
    return {"id": others.pop("id", "r1"), "type": kind, "value": value, "to_name": "img", **SIZE, **others}


def task(*annotations, image="/data/upload/1/0a1b2c3d-a.jpg", **others):
    return {"id": 1, "annotations": list(annotations), "predictions": [], "data": {"image": image}, **others}


def annotation(*results, **others):
    return {"id": 5, "was_cancelled": False, "result": list(results), **others}


def write(folder, content, picture="a.jpg", file="project-1.json"):
    for name in (file, picture):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / picture)
    (folder / file).write_text(json.dumps(content))
    return folder


def images(folder):
    export = open_export(folder)
    assert is_label_studio(export.source)
    return list(read_label_studio(export).images())


def labels_of(image):
    return paint(image.shapes, (HEIGHT, WIDTH), {"car": 1, "dog": 2}).labels


def covered(box, without=np.s_[0:0, 0:0]):
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    pixels[box] = True
    pixels[without] = False
    return pixels


def encode_brush(pixels, color=(255, 255, 255), counters=COUNTERS):
    """A mask as rle-pack writes it: runs of 3 words and more as such, what is between them word by word."""
    rgba = np.zeros((*pixels.shape, 4), np.uint8)
    rgba[pixels] = (*color, 255)
    words = rgba.ravel()
    bits = [f"{words.size:032b}", f"{7:05b}", *(f"{counter - 1:04b}" for counter in counters)]

    def part(run, values):
        for start in range(0, len(values), 1 << max(counters)):
            chunk = values[start : start + (1 << max(counters))]
            index = min((bits, index) for index, bits in enumerate(counters) if len(chunk) <= 1 << bits)[1]
            bits.append(f"{run:d}{index:02b}{len(chunk) - 1:0{counters[index]}b}")
            bits.extend(f"{value:08b}" for value in (chunk[:1] if run else chunk))

    pending = []
    for run in np.split(words, np.flatnonzero(np.diff(words)) + 1):
        if len(run) < 3:
            pending += run.tolist()
        else:
            part(False, pending)
            part(True, run.tolist())
            pending = []
    part(False, pending)
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[start : start + 8], 2) for start in range(0, len(text), 8)]


RING = covered(np.s_[2:9, 3:17], without=np.s_[4:6, 5:9])


def data_url(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)[:, :, None] * np.array([200, 0, 0, 255], np.uint8)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("drawn", "kind", "expected"),
    [
        ([result()], "polygon", covered(np.s_[5:10, 4:12])),
        ([result("rectanglelabels", value=BOX)], "box", covered(np.s_[5:10, 4:12])),
        # Turned by 90 degrees about its top left corner: 5 pixels to the left, 8 down.
        (
            [result("rectanglelabels", value={**BOX, "x": 50, "rotation": 90})],
            "box",
            covered(np.s_[5:13, 15:20]),
        ),
        ([result("brushlabels", value={"format": "rle", "rle": encode_brush(RING)})], "mask", RING),
        ([result("brushlabels", value={"format": "rle", "rle": encode_brush(RING, (9, 0, 7))})], "mask", RING),
        ([result("bitmasklabels", value={"imageDataURL": data_url(RING)})], "mask", RING),
        (
            [result("polygon", None), result("labels", value={"points": POINTS})],
            "polygon",
            covered(np.s_[5:10, 4:12]),
        ),
        (
            [result("labels", value={"points": POINTS}), result("polygon", None)],
            "polygon",
            covered(np.s_[5:10, 4:12]),
        ),
        ([result("labels", value=BOX)], "box", covered(np.s_[5:10, 4:12])),
    ],
)
def test_regions_cover_their_pixels(tmp_path, drawn, kind, expected):
    (image,) = images(write(tmp_path, [task(annotation(*drawn))]))
    assert not image.problems
    assert ([item.kind for item in image.shapes], image.size, image.picture) == ([kind], (HEIGHT, WIDTH), "a.jpg")
    assert (labels_of(image) == expected).all()


@pytest.mark.parametrize("rotation", [0, 30, -90])
def test_ellipses_are_turned_about_their_center(tmp_path, rotation):
    value = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 15, "rotation": rotation}
    (image,) = images(write(tmp_path, [task(annotation(result("ellipselabels", value=value)))]))
    y, x = np.mgrid[0.5:HEIGHT, 0.5:WIDTH] - np.array([10, 20])[:, None, None]
    cos, sin = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    expected = ((x * cos + y * sin) / 8) ** 2 + ((y * cos - x * sin) / 3) ** 2 < 1
    assert (labels_of(image) != expected).sum() <= 4  # of 75; the painter rounds to fifths of a pixel


OTHER = result(labels=["dog"], id="r2")


@pytest.mark.parametrize(
    ("annotations", "label", "skipped"),
    [
        ([annotation(result())], "car", {}),
        (
            [annotation(OTHER, updated_at="2024-05-02"), annotation(result(), updated_at="2025-01-01")],
            "car",
            {"annotations of other annotators": 1},
        ),
        (
            [annotation(result(), updated_at="2025-05-02"), annotation(OTHER, updated_at="2025-01-01")],
            "car",
            {"annotations of other annotators": 1},
        ),
        ([annotation(OTHER), annotation(result(), id=6)], "car", {"annotations of other annotators": 1}),
        ([annotation(result()), annotation(OTHER, id=9, was_cancelled=True)], "car", {"cancelled annotations": 1}),
    ],
)
def test_latest_valid_annotation_is_taken(tmp_path, annotations, label, skipped):
    (image,) = images(write(tmp_path, [task(*annotations)]))
    assert [item.label for item in image.shapes] == [label]
    assert image.skipped == skipped


@pytest.mark.parametrize("annotations", [[], [annotation(was_cancelled=True)], [annotation(result(), skipped=True)]])
def test_tasks_that_nobody_annotated_are_not_empty_pictures(tmp_path, annotations):
    (image,) = images(write(tmp_path, [task(annotation(result())), task(*annotations, image="b.jpg")]))
    assert image.skipped == {"tasks without annotations": 1}


def test_an_annotation_of_nothing_is_an_empty_picture(tmp_path):
    (image,) = images(write(tmp_path, [task(annotation())]))
    assert (list(image.shapes), dict(image.skipped)) == ([], {})


def test_predictions_drafts_and_unannotated_tasks_are_counted(tmp_path):
    prediction = {"result": [OTHER], "score": 0.5}
    tasks = [
        task(annotation(result()), predictions=[prediction], drafts=[{"result": []}]),
        {"data": {"image": "b.jpg"}, "predictions": [prediction]},
    ]
    (image,) = images(write(tmp_path, tasks))
    assert [item.label for item in image.shapes] == ["car"]
    assert image.skipped == {"predictions of models": 1, "drafts": 1, "tasks without annotations": 1}


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (result("keypointlabels", value={"x": 1, "y": 1, "width": 1}), "points"),
        (result("vectorlabels", value={"vertices": []}), "polylines"),
        (result("choices", None, {"choices": ["indoor"]}), "choices"),
        (result("textarea", None, {"text": ["hello"]}), "texts"),
        ({"type": "relation", "from_id": "r1", "to_id": "r2"}, "relations"),
        (result("videorectangle", None), "results of the type videorectangle"),
        (result("polygon", None), "objects without a label"),
        (result(labels=[]), "objects without a label"),
        (result(value={"points": POINTS[:2]}), "objects of fewer than 3 points"),
        (result("brushlabels", value={"rle": encode_brush(RING & False)}), "empty masks"),
    ],
)
def test_what_has_no_area_or_label_is_counted(tmp_path, left_out, reason):
    (image,) = images(write(tmp_path, [task(annotation(result(id="first"), left_out))]))
    assert not image.problems
    assert len(image.shapes) == 1
    assert image.skipped == {reason: 1}


@pytest.mark.parametrize(
    ("data", "picture"),
    [
        ({"image": "/data/upload/1/0a1b2c3d-a.jpg"}, "images/0a1b2c3d-a.jpg"),
        ({"image": "/data/upload/1/0a1b2c3d-a.jpg"}, "a.jpg"),
        ({"img": "/data/upload/0a1b2c3d-a_b%20%28%C3%BC%29.png"}, "a_b (ü).png"),
        ({"image": "/data/local-files/?d=cam%201/a.jpg"}, "cam 1/a.jpg"),
        ({"image": "/data/local-files/?d=C%3A%5Cdata%5Ca.jpg"}, "a.jpg"),
        ({"image": "https://host/x/a.jpg?Signature=a/b.jpg&d2=1"}, "a.jpg"),
        ({"picture_url": "s3://bucket/folder/a.jpg"}, "folder/a.jpg"),
        ({"picture_url": "s3://bucket/folder/a%20#1?.jpg"}, "folder/a%20#1?.jpg"),
        ({"image": "/data/upload/12/0a1b2c3d-a.jpg"}, "my day/a.jpg"),
        ({"image": "/tasks/7/presign/?fileuri=czM6Ly9idWNrZXQvY2FtIDEvYS5qcGc="}, "cam 1/a.jpg"),
        ({"image": "http://localhost:8080/tasks/7/resolve/?fileuri=czM6Ly9idWNrZXQvY2FtIDEvYS5qcGc"}, "cam 1/a.jpg"),
        ({"image": "http://localhost:8080/data/local-files/?d=cam%201%2Fa%2Bb.jpg"}, "cam 1/a+b.jpg"),
        ({"text": "a picture", "number": 4, "photo": "a#1.jpg"}, "a#1.jpg"),
        ({"images": ["a.jpg"]}, "a.jpg"),
        ({"image": "http://[broken/a.jpg"}, "a.jpg"),
        ({"image": "folder\\a.jpg"}, "folder/a.jpg"),
        ({"image": "https://host/get/a"}, "a.jpg"),
    ],
)
def test_picture_is_found(tmp_path, data, picture):
    (image,) = images(write(tmp_path, [task(annotation(result()), data=data)], picture=picture))
    assert not image.problems
    assert image.picture == picture


def test_size_that_is_not_stated_is_the_pictures(tmp_path):
    plain = {key: value for key, value in result().items() if key not in SIZE}
    (image,) = images(write(tmp_path, [task(annotation(plain))]))
    assert image.size is None
    assert (labels_of(image) == covered(np.s_[5:10, 4:12])).all()


def test_json_min_is_read(tmp_path):
    polygon = {"points": POINTS, "polygonlabels": ["car"], **SIZE}
    brush = {"format": "rle", "rle": encode_brush(RING), "brushlabels": ["dog"], **SIZE}
    record = {"image": "/data/upload/1/0a1b2c3d-a.jpg", "id": 1, "annotator": 1, "annotation_id": 3}
    earlier = {**record, "tag": [brush], "updated_at": "2025-01-01"}
    latest = {**record, "tag": [polygon], "brush": [brush], "updated_at": "2025-01-02"}
    (image,) = images(write(tmp_path, [latest, earlier]))
    expected = np.where(RING, 2, covered(np.s_[5:10, 4:12]))
    assert (labels_of(image) == expected).all()
    assert image.skipped == {"annotations of other annotators": 1}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (result(image_rotation=90), "was turned in Label Studio"),
        (result(item_index=1), "several pictures"),
        (result(to_name="after"), "several pictures"),
        (result(original_width=50), "different original sizes"),
        (result(original_width=-5), "size is stated as -5 x 20"),
        (result(original_width="x"), "number was expected"),
        (result(labels=["car", "dog"]), "region r1 (car, dog): it has several labels"),
        (result(labels=[""]), "expected a name"),
        (result(labels=[{}]), "expected a name"),
        (result(value={"points": [[float("nan"), 1], [2, 2], [3, 1]]}), "no position in a picture"),
        (result(value={"points": 5}), "not all numbers"),
        (result("ellipselabels", value={"x": 1, "y": 1, "radiusX": 1e12, "radiusY": 1}), "no position in a picture"),
        (result("rectanglelabels", value={"x": 1}), "number was expected"),
        (result("brushlabels", value={"rle": "AAAA"}), "expected a list"),
        (result("brushlabels", value={"rle": [1, 2, 300]}), "no list of bytes"),
        (result("brushlabels", value={"rle": [1, None]}), "no list of bytes"),
        (result("brushlabels", value={"rle": [1, 2]}), "its brush mask holds 0 numbers"),
        (result("brushlabels", value={"rle": encode_brush(RING[1:])}), "holds 3040 numbers of 8 bits, but"),
        (result("brushlabels", value={"rle": encode_brush(RING)[:30]}), "cut short"),
        (result("brushlabels", value={"rle": encode_brush(RING, (9, 0, 7))[:60]}), "cut short"),
        (result("brushlabels", value={}), "its mask is missing"),
        (result("bitmasklabels", value={"imageDataURL": data_url(RING[1:])}), "its mask has 40 x 19 pixels"),
        (7, "result 2 is '7', expected an object"),
    ],
)
def test_broken_regions_are_told(tmp_path, broken, message):
    (image,) = images(write(tmp_path, [task(annotation(result(id="first"), broken))]))
    assert len(image.problems) == 1
    assert message in image.problems[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([task(annotation(result()), data={"text": "none"})], "it names no picture"),
        ([task(7)], "its annotations are no list of objects"),
        ([task(), 7], "a task is '7', expected an object"),
        ([{"data": {"image": "a.jpg"}, "predictions": [{"result": [OTHER]}]}], "none of its tasks has annotations"),
    ],
)
def test_broken_tasks_are_told(tmp_path, content, message):
    problems = [problem for image in images(write(tmp_path, content)) for problem in image.problems]
    assert len(problems) == 1
    assert message in problems[0]


def test_unreadable_file_is_told(tmp_path):
    write(tmp_path, [task(annotation(result()))])
    (tmp_path / "z.json").write_text('[{"data": {}, "annotations": [')
    assert [bool(image.problems) for image in images(tmp_path)] == [False, True]


@pytest.mark.parametrize("seed", range(20))
def test_brush_masks_come_back(seed):
    generator = np.random.default_rng(seed)
    height, width = generator.integers(1, 60, 2)
    pixels = generator.random((height, width)) < generator.choice([0, 0.02, 0.5, 0.98, 1])
    pixels[: height // 2] = generator.random() < 0.5
    counters = tuple(generator.permutation(COUNTERS).tolist()) if seed % 2 else (1, 2, 5, 12)
    rle = encode_brush(pixels, generator.integers(0, 256, 3).tolist(), counters)
    assert (decode_brush(rle, height, width) == pixels).all()


def test_brush_masks_are_decoded_fast_and_spoiled_ones_end():
    y, x = np.mgrid[:1080, :1920]
    pixels = (x - 900) ** 2 + (y - 500) ** 2 < 400**2
    rle = encode_brush(pixels)
    start = time.process_time()
    assert (decode_brush(rle, 1080, 1920) == pixels).all()
    assert time.process_time() - start < 1  # 5 ms; a decoder that goes bit by bit takes seconds
    for seed in range(50):
        generator = np.random.default_rng(seed)
        spoiled = encode_brush(RING)
        for place in generator.integers(7, len(spoiled), 5):
            spoiled[place] = int(generator.integers(256))
        try:
            assert decode_brush(spoiled, HEIGHT, WIDTH).shape == (HEIGHT, WIDTH)
        except BadAnnotation:
            continue


@pytest.mark.parametrize(
    ("sample", "kinds", "skipped"),
    [
        ("image_polygons", {"polygon": 1}, {"tasks without annotations": 1}),
        ("image_ellipses", {"ellipse": 1}, {"choices": 1, "tasks without annotations": 3}),
    ],
)
def test_real_files_are_read(shared_data, tmp_path, sample, kinds, skipped):
    folder = shared_data / "annotation-samples/label-studio/HumanSignal+label-studio-frontend/examples" / sample
    content = json.loads(next(folder.glob("annotations/*.json")).read_text())
    write(tmp_path, content, picture=content["data"]["image"].rpartition("/")[2])
    (tmp_path / "tasks.json").write_bytes((folder / "tasks.json").read_bytes())
    (image,) = images(tmp_path)
    assert not image.problems
    assert Counter(item.kind for item in image.shapes) == kinds
    assert image.skipped == skipped
