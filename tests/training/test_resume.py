"""A training that was interrupted goes on exactly where it was."""

import json
import resource
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from PIL import Image
from torch.amp import GradScaler

from segtune.config import ResumeConfig, TrainConfig
from segtune.errors import UserError
from segtune.model_file import read_header
from segtune.models.catalog import build_model
from segtune.models.pretrained import WeightsReport
from segtune.training.earlier_run import Earlier, epochs_to_resume, resumed_plan
from segtune.training.events import EpochDone, Notice, RunStarted, StepDone
from segtune.training.network import Network, _leave_out_unused
from segtune.training.optimizer import make_optimizer
from segtune.training.plan import Facts, TrainPlan, make_plan
from segtune.training.resume import Progress, TrainingState
from segtune.training.resume import read_header as read_state
from segtune.training.train import TrainingInterrupted, resume, train

OPTIONS = {
    "model": "deeplabv3plus:efficientnet_lite0", "epochs": 3, "batch_size": 4, "crop": 64, "ema": 0.9,
    "report_to": "none", "cutmix": 0.5, "clip_gradient": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make_dataset) -> Path:
    """A run that was never interrupted, beside its dataset."""
    folder = tmp_path_factory.mktemp("whole")
    make_dataset(folder / "dataset", num_train=10)
    return train(TrainConfig(folder / "dataset", folder / "run", **OPTIONS), listeners=[]).run


@pytest.fixture
def config(whole, tmp_path) -> TrainConfig:
    """The same training in another folder."""
    return TrainConfig(whole.parent / "dataset", tmp_path / "run", **OPTIONS)


def interrupt(config: TrainConfig, kind: type, number: int) -> None:
    """Train until the ``number``-th event of a kind, and stop there as a kill would: nothing is written any more."""
    seen = []

    def listener(event):
        seen.extend([event] if isinstance(event, kind) else [])
        if len(seen) == number:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted):
        train(config, listeners=[listener])


def content(run: Path) -> list[bytes]:
    return [(run / name).read_bytes() for name in ("model.safetensors", "last.safetensors")]


def told(run: Path) -> list[dict]:
    """What metrics.jsonl says, without the times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


@pytest.mark.parametrize(
    ("kind", "number", "workers"), [(StepDone, 1, 0), (StepDone, 5, 2), (EpochDone, 1, 1), (EpochDone, 3, 0)]
)
def test_interrupted_training_ends_with_the_same_bytes(config, whole, kind, number, workers):
    interrupt(config, kind, number)
    resume(ResumeConfig(config.run, num_workers=workers), listeners=[])
    assert content(config.run) == content(whole)
    assert told(config.run) == told(whole)


def test_training_that_never_wrote_its_state_starts_again(config, whole):
    interrupt(config, RunStarted, 1)
    assert not (config.run / "resume.safetensors").exists()
    resume(ResumeConfig(config.run), listeners=[])
    assert content(config.run) == content(whole)


def test_train_goes_on_where_told_to_and_starts_where_there_is_nothing(config, whole):
    automatic = replace(config, resume="auto")
    interrupt(automatic, StepDone, 4)
    events = []
    result = train(replace(automatic, num_workers=1), listeners=[events.append])
    assert events[0].step > 0
    assert content(config.run) == content(whole)
    assert train(automatic, listeners=[events.append]).best_epoch == result.best_epoch
    assert isinstance(events[-2], Notice)
    assert "--epochs MORE" in events[-2].text


def test_trained_weights_without_their_state_are_not_replaced(config, whole):
    shutil.copytree(whole, config.run)
    (config.run / "resume.safetensors").unlink()
    before = content(config.run)
    with pytest.raises(UserError, match=r"last\.safetensors, model\.safetensors, but no resume\.safetensors"):
        resume(ResumeConfig(config.run), listeners=[])
    with pytest.raises(UserError, match="--init"):
        train(replace(config, resume="auto"), listeners=[])
    assert content(config.run) == before


def test_the_state_is_as_readable_as_the_model(whole):
    state, model = (whole / f"{name}.safetensors" for name in ("resume", "model"))
    assert state.stat().st_mode == model.stat().st_mode


def test_a_state_that_may_not_be_read_is_not_called_damaged(config, monkeypatch):
    train(config, listeners=[])

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match="can't be read: Permission denied"):
        read_state(config.run / "resume.safetensors")


def test_each_new_best_model_comes_with_its_state(config):
    seen = []

    def compare(event):
        if isinstance(event, StepDone) and event.epoch > 1:
            state = Progress(**read_state(config.run / "resume.safetensors")["progress"])
            seen.append((state.best_epoch, read_header(config.run / "model.safetensors")["scores"]["epoch"]))

    train(replace(config, epochs=6, ema=0.0), listeners=[compare])
    assert len({of_model for _, of_model in seen}) > 1
    assert all(of_state == of_model for of_state, of_model in seen)


def test_scores_of_an_earlier_best_model_go_with_it(config):
    assert (train(replace(config, epochs=1), listeners=[]).run / "scores.json").exists()

    def stop(event):
        if isinstance(event, EpochDone) and event.is_best:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted):
        resume(ResumeConfig(config.run, epochs=9), listeners=[stop])
    assert not [name for name in ("scores.json", "per_image.csv", "confusion.png") if (config.run / name).exists()]


def test_time_that_is_up_is_told_and_more_may_be_asked_for(config):
    def steps(config) -> list[int]:
        return [line["step"] for line in told(config.run)]

    short = replace(config, epochs="auto", time_budget="3s")
    train(short, listeners=[])
    done, events = steps(config), []
    resume(ResumeConfig(config.run), listeners=[events.append])
    assert [event.text for event in events if isinstance(event, Notice)] == [
        f"The time of 3 s is up. To go on: segtune resume {config.run} --time-budget LONGER"
    ]
    assert steps(config) == done
    resume(ResumeConfig(config.run, time_budget="9s"), listeners=[])
    assert steps(config)[-1] > done[-1]


@pytest.mark.parametrize(
    ("earlier", "asked", "world_size", "expected"), [("auto", "auto", 1, 4), ("auto", 2, 1, 9), ("auto", "auto", 2, 9)]
)
def test_the_parts_of_a_batch_stay_unless_others_are_asked_for(config, earlier, asked, world_size, expected):
    plan = make_plan(config, Facts(3, 9, (9, 9, 9), "cpu", 2))
    before = Earlier(
        replace(config, accumulate=earlier), replace(plan, accumulate=4), "", WeightsReport("", "", (), ()), [], True
    )
    new = replace(plan, accumulate=9, world_size=world_size)
    assert resumed_plan(before, replace(config, accumulate=asked), new).accumulate == expected


def test_the_length_is_counted_in_the_batches_of_the_run(config):
    """As if begun where 'auto' is another batch size."""
    interrupt(config, EpochDone, 1)
    path = config.run / "run.json"
    record = json.loads(path.read_text())
    record["config"]["batch_size"] = "auto"
    path.write_text(json.dumps(record))
    resume(ResumeConfig(config.run), listeners=[])
    assert [line["step"] for line in told(config.run)] == [3, 6, 9]
    assert json.loads(path.read_text())["plan"]["total_steps"] == 9


def test_a_run_keeps_its_epochs_where_auto_is_another_number(config):
    interrupt(config, EpochDone, 1)
    path = config.run / "run.json"
    record = json.loads(path.read_text())
    record["config"]["epochs"], record["plan"]["epochs"] = "auto", 4
    path.write_text(json.dumps(record))
    resume(ResumeConfig(config.run), listeners=[])
    assert len(told(config.run)) == 4


@pytest.mark.parametrize(
    ("before", "planned", "asked", "epochs"),
    [
        ({}, 4, {}, 4),
        ({}, 4, {"epochs": 5}, 5),
        ({"epochs": 9}, 9, {}, 9),
        ({}, 4, {"time_budget": "1h"}, "auto"),
        ({"time_budget": "1h"}, 0, {"time_budget": "1h"}, "auto"),
        ({"time_budget": "1h"}, 0, {"time_budget": "2h"}, "auto"),
        ({"time_budget": "1h"}, 0, {"time_budget": "1h", "epochs": 5}, 5),
    ],
)
def test_epochs_are_those_of_the_run_unless_another_length_is_asked_for(config, before, planned, asked, epochs):
    auto = replace(config, epochs="auto")
    plan = replace(make_plan(config, Facts(3, 9, (9, 9, 9), "cpu", 2)), epochs=planned)
    earlier = Earlier(replace(auto, **before), plan, "", WeightsReport("", "", (), ()), [], True)
    assert epochs_to_resume(earlier, replace(auto, **asked)) == epochs


def test_a_run_of_fp16_needs_cuda(config):
    plan = make_plan(config, Facts(3, 9, (9, 9, 9), "cpu", 2))
    before = Earlier(config, replace(plan, precision="fp16"), "", WeightsReport("", "", (), ()), [], True)
    with pytest.raises(UserError, match="fp16"):
        resumed_plan(before, config, plan)


def test_state_does_not_depend_on_which_parameters_an_optimizer_numbers(tmp_path):
    """PSPNet leaves deep stages aside; of several processes, each leaves them out of the optimizer."""
    nets = [build_model("pspnet:efficientnet_lite0", 3, seed) for seed in (0, 1)]
    _leave_out_unused(nets[1])
    states = []
    for net in nets:
        network = Network(net, "pspnet:efficientnet_lite0", plan := plan_of_one(), torch.device("cpu"))
        optimizer = make_optimizer(net, network.stages, plan)
        states.append(TrainingState(Progress(), net, optimizer, GradScaler("cpu", enabled=False), None))
    nets[0](torch.rand(2, 3, 64, 64)).square().sum().backward()
    states[0].optimizer.step()
    states[0].save(tmp_path / "state.safetensors")
    states[1].restore(tmp_path / "state.safetensors")
    one, two = (dict(net.named_parameters()) for net in nets)
    num_compared = 0
    for name, parameter in one.items():
        for key, value in states[0].optimizer.state.get(parameter, {}).items():
            assert torch.equal(states[1].optimizer.state[two[name]][key], value)
            num_compared += 1
    assert num_compared > 100
    assert sum(len(group["params"]) for group in states[1].optimizer.param_groups) < len(two)


def plan_of_one() -> TrainPlan:
    return make_plan(TrainConfig(Path("d"), Path("r")), Facts(3, 9, (9, 9, 9), "cpu", 2))


def test_dataset_and_run_may_be_moved(config, whole, tmp_path, make_dataset):
    interrupt(config, EpochDone, 1)
    config.run.rename(tmp_path / "moved")
    make_dataset(tmp_path / "elsewhere", num_train=10)
    resume(ResumeConfig(tmp_path / "moved", dataset=tmp_path / "elsewhere"), listeners=[])
    assert content(tmp_path / "moved") == content(whole)


def test_more_epochs_may_be_asked_for(config):
    train(replace(config, epochs=1), listeners=[])
    resume(ResumeConfig(config.run, epochs=2), listeners=[])
    assert [line["epoch"] for line in told(config.run)] == [1, 2]
    record = json.loads((config.run / "run.json").read_text())
    assert (record["command"], record["resumed_by"]) == (sys.argv, [sys.argv])
    assert read_state(config.run / "resume.safetensors")["progress"]["epoch"] == 3


def test_training_that_lost_patience_goes_on_only_if_more_is_asked_for(config):
    options = {"keep_feature_extract": True, "batch_norm": "frozen", "learning_rate": 1e-12}
    impatient = replace(config, epochs=60, patience=1, ema=0.0, **options)
    train(impatient, listeners=[])
    stopped = len(told(config.run))
    assert stopped < 60
    events = []
    train(replace(impatient, resume="auto"), listeners=[events.append])
    (notice,) = (event.text for event in events if isinstance(event, Notice))
    assert notice.startswith("The training ended early, after 1 validations without a better score")
    assert len(told(config.run)) == stopped
    train(replace(impatient, resume="auto", epochs=61), listeners=[])
    assert len(told(config.run)) > stopped


def test_more_time_that_was_asked_for_is_not_lost_when_no_step_was_done_in_it(config):
    short = replace(config, epochs="auto", time_budget="1s")
    train(short, listeners=[])
    steps = told(config.run)[-1]["step"]
    longer = replace(short, resume="auto", time_budget="6s")
    interrupt(longer, RunStarted, 1)
    train(longer, listeners=[])
    assert told(config.run)[-1]["step"] > steps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.5}, "--learning-rate was auto, is 0.5"),
        ({"crop": 96, "seed": 3}, "--crop was 64, is 96, --seed was 0, is 3"),
        ({"dataset": Path("other")}, "--dataset was"),
    ],
)
def test_what_may_not_change_is_refused_by_name(config, changes, message):
    interrupt(config, StepDone, 1)
    with pytest.raises(UserError, match=message):
        train(replace(config, resume="auto", **changes), listeners=[])


def test_changed_dataset_is_refused(dataset, tmp_path):
    run = TrainConfig(dataset, tmp_path / "run", **OPTIONS)
    interrupt(run, StepDone, 1)
    Image.new("RGB", (96, 72)).save(dataset / "train" / "Images" / "000.jpg")
    with pytest.raises(UserError, match="has changed"):
        resume(ResumeConfig(run.run), listeners=[])


def test_other_class_names_are_refused_and_test_pictures_are_not_looked_at(dataset, tmp_path):
    run = TrainConfig(dataset, tmp_path / "run", **{**OPTIONS, "epochs": 1})
    interrupt(run, StepDone, 1)
    shutil.copytree(dataset / "val", dataset / "test")
    classes = (dataset / "classes.yaml").read_text()
    (dataset / "classes.yaml").write_text(classes.replace("wall", "fence"))
    with pytest.raises(UserError, match="has changed"):
        resume(ResumeConfig(run.run), listeners=[])
    (dataset / "classes.yaml").write_text(classes)
    resume(ResumeConfig(run.run), listeners=[])


@pytest.mark.parametrize(
    "damage", [lambda content: content[:1000], lambda content: content[:0], lambda content: content[:-9]]
)
def test_damaged_state_is_told_and_left(config, damage):
    interrupt(config, StepDone, 3)
    state = config.run / "resume.safetensors"
    state.write_bytes(damage(state.read_bytes()))
    before = state.read_bytes()
    with pytest.raises(UserError, match="damaged"):
        resume(ResumeConfig(config.run), listeners=[])
    assert state.read_bytes() == before


@pytest.mark.parametrize("record", ["{", "[]", "{}", '{"plan": 1, "config": {}}'])
def test_damaged_record_is_told(config, record):
    config.run.mkdir()
    (config.run / "run.json").write_text(record)
    with pytest.raises(UserError, match=r"run\.json"):
        resume(ResumeConfig(config.run), listeners=[])


def test_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        resume(ResumeConfig(tmp_path), listeners=[])


def test_two_processes_do_not_train_in_one_folder(config):
    interrupt(config, StepDone, 1)
    with FileLock(config.run / ".lock"), pytest.raises(UserError, match="Another process is training"):
        resume(ResumeConfig(config.run), listeners=[])


def test_full_disk_leaves_the_last_good_state(config, whole):
    """Files may have no more than 20 MB from the second epoch on: a state takes more than twice as much."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(event):
        if isinstance(event, EpochDone) and event.epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, before[1]))

    try:
        with pytest.raises(UserError, match=r"resume\.safetensors could not be written"):
            train(config, listeners=[fill])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(config.run.glob(".*.safetensors"))
    resume(ResumeConfig(config.run), listeners=[])
    assert content(config.run) == content(whole)
