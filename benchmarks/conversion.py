"""How fast an export of 10,000 pictures becomes label images, and in how much memory; beside other ways to do it.

    .venv/bin/python benchmarks/conversion.py [--pictures 10000] [--kind polygon|mask] [--suffix jpg|png]

In one run: segtune as its users start it; a plain script (ElementTree, cv2.fillPoly, Pillow) on one process, as a
person would write it; datumaro, where `uv` can install it into an environment of its own (--datumaro PYTHON). Each
reads the same XML. The plain script neither checks anything nor counts what is hidden, and fills other pixels than
CVAT does.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from drawn_exports import HEIGHT, NUM_CLASSES, NUM_OBJECTS, WIDTH, write_cvat_export
from record import add_result, record

DATUMARO = """
import sys
import datumaro as dm
import numpy as np
from PIL import Image
dataset = dm.Dataset.import_from(sys.argv[1], "cvat")
dataset.transform("polygons_to_masks")
for item in dataset:
    labels = np.zeros((1080, 1920), np.uint8)
    for annotation in sorted(item.annotations, key=lambda a: a.z_order):
        labels[annotation.image.astype(bool)] = annotation.label + 1
    Image.fromarray(labels).save(f"{sys.argv[2]}/{item.id.replace('/', '_')}.png")
"""


def plain_script(source: Path, target: Path) -> None:
    """What a competent person writes in half an hour."""
    import cv2
    import numpy as np
    from PIL import Image

    target.mkdir()
    for element in ElementTree.parse(source / "annotations.xml").getroot().iter("image"):
        labels = np.zeros((int(element.get("height")), int(element.get("width"))), np.uint8)
        for shape in element:
            class_id = int(shape.get("label").split()[1]) + 1
            if shape.tag == "polygon":
                points = np.array([point.split(",") for point in shape.get("points").split(";")], np.float64)
                cv2.fillPoly(labels, [points.round().astype(np.int32)], (class_id,))
            else:
                left, top, width, height = (int(shape.get(key)) for key in ("left", "top", "width", "height"))
                lengths = [int(length) for length in shape.get("rle").split(",")]
                mask = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
                labels[top : top + height, left : left + width][mask] = class_id
        Image.fromarray(labels).save(target / Path(element.get("name")).with_suffix(".png").name)


def timed(command: list[str]) -> dict[str, float]:
    """Seconds and the largest memory of a process and its children, in MB (each process by itself)."""
    script = (
        "import json, resource, subprocess, sys, time; start = time.monotonic();"
        " done = subprocess.run(json.loads(sys.argv[1]), stdout=subprocess.DEVNULL);"
        " memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024;"
        " print(json.dumps([done.returncode, time.monotonic() - start, memory]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(command)], capture_output=True, text=True, check=True
    )
    code, seconds, memory = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{command} failed: {done.stderr[-2000:]}")
    return {"seconds": seconds, "memory_mb": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--kind", choices=["polygon", "mask"], default="polygon")
    parser.add_argument("--suffix", choices=["jpg", "png"], default="jpg", help="of the pictures")
    parser.add_argument("--datumaro", help="a Python that has datumaro")
    parser.add_argument("--peer-pictures", type=int, default=200, help="the others are slower: they get fewer")
    add_result(parser)
    options = parser.parse_args()
    segtune = str(Path(sys.executable).with_name("segtune"))
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        large = write_cvat_export(root / "large", options.pictures, options.kind, options.suffix)
        small = write_cvat_export(root / "small", options.peer_pictures, options.kind, options.suffix)
        figures["segtune"] = timed([segtune, "convert", str(large), str(root / "a")])
        figures["segtune"]["pictures"] = options.pictures
        shutil.rmtree(root / "a")
        peers = {
            "segtune, as many pictures as the others": [segtune, "convert", str(small), str(root / "b")],
            "plain script": [sys.executable, __file__, "--plain", str(small), str(root / "c")],
        }
        if options.datumaro:
            (root / "d").mkdir()
            peers["datumaro"] = [options.datumaro, "-c", DATUMARO, str(small), str(root / "d")]
        for name, command in peers.items():
            figures[name] = timed(command)
            figures[name]["pictures"] = options.peer_pictures
    for row in figures.values():
        row["per_second"] = row["pictures"] / row["seconds"]
    about = {
        "what": f"{options.kind}s: {NUM_OBJECTS} a picture of {WIDTH} x {HEIGHT}, {NUM_CLASSES} classes",
        "pictures": options.suffix,
        "figures": figures,
    }
    print(json.dumps(about, indent=2))
    if options.result:
        record(options.result, f"conversion of {options.kind}s, {options.suffix}", about)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plain"]:
        plain_script(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
