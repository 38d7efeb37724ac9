"""Videos: an overlay for every frame, labels on request."""

import re
import resource
from dataclasses import replace

import cv2
import numpy as np
import pytest

from segtune.cli import main
from segtune.config import PredictConfig
from segtune.errors import UserError, WriteError
from segtune.pictures import read_labels
from segtune.prediction.predict import predict
from segtune.prediction.video import OverlayVideo, writable_rate


def write_video(path, num_frames, codec="mp4v"):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, (96, 72))
    for index in range(num_frames):
        writer.write(np.full((72, 96, 3), 40 * index % 256, np.uint8))
    writer.release()


def frames(path):
    capture = cv2.VideoCapture(str(path))
    return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS), capture.read()[1].shape


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("b.avi", "MJPG")])
def test_every_frame_gets_an_overlay_and_labels_on_request(trained_run, tmp_path, name, codec):
    write_video(tmp_path / name, 6, codec)
    config = PredictConfig(trained_run / "model.safetensors", tmp_path / name, tmp_path / "o")
    assert predict(config).kinds == ["overlays"]
    stem = name.split(".")[0]
    assert frames(tmp_path / "o" / "overlays" / f"{stem}.mp4") == (6, 10, (72, 96, 3))
    with pytest.raises(UserError, match="already holds"):
        predict(config)
    (tmp_path / "o" / "labels" / stem).mkdir(parents=True)
    (tmp_path / "o" / "labels" / stem / "000099.png").touch()
    predict(replace(config, save="labels", overwrite=True))
    labels = sorted((tmp_path / "o" / "labels" / stem).iterdir())
    assert [path.name for path in labels] == [f"{index:06}.png" for index in range(1, 7)]
    assert read_labels(labels[0]).shape == (72, 96)


@pytest.mark.parametrize(
    ("stated", "written"),
    [
        (29.97002997, 29.97),
        (66.123, 66.1),
        (211.222, 211.2),
        (239.773, 239.8),
        (0, 25),
        (float("nan"), 25),
        (90000, 25),
    ],
)
def test_any_rate_that_a_video_states_can_be_written(tmp_path, stated, written):
    video = OverlayVideo(tmp_path / "a.mp4", writable_rate(stated))
    video.add(np.zeros((72, 96, 3), np.uint8))
    video.close()
    assert frames(tmp_path / "a.mp4") == (1, written, (72, 96, 3))


def test_a_video_that_the_disk_has_no_room_for_is_told(tmp_path):
    """Files may have no more than 100 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    video = OverlayVideo(tmp_path / "a.mp4", 25)
    noise = np.random.default_rng(0)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        for _ in range(60):
            video.add(noise.integers(0, 256, (144, 192, 3), np.uint8))
        with pytest.raises(WriteError, match=r"of 60 frames .* is the disk full"):
            video.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_video_that_is_cut_short_is_told_and_done_so_far(trained_run, tmp_path, capsys):
    write_video(tmp_path / "whole.avi", 20, "MJPG")
    content = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) * 7 // 10])
    words = ["predict", str(trained_run / "model.safetensors"), str(tmp_path / "cut.avi"), str(tmp_path / "o")]
    assert main(words) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(r"Incomplete: .*cut\.avi states 20 frames, but only", told)
    assert 0 < frames(tmp_path / "o" / "overlays" / "cut.mp4")[0] < 20


def test_what_else_lies_where_frames_go_stays(trained_run, tmp_path):
    write_video(tmp_path / "a.mp4", 2)
    others = tmp_path / "o" / "labels" / "a" / "2024-05-01_roof.png"
    others.parent.mkdir(parents=True)
    others.touch()
    model = trained_run / "model.safetensors"
    predict(PredictConfig(model, tmp_path / "a.mp4", tmp_path / "o", save="labels", overwrite=True))
    assert others.exists()


def test_a_video_that_can_not_be_written_ends_the_run(trained_run, tmp_path):
    write_video(tmp_path / "a.mp4", 2)
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "overlays").touch()
    with pytest.raises(UserError, match="could not be written"):
        predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "a.mp4", tmp_path / "o"))


def test_broken_video_is_told_and_pictures_are_done(trained_run, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((20, 30, 3), np.uint8))
    report = predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "*.*", tmp_path / "o"))
    assert report.num_pictures == 1
    assert "a.mp4 is not a video" in report.unreadable[0]
    assert not (tmp_path / "o" / "overlays" / "a.mp4").exists()


def test_only_overlays_and_labels_can_be_made_of_a_video(trained_run, tmp_path):
    write_video(tmp_path / "a.mp4", 1)
    with pytest.raises(UserError, match="only overlays and labels"):
        predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "a.mp4", tmp_path / "o", save="confidence"))
