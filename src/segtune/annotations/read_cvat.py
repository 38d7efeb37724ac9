"""CVAT's own XML -> Annotations: "CVAT for images 1.1" and "CVAT for video 1.1", of a task, a job or a project.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/ and CVAT's exporter. The shapes of a picture are sorted by
their z order. The file is streamed: at no time does more than one picture of it lie in memory.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from segtune.annotations.annotated_image import AnnotatedImage, Annotations, DeclaredClass
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    NO_SUBSETS,
    BadAnnotation,
    ImageBuilder,
    box_outline,
    class_name,
    ellipse_outline,
    number,
    numbered,
    picture_size,
    runs,
    subset_named,
    subset_of,
    whole_number,
)
from segtune.annotations.picture_index import shared_folders
from segtune.annotations.source import UNZIP_ERRORS, ExportSource
from segtune.classes import hex_color
from segtune.errors import UserError, listed

WITHOUT_AREA = {
    "polyline": "polylines", "points": "points", "tag": "tags", "skeleton": "skeletons", "cuboid": "cuboids",
}  # fmt: skip
"""Elements that cover no pixels, and how they are called in the report."""

LABEL_TYPES_WITHOUT_AREA = frozenset({"points", "polyline", "tag", "skeleton", "cuboid"})


def is_cvat_images(source: ExportSource) -> bool:
    """Whether the export is a "CVAT for images 1.1"."""
    return bool(_cvat_files(source)) and not is_cvat_video(source)


def is_cvat_video(source: ExportSource) -> bool:
    """Whether the export is a "CVAT for video 1.1"; tasks of pictures may be in it, too."""
    return any(_first_element(source, name) == "track" for name in _cvat_files(source))


def _cvat_files(source: ExportSource) -> list[str]:
    # UTF-16 has a zero byte beside each of these letters.
    return [
        name
        for name in source.with_suffix(".xml")
        if re.search(rb"<annotations[\s>/]", source.read(name, 4096).replace(b"\0", b""))
    ]


def _first_element(source: ExportSource, name: str) -> str:
    """Which comes first in a file: image, track, or nothing."""
    tail = b""
    with source.open(name) as file:
        try:
            while chunk := file.read(2**20).replace(b"\0", b""):
                found = re.search(rb"<(image|track)[\s/>]", tail + chunk)
                if found:
                    return found[1].decode()
                tail = chunk[-16:]
        except UNZIP_ERRORS:
            return ""  # reading it as images tells what is wrong
    return ""


def read_cvat(export: Export) -> Annotations:
    """Read a "CVAT for images 1.1" or "for video 1.1", whose pictures are named by the number of their frame.

    Each file is read as what it is: a folder may hold tasks of both kinds.
    """
    return Annotations(partial(_images, export), _declared(export.source))


def xml_elements(
    source: ExportSource, name: str, root: str = "annotations"
) -> Generator[tuple[str, Element], None, None]:
    """Each child of the root, when its end has been read; what came before is forgotten. Empty: any root is fine.

    Raises:
        UserError: The file is broken, or holds what no annotation file needs.
    """
    try:
        with source.open(name) as file:
            depth = count = 0
            top = None
            for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
                depth += 1 if event == "start" else -1
                if top is None:
                    top = element
                    if root and top.tag != root:
                        raise UserError(f"{name}: its root is <{top.tag[:40]}>, expected <{root}>.")
                elif depth > MAX_DEPTH:
                    raise UserError(f"{name}: its elements lie more than {MAX_DEPTH} deep.")
                elif event == "end" and depth == 1:
                    yield element.tag, element
                    top.clear()
                    count = 0
                elif (count := count + 1) > 2 * MAX_ELEMENTS:  # each begins and ends
                    raise UserError(f"{name}: one <{top[-1].tag[:40]}> holds more than {MAX_ELEMENTS:,} elements.")
    except DefusedXmlException as error:
        raise UserError(
            f"{name} declares entities or a document type, which annotation files never need.", "Don't trust it."
        ) from error
    except (ParseError, LookupError, *UNZIP_ERRORS) as error:
        raise UserError(f"{name} is not readable XML: {error}.", "Download the export once more.") from error


MAX_DEPTH = 64
"""Elements of CVAT's files lie less than ten deep."""
MAX_ELEMENTS = 2_000_000
"""Of a picture, or of a track: they are in memory together."""


def _declared(source: ExportSource) -> list[DeclaredClass]:
    """The labels that the files declare, in their order; those of skeletons' parts and without area left out."""
    classes: dict[str, DeclaredClass] = {}
    for name in _cvat_files(source):
        for label in _meta(source, name).iterfind(".//labels/label"):
            text = (label.findtext("name") or "").strip()
            kind = (label.findtext("type") or "").strip()
            if text and label.find("parent") is None and kind not in LABEL_TYPES_WITHOUT_AREA:
                classes.setdefault(text, DeclaredClass(text, hex_color(label.findtext("color"))))
    return list(classes.values())


def _meta(source: ExportSource, name: str) -> Element:
    """The <meta> of a file; an empty one where it has none."""
    with closing(xml_elements(source, name)) as elements:
        for tag, element in elements:
            if tag == "meta":
                return element
            if tag in {"image", "track"}:
                break
    return Element("meta")


def _images(export: Export) -> Iterator[AnnotatedImage]:
    for name in _cvat_files(export.source):
        read = _frames if _first_element(export.source, name) == "track" else _pictures
        yield from read(export, name)


def _pictures(export: Export, name: str) -> Iterator[AnnotatedImage]:
    subset = ""
    num_tracks = 0
    for tag, element in xml_elements(export.source, name):
        if tag == "meta":
            subset = _subset(element.findtext("./*/subset"), name)
        elif tag == "image":
            yield _image(name, element, subset)
        num_tracks += tag == "track"
    if num_tracks:
        yield AnnotatedImage(name, problems=[f"it holds <image> and {num_tracks} <track>; {ONE_KIND}"], file=name)


def _subset(stated: str | None, name: str) -> str:
    """The subset that is stated, or, where that is none, the name of the file or its folders."""
    stated = (stated or "").strip()
    if stated.lower() not in NO_SUBSETS:
        return stated
    return subset_named(PurePosixPath(name).stem) or subset_of(name)


ONE_KIND = "CVAT writes one or the other: export the task once more"


def _image(file: str, element: Element, subset: str) -> AnnotatedImage:
    image = ImageBuilder((element.get("name") or "").strip(), file=file)
    image.put_into(element.get("subset") or subset)
    with image.reading(""):
        if not image.name:
            raise BadAnnotation(f"image {element.get('id')} has no name")
        if element.get("width") and element.get("height"):
            image.size = picture_size(element.get("height"), element.get("width"))
    for index, shape in numbered(element):
        with image.reading(f"object {index} ({shape.tag}, {shape.get('label')})"):
            _add(image, shape, shape.get("label"))
    return image.build()


def _add(image: ImageBuilder, shape: Element, label: str | None) -> None:
    """Add what an element of a picture or track stands for."""
    if shape.tag in WITHOUT_AREA:
        image.skip(WITHOUT_AREA[shape.tag], is_object=shape.tag != "tag")
    elif shape.tag in SHAPES:
        SHAPES[shape.tag](image, shape.attrib, class_name(label), whole_number(shape.get("z_order") or 0))
    else:
        image.skip(f"<{shape.tag[:40]}> elements", is_object=True)


def _add_polygon(image: ImageBuilder, shape: Mapping[str, str], label: str, z_order: int) -> None:
    text = shape.get("points", "").strip().strip(";")
    if text and text.count(",") != text.count(";") + 1:
        raise BadAnnotation("its points are not pairs of x and y")
    image.add_polygon(label, [text.replace(";", ",").split(",") if text else []], z_order=z_order)


def _add_box(image: ImageBuilder, shape: Mapping[str, str], label: str, z_order: int) -> None:
    left, top, right, bottom = (number(shape.get(key)) for key in ("xtl", "ytl", "xbr", "ybr"))
    outline = box_outline(left, top, right, bottom, number(shape.get("rotation") or 0))
    image.add_polygon(label, [outline], kind="box", z_order=z_order)


def _add_ellipse(image: ImageBuilder, shape: Mapping[str, str], label: str, z_order: int) -> None:
    x, y, radius_x, radius_y = (number(shape.get(key)) for key in ("cx", "cy", "rx", "ry"))
    outline = ellipse_outline(x, y, radius_x, radius_y, number(shape.get("rotation") or 0))
    image.add_polygon(label, [outline], kind="ellipse", z_order=z_order)


def _add_mask(image: ImageBuilder, shape: Mapping[str, str], label: str, z_order: int) -> None:
    # Unlike COCO's, these runs go along the rows of the mask's box.
    height, width, top, left = (whole_number(shape.get(key)) for key in ("height", "width", "top", "left"))
    image.add(label, runs(shape.get("rle", ""), height, width, top, left), "mask", z_order)


SHAPES: dict[str, Callable[[ImageBuilder, Mapping[str, str], str, int], None]] = {
    "polygon": _add_polygon,
    "box": _add_box,
    "ellipse": _add_ellipse,
    "mask": _add_mask,
}


@dataclass(frozen=True)
class _Video:
    """What <meta> says of a video.

    Attributes:
        size: That of its pictures.
        num_frames: How many frames the task has; 0 where it doesn't say.
        start: The first of them.
        step: From each to the next.
        is_of_pictures: Whether the task is of pictures: the frames count these in CVAT's order, and keep their names.
    """

    size: tuple[int, int] | None = None
    num_frames: int = 0
    start: int = 0
    step: int = 1
    is_of_pictures: bool = False


def _task(meta: Element, track_tasks: Collection[str]) -> Element:
    """The <task> or <job> of <meta> that the tracks are of; an empty one where that is not known."""
    tasks = [*meta.iter("task"), *meta.iter("job")]
    if len(tasks) > 1:  # of a project
        tasks = [task for task in tasks if task.findtext("id") in track_tasks]
    return tasks[0] if tasks else Element("task")


def _video(task: Element) -> _Video:
    """What <meta> says of a task's video.

    Raises:
        BadAnnotation: The size of its pictures is none.
    """
    stated = task.find("original_size")
    size = None if stated is None else picture_size(stated.findtext("height"), stated.findtext("width"))
    is_of_pictures = task.findtext("mode") == "annotation"
    try:
        num_frames, start = (whole_number(task.findtext(key) or 0) for key in ("size", "start_frame"))
    except BadAnnotation:
        return _Video(size, is_of_pictures=is_of_pictures)
    step = re.search(r"step\s*=\s*(\d{1,6})", task.findtext("frame_filter") or "")
    return _Video(size, num_frames, start, max(1, int(step[1])) if step else 1, is_of_pictures)


@dataclass
class _Tracks:
    """What a file with tracks holds.

    Attributes:
        broken: What is wrong with the file.
        subset: What the frames are in: train, val, test, or the export's own name.
        frames: Label and shape of what is seen in each frame, in the order of the document.
        video: What is said of the video.
    """

    broken: ImageBuilder
    subset: str = ""
    frames: dict[int, list[tuple[str | None, Element]]] = field(default_factory=lambda: defaultdict(list))
    video: _Video = field(default_factory=_Video)


def _frames(export: Export, name: str) -> Iterator[AnnotatedImage]:
    """The frames that have shapes, or a picture; of a video all shapes lie in memory, as the file has them by track."""
    tracks = _tracks(export.source, name)
    folder, pictures, warning = "", dict[int, list[str]](), ""
    with tracks.broken.reading(""):
        folder, pictures = _frame_folder(export, name, tracks.frames.keys())
        pictures, warning = _by_frame(folder, pictures, tracks.video)
    if tracks.broken.build().problems:
        yield tracks.broken.build()
        return
    # Several files may be about the same frames, as overlapping jobs are.
    empty = _empty_frames(tracks, pictures) if len(_cvat_files(export.source)) == 1 else set()
    for frame in sorted(tracks.frames.keys() | empty):
        # Stable, as CVAT paints the shapes of a frame.
        shapes = sorted(tracks.frames.get(frame, ()), key=lambda item: _z_order(item[1]))
        title = f"frame_{frame:06d}"
        found = pictures.get(frame, [])
        image = ImageBuilder(folder + title, tracks.video.size, found[0] if found else "", file=name)
        image.put_into(tracks.subset)
        if not found and warning:  # to leave it out might shift all others
            image.problem(f"its picture is not there; {warning}")
        if len(found) > 1:
            image.problem(f"several pictures have its number: {listed(found, 4)}; keep the one that is meant")
        for label, shape in shapes:
            with image.reading(f"{title} ({shape.tag}, {label})"):
                _add(image, shape, label)
        if warning:
            image.warn(f"{name}: {warning}")
        yield image.build()


def _empty_frames(tracks: _Tracks, pictures: Mapping[int, Sequence[str]]) -> set[int]:
    """The video's frames of which a picture is there, and on which nothing is drawn."""
    video = tracks.video
    frames = range(video.start, video.start + video.num_frames * video.step, video.step)
    return {frame for frame, names in pictures.items() if len(names) == 1 and frame in frames} - tracks.frames.keys()


def _tracks(source: ExportSource, name: str) -> _Tracks:
    tracks = _Tracks(ImageBuilder(name, file=name))
    tasks = set()
    num_images = 0
    for tag, element in xml_elements(source, name):
        if tag == "image":
            num_images += 1
        elif tag == "track":
            tasks.add(element.get("task_id") or "")
            _add_track(tracks, element)
    if num_images:
        tracks.broken.problem(f"it holds <track> and {num_images} <image>; {ONE_KIND}")
    if len(tasks) > 1:
        tracks.broken.problem(
            f"its tracks are of {len(tasks)} tasks (task_id {listed(sorted(tasks), 4)}), each with sizes and subset of"
            " its own; export one task at a time"
        )
    task = _task(_meta(source, name), tasks)
    tracks.subset = _subset(task.findtext("subset"), name)
    with tracks.broken.reading(f"{name}, <original_size>"):
        tracks.video = _video(task)
    return tracks


def _add_track(tracks: _Tracks, track: Element) -> None:
    for index, shape in numbered(track):
        with tracks.broken.reading(f"track {track.get('id')} ({track.get('label')}), shape {index}"):
            frame = whole_number(shape.get("frame"), limit=10**9)
            if shape.get("outside") != "1":
                tracks.frames[frame].append((track.get("label"), shape))


def _z_order(shape: Element) -> float:
    try:
        return number(shape.get("z_order") or 0)
    except BadAnnotation:
        return 0  # told when the shape is read


def _frame_folder(export: Export, file: str, frames: Collection[int]) -> tuple[str, dict[int, list[str]]]:
    """The folder of a video's frames, and its pictures by the number at the end of their names.

    It is in --images if that has frames, shares most folders with the annotation file or is named like it, and then
    has most of the frames. A folder that is nearer to another annotation file belongs to that.

    Raises:
        BadAnnotation: Several folders could be meant.
    """
    files = _cvat_files(export.source)
    folders: dict[tuple[bool, str], dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in export.pictures.names:
        path = PurePosixPath(name)
        if found := re.search(r"(?<!\d)(\d{1,9})$", path.stem):
            is_given = export.pictures.source(name) is not export.source
            folders[is_given, path.parent.as_posix()][int(found[1])].append(name)
    ranks = {
        (is_given, folder): (is_given, *nearness, had)
        for (is_given, folder), by_number in folders.items()
        if (had := sum(frame in by_number or frame + 1 in by_number for frame in frames))
        and ((nearness := _nearness(folder, file)) == max(_nearness(folder, other) for other in files) or is_given)
    }
    best = [key for key in ranks if ranks[key] == max(ranks.values())]
    if len(best) > 1:
        raise BadAnnotation(
            f"its frames could be the pictures of any of the folders {listed((name for _, name in best), 4)}; put it"
            " into the folder that is meant, or name that with --images"
        )
    if not best:
        return f"{file}/", {}  # so that those of other files are not found by their names
    # CVAT's own files have six digits; others of the same number are something else.
    return "" if best[0][1] == "." else f"{best[0][1]}/", {
        number: [name for name in names if PurePosixPath(name).stem == f"frame_{number:06d}"][:1] or names
        for number, names in folders[best[0]].items()
    }


def _nearness(folder: str, file: str) -> tuple[int, bool]:
    """How much says that a folder belongs to an annotation file: what it has in common, and whether it is called so."""
    return shared_folders(folder, file), PurePosixPath(file).stem in folder.split("/")


def _shows_order(by_number: Mapping[int, Sequence[str]], video: _Video) -> bool:
    """Whether CVAT, which sorts pictures by their names, counted these as their numbers do, or from one less."""
    by_name = sorted((name, number) for number, names in by_number.items() for name in names)
    first = by_name[0][1] if by_name else video.start
    return (
        len(by_name) == video.num_frames
        and first in (video.start, video.start + 1)
        and all(number == first + place * video.step for place, (_, number) in enumerate(by_name))
    )


def _by_frame(folder: str, by_number: dict[int, list[str]], video: _Video) -> tuple[dict[int, list[str]], str]:
    """The pictures of a folder by frame, and what to say about it.

    CVAT counts frames from 0, other programs count their files from 1.

    Raises:
        BadAnnotation: The pictures' numbers can't be those of the frames.
    """
    if video.is_of_pictures and not _shows_order(by_number, video):
        raise BadAnnotation(
            "its task is of pictures, not of a video: its frames count them in CVAT's order, which their names don't"
            ' tell; export the task as "CVAT for images 1.1"'
        )
    if not by_number or video.start in by_number or min(by_number) != video.start + 1:
        return by_number, ""
    last, end = max(by_number), video.start + video.num_frames * video.step
    counted = f"the pictures in {folder or 'the export'} are numbered from {min(by_number)} to {last}"
    if video.num_frames and (video.start, video.step, end) == (0, 1, last) and len(by_number) == last:
        shifted = {number - 1: names for number, names in by_number.items()}
        return shifted, f"{counted}, the task's frames from 0 to {last - 1}: the first picture was taken for frame 0"
    if video.num_frames and last >= end:
        raise BadAnnotation(
            f"{counted}, but the task's frames are numbered from {video.start} to {end - video.step}; rename them so"
            " that each has the number of its frame"
        )
    if len(by_number) == last - video.start > 1:
        return by_number, (
            f"{counted}, and CVAT counts frames from 0: they were taken by their numbers. If the first picture is the"
            " first frame, as ffmpeg writes them, rename them so that it has the number 0"
        )
    return by_number, ""
