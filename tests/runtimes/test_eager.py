"""PyTorch as a backend."""

import pytest
import torch

from segtune.errors import UserError
from segtune.runtimes.eager import choose_device


@pytest.mark.parametrize(
    ("capability", "is_used"), [((6, 1), False), ((7, 0), False), ((7, 5), True), ((9, 0), True), ((12, 0), True)]
)
def test_devices_from_before_what_torch_was_built_for_are_not_used(capability, is_used, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_90a", "compute_120"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "an old GPU")
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if is_used else "cpu")
    assert ("no code for an old GPU" in capsys.readouterr().err) != is_used
    if is_used:
        assert choose_device("cuda").type == "cuda"
        return
    with pytest.raises(UserError, match="no code for an old GPU"):
        choose_device("cuda")
