"""What the loop writes, and when."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

from segtune.classes import numbered_classes
from segtune.model_file import Model, read_header
from segtune.models.catalog import build_model, model_preprocessing
from segtune.training.loop import LastModel

NAME = "linknet:test_resnet"


def test_the_newest_model_is_there_at_the_end_however_short_the_epochs(tmp_path, monkeypatch):
    monkeypatch.setattr("segtune.training.pace.time", SimpleNamespace(monotonic=itertools.count().__next__))
    path = tmp_path / "last.safetensors"
    model = Model(build_model(NAME, 3), NAME, numbered_classes(3), model_preprocessing(NAME, 0))
    last = LastModel(path)
    for epoch in range(1, 4):
        last.offer(replace(model, scores={"epoch": epoch}), must=False)
    assert read_header(path)["scores"]["epoch"] == 1  # the others came before fifty times as long had passed
    last.write()
    assert read_header(path)["scores"]["epoch"] == 3
    last.offer(replace(model, scores={"epoch": 4}), must=True)
    assert read_header(path)["scores"]["epoch"] == 4
