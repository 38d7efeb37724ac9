"""Report -> HTML. All names, paths and messages are untrusted, and escaped."""

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from segtune.annotations.findings import findings_html
from segtune.config import LOSSES
from segtune.evaluation.bootstrap import Counts, Doubles
from segtune.evaluation.scores import few_pictures, majority_scores, shown
from segtune.report.chart import line_chart, thinned
from segtune.report.example_pictures import ExamplePicture, Kind
from segtune.report.run_facts import Epoch, KnownScores, RunFacts
from segtune.web_page import swatch, web_page

FINDINGS_SHOWN = 20
"""Of each kind."""
CONFUSIONS_TOLD = 5
MAX_CLASSES_EXPLAINED = 40
"""Up to so many classes each cell of the confusion matrix explains itself; above, the page would grow too large."""

PLAN = {
    "recipe": "Recipe", "epochs": "Epochs", "time_budget": "Time budget, s", "batch_size": "Batch size",
    "accumulate": "Parts of a batch", "crop": "Crop, px", "longest_side": "Longest side, px",
    "enlarge": "Enlarged, times", "freeze": "Frozen stages",
    "loss": "Loss", "class_weights": "Class weights", "logit_adjustment": "Logit adjustment",
    "label_smoothing": "Label smoothing", "optimizer": "Optimizer", "learning_rate": "Learning rate",
    "backbone_rate": "Backbone’s rate, share", "layer_decay": "Layer decay",
    "schedule": "Schedule", "warmup": "Warm-up, share", "weight_decay": "Weight decay",
    "clip_gradient": "Longest gradient", "ema": "Moving average", "patience": "Patience", "seed": "Seed",
}  # fmt: skip
"""Values of the plan that say most about a training; what is not used is left out."""
AUGMENTATION = {
    "min_scale": "Smallest scale", "max_scale": "Largest scale", "aspect_jitter": "Aspect", "rotation": "Rotation, °",
    "flip_horizontal": "Horizontal flip", "flip_vertical": "Vertical flip", "color_jitter": "Colour",
    "hue_jitter": "Hue", "blur": "Blur", "cutout": "Cutout", "cutmix": "CutMix", "copy_paste": "Copy-paste",
    "rare_crop": "Crops on rare classes",
}  # fmt: skip
MACHINE = {"device": "Device", "precision": "Precision", "world_size": "Processes", "num_workers": "Workers"}
UNUSED: tuple[Any, ...] = (0, 0.0, "", False, None, [], "none")
WITHOUT_EFFECT = {"accumulate": 1, "enlarge": 1, "layer_decay": 1.0, "world_size": 1}
"""Values that mean that something is not used, beside ``UNUSED``."""

KINDS: dict[Kind, str] = {"worst": "Worst", "best": "Best", "spread": "Evenly spread over all validation pictures"}
VIEWS = {"picture": "Picture", "labels": "Labels", "prediction": "Prediction", "difference": "Difference"}


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes:
        run: The run folder.
        facts: What it says.
        pictures: Validation pictures.
        augmented: Address of the augmented samples' content, or empty.
        missing: What the page doesn't show, and how to get it.
    """

    run: Path
    facts: RunFacts
    pictures: Sequence[ExamplePicture]
    augmented: str
    missing: Sequence[str]


def report_page(report: Report) -> str:
    """The page."""
    name = report.run.resolve().name
    sections = {
        "curves": ("Curves", _curves(report.facts)),
        "classes": ("Classes", _classes(report.facts)),
        "confusions": ("Confusions", _confusions(report.facts)),
        "pictures": ("Pictures", _pictures(report)),
        "samples": ("What the network was shown", _samples(report)),
        "check": ("Check of the data", _findings(report.facts)),
        "details": ("How it was made", _details(report.facts)),
        "missing": ("Not in this report", _missing(report.missing)),
    }
    there = {key: section for key, section in sections.items() if section[1]}
    links = "".join(f'<a href="#{key}">{title}</a>' for key, (title, _) in there.items())
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{title}</h2>{content}</section>'
        for key, (title, content) in there.items()
    )
    page = f'<header>{_head(name, report.facts)}</header><nav aria-label="Sections">{links}</nav><main>{body}</main>'
    style, script = (
        files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "script.js")
    )
    return web_page(f"Training report: {name}", style, page, script)


def _head(name: str, facts: RunFacts) -> str:
    model = facts.record["config"].get("model", "model")
    lead = f"<b>{_text(model)}</b>, trained on <b>{_text(facts.dataset.name)}</b>. {_text(_length(facts))}"
    return f'<p class="eyebrow">Training report</p><h1>{_text(name)}</h1><p class="lead">{lead}</p>{_headline(facts)}'


def _length(facts: RunFacts) -> str:
    """How much was trained, in a sentence or two."""
    plan, done = facts.record["plan"], len(facts.epochs)
    planned = plan.get("epochs") or 0
    if not done:
        return "No epoch is done yet."
    spent = f"in {duration(sum(epoch.seconds for epoch in facts.epochs))} without validation"
    if not planned and plan.get("time_budget"):
        return f"{_counted(done, 'epoch')} {spent}, of a budget of {duration(plan['time_budget'])} with it."
    if done >= planned:
        return f"{_counted(done, 'epoch')} {spent}."
    if plan.get("patience") or plan.get("time_budget"):
        why = "It was stopped by patience or time budget, was interrupted, or goes on."
    else:
        why = "It was interrupted, or goes on."
    return f"{done} of {planned} epochs {spent}. {why}"


def _headline(facts: RunFacts) -> str:
    if facts.known is None:
        return ""
    scores, interval = facts.known.scores, facts.known.interval
    where = f"95 % interval {shown(interval)}" if interval else "on the validation pictures"
    epoch = f", epoch {facts.best_epoch}" if facts.best_epoch else ""
    tiles = [
        _tile("mean IoU", scores.mean_iou, f"{where}{epoch}", "first"),
        _tile("pixel accuracy", scores.pixel_accuracy),
        _tile("mean accuracy", scores.mean_accuracy),
        _tile("IoU weighted by frequency", scores.frequency_weighted_iou),
        _tile("mean Dice", scores.mean_dice),
        _tile("mean IoU of the majority class", majority_scores(scores).mean_iou, "predicted everywhere"),
    ]
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _tile(title: str, value: float, note: str = "", kind: str = "") -> str:
    told = f'<dd class="note">{_text(note)}</dd>' if note else ""
    return f'<div class="{kind}"><dt>{_text(title)}</dt><dd>{value:.3f}</dd>{told}</div>'


def _curves(facts: RunFacts) -> str:
    if not facts.epochs:
        return ""
    loss = _loss(facts.record["plan"])
    two_means = any(epoch.labelled_mean_iou not in (None, epoch.mean_iou) for epoch in facts.epochs)
    labelled = {"labelled_mean_iou": ("Mean IoU of the labelled classes, which chooses the epoch", facts.best_epoch)}
    curves = {
        "mean_iou": ("Mean IoU on the validation pictures", facts.best_epoch),
        **(labelled if two_means else {}),
        "loss": (f"Training loss{f', {loss}' if loss else ''}", None),
        "learning_rate": ("Learning rate at each epoch’s end", None),
    }
    charts = []
    for name, (title, marked) in curves.items():
        points = [(float(epoch.number), value) for epoch in facts.epochs if (value := getattr(epoch, name)) is not None]
        if points:
            # A loss may be negative in no case that segtune has; should one be, the axis still begins at 0.
            chart = line_chart(title, "epoch", [(x, max(0.0, y)) for x, y in points], marked)
            charts.append(f"<figure><figcaption>{_text(title)}</figcaption>{chart}</figure>")
    return f'<div class="charts">{"".join(charts)}</div>{_epoch_table(facts.epochs)}'


def _epoch_table(epochs: Sequence[Epoch]) -> str:
    """The curves' values, for those who can't see or hover them."""
    kept = {x for x, _ in thinned([(float(epoch.number), 0.0) for epoch in epochs])}
    rows = "".join(
        f"<tr>{_number(epoch.number, str(epoch.number))}{_score(epoch.mean_iou)}{_score(epoch.labelled_mean_iou)}"
        f"{_score(epoch.loss)}"
        f"{_number(epoch.learning_rate, _g(epoch.learning_rate))}{_number(epoch.seconds, f'{epoch.seconds:.1f}')}</tr>"
        for epoch in epochs
        if epoch.number in kept
    )
    names = ("epoch", "mean IoU", "of labelled classes", "loss", "rate", "seconds")
    head = "".join(f'<th class="number">{name}</th>' for name in names)
    return (
        "<details><summary>Values of the epochs</summary>"
        f"{_scroll(f'<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>', 'Values of the epochs')}"
        "</details>"
    )


def _classes(facts: RunFacts) -> str:
    if facts.known is None:
        return ""
    names = ("class", "IoU", "95 % interval", "precision", "recall", "pixels", "pictures")
    head = "".join(
        f'<th{"" if name == "class" else " class=number"}><button type="button">{name}</button></th>' for name in names
    )
    rows = "".join(_class_row(facts, facts.known, index) for index in range(facts.classes.num_classes))
    few = few_pictures(facts.known.scores.num_pictures) if facts.known.interval else ""
    table = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    told = (
        "<p>Counted on the validation pictures at their own size; ignored pixels don’t count. Press a column’s name to"
        f" sort by it. The bars show the IoU, and its interval as a line. {few}</p>"
    )
    return told + _scroll(table, "Scores of the classes")


def _class_row(facts: RunFacts, known: KnownScores, index: int) -> str:
    name, scores, interval = facts.classes.names[index], known.scores, known.class_intervals[index]
    iou, share, pictures = scores.iou[index], scores.pixel_share[index], scores.pictures_with_class[index]
    low, high = interval or (0.0, 0.0)
    line = f'<i style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i>' if interval else ""
    bar = f'<span class="iou" aria-hidden="true"><b style="width:{100 * np.nan_to_num(iou):.1f}%"></b>{line}</span>'
    width = None if interval is None else high - low
    return (
        f'<tr><th scope="row" data-value="{_text(name)}">{_swatch(facts, index)}{_text(name)}</th>'
        f'{_score(iou)}<td class="plot" data-value="{"" if width is None else width}">'
        f"{bar}<span>{shown(interval)}</span></td>{_score(scores.precision[index])}{_score(scores.recall[index])}"
        f"{_number(share, f'{share:.2%}')}{_number(pictures, f'{pictures:,}')}</tr>"
    )


def _confusions(facts: RunFacts) -> str:
    if facts.known is None:
        return ""
    counts, names = facts.known.scores.confusion, facts.classes.names
    rates = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    head = "".join(f'<th scope="col"><span>{_text(name)}</span></th>' for name in names)
    rows = []
    for row, name in enumerate(names):
        cells = "".join(_cell(facts, row, column, rates[row, column]) for column in range(len(names)))
        rows.append(f'<tr><th scope="row">{_swatch(facts, row)}{_text(name)}</th>{cells}</tr>')
    corner = '<td class="corner">labelled ↓ predicted →</td>'
    table = f'<table class="confusion"><thead><tr>{corner}{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    told = (
        "<p>Of each labelled class’s pixels (row), the percentage predicted as each class (column). Empty: none; a dot:"
        " less than 0.05.</p>"
    )
    return told + _scroll(table, "Confusion matrix") + _largest_confusions(counts, names, rates)


def _cell(facts: RunFacts, row: int, column: int, rate: float) -> str:
    if not rate:
        return "<td></td>"
    kind = ' class="hit"' if row == column else ""
    explained = ""
    if len(facts.classes.names) <= MAX_CLASSES_EXPLAINED and facts.known is not None:
        labelled, predicted = facts.classes.names[row], facts.classes.names[column]
        count = int(facts.known.scores.confusion[row, column])
        explained = f' title="{_text(labelled)} predicted as {_text(predicted)}: {count:,} pixels"'
    percentage = f"{100 * rate:.0f}" if rate >= 0.0995 else f"{100 * rate:.1f}" if rate >= 0.0005 else "·"
    return f'<td{kind} style="--p:{rate:.2f}"{explained}>{percentage}</td>'


def _largest_confusions(counts: Counts, names: Sequence[str], rates: Doubles) -> str:
    wrong = np.where(np.eye(len(names), dtype=bool), 0, rates)
    largest = [divmod(int(place), len(names)) for place in np.argsort(-wrong, axis=None)[:CONFUSIONS_TOLD]]
    items = "".join(
        f"<li>{rates[row, column]:.1%} of <b>{_text(names[row])}</b> is taken for <b>{_text(names[column])}</b>"
        f" ({int(counts[row, column]):,} pixels)</li>"
        for row, column in largest
        if wrong[row, column]
    )
    return f"<h3>Largest confusions</h3><ol>{items}</ol>" if items else ""


def _pictures(report: Report) -> str:
    if not report.pictures:
        return ""
    options = {
        chosen: "".join(
            f'<option value="{view}"{" selected" if view == chosen else ""}>{title}</option>'
            for view, title in VIEWS.items()
        )
        for chosen in ("picture", "prediction")
    }
    tools = (
        f'<div class="tools"><label>Left <select id="left-view">{options["picture"]}</select></label>'
        f'<label>Right <select id="right-view">{options["prediction"]}</select></label></div>'
    )
    groups = [
        (title, of_kind)
        for kind, title in KINDS.items()
        if (of_kind := [picture for picture in report.pictures if picture.kind == kind])
    ]
    figures = "".join(
        f'<h3>{title}</h3><div class="pictures">{"".join(map(_figure, of_kind))}</div>' for title, of_kind in groups
    )
    told = (
        "<p>There are four views of each. Drag across a picture, or use the arrow keys on it, to wipe between the two"
        " chosen here.</p>"
    )
    return f"{told}{_legend(report.facts)}{tools}{figures}"


def _legend(facts: RunFacts) -> str:
    classes = [f"<li>{_swatch(facts, index)}{_text(name)}</li>" for index, name in enumerate(facts.classes.names)]
    marks = {"wrong": "wrong, in the difference", "right": "right", "ignored": "never counts"}
    others = [f'<li><span class="swatch {kind}"></span>{title}</li>' for kind, title in marks.items()]
    return f'<ul class="legend" aria-label="Colours">{"".join(classes + others)}</ul>'


def _figure(picture: ExamplePicture) -> str:
    name = _text(picture.name)
    size = f'width="{picture.width}" height="{picture.height}"'
    images = "".join(
        f'<img data-view="{view}" {size} alt="{title} of {name}" src="{picture.views[view]}">'
        for view, title in VIEWS.items()
    )
    score = "no labelled pixel" if picture.mean_iou is None else f"mean IoU {picture.mean_iou:.3f}"
    wide = f"max-width:{max(round(1.5 * picture.width), 320)}px"  # small pictures don't get larger without end
    return (
        f'<figure style="{wide}"><div class="wiper" style="aspect-ratio:{picture.width}/{picture.height}">{images}'
        f'<input type="range" min="0" max="100" step="1" value="50" aria-label="Wipe across {name}"></div>'
        f"<figcaption><span>{name}</span><span>{score}, {picture.wrong:.1%} wrong</span></figcaption></figure>"
    )


def _samples(report: Report) -> str:
    if not report.augmented:
        return ""
    alt = "Augmented training crops with their labels laid over them"
    told = "<p>Training crops after augmentation, with their labels’ colours over them; striped pixels never count.</p>"
    return f'{told}<img class="sheet" alt="{alt}" src="{report.augmented}">'


def _findings(facts: RunFacts) -> str:
    if not facts.findings:
        return "<p>segtune check found nothing wrong with the dataset before the training.</p>"
    found = findings_html(facts.findings, FINDINGS_SHOWN)
    return f"<p>What segtune check found in the dataset before the training:</p>{found}"


def _loss(plan: dict[str, Any]) -> str:
    """The loss in words; a run of another version may have one that is not known here, or none."""
    name = str(plan.get("loss", ""))
    return LOSSES.get(name, name)


def _details(facts: RunFacts) -> str:
    record, plan = facts.record, facts.record["plan"]
    weights = record["weights"]
    data = [("Dataset", str(record.get("dataset", "")))]
    data += [(f"Pictures in {split}", f"{count:,}") for split, count in facts.splits.items()]
    data += [("Classes", str(facts.classes.num_classes)), ("Fingerprint, SHA-256", facts.fingerprint)]
    start = [
        ("Architecture", str(record["config"].get("model", ""))),
        ("Initial weights", str(weights.get("source", ""))),
    ]
    start.append(("Their licence", str(weights.get("licence") or "not known")))
    tensors = [len(weights[name]) for name in ("taken", "new") if isinstance(weights.get(name), list)]
    start += [("Tensors", " taken, ".join(map(str, tensors)) + " new")] if len(tensors) == 2 else []
    spent = [("Training", duration(sum(epoch.seconds for epoch in facts.epochs)))] if facts.epochs else []
    groups = {
        "Data": data,
        "Start": start,
        "Training": _values(plan, PLAN),
        "Augmentation": _values(plan, AUGMENTATION),
        "Machine": [*_values(plan, MACHINE), *spent],
        "Versions": [(str(name), str(value)) for name, value in record["versions"].items()],
    }
    cards = "".join(
        f"<div><h3>{title}</h3><dl>{''.join(f'<dt>{_text(name)}</dt><dd>{_text(value)}</dd>' for name, value in rows)}"
        "</dl></div>"
        for title, rows in groups.items()
        if rows
    )
    commands = [record["command"], *record.get("resumed_by", [])]
    typed = _text("\n".join(shlex.join(map(str, command)) for command in commands))
    return f'<pre tabindex="0" aria-label="Command">{typed}</pre><div class="cards">{cards}</div>'


def _values(plan: dict[str, Any], titles: dict[str, str]) -> list[tuple[str, str]]:
    """The values of a plan that are used, with their titles."""
    plan = {**plan, "loss": _loss(plan), **({"freeze": "all"} if plan.get("freeze") == -1 else {})}
    return [
        (title, " ".join(map(_g, value)) if isinstance(value := plan[name], list) else _g(value))
        for name, title in titles.items()
        if name == "seed" or plan.get(name) not in (*UNUSED, WITHOUT_EFFECT.get(name))
    ]


def _missing(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def duration(seconds: float) -> str:
    """Seconds in words, which stay on one line: ``1 h 5 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    words = f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _scroll(table: str, title: str) -> str:
    """A table that scrolls for itself where it is wider than the page."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">{table}</div>'


def _swatch(facts: RunFacts, index: int) -> str:
    return swatch(facts.classes.colors[index])


def _score(value: float | None) -> str:
    defined = None if value is None or math.isnan(value) else value
    return _number(defined, "–" if defined is None else f"{defined:.3f}")


def _number(value: float | None, text: str) -> str:
    return f'<td class="number" data-value="{"" if value is None else value}">{text}</td>'


def _g(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "–" if value is None else str(value)


def _text(value: object) -> str:
    """Escaped for HTML, in text and in attributes."""
    return escape(str(value))
