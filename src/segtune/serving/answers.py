"""What is sent back: labels, overlay, or JSON."""

import base64
import json
from collections.abc import Collection
from enum import StrEnum
from typing import Any

import numpy as np
from zlib_ng import zlib_ng

from segtune.pictures import jpeg, labels_png, rgb_png
from segtune.prediction.draw import overlay
from segtune.prediction.polygons import feature_collection, find_polygons
from segtune.prediction.predictor import Prediction
from segtune.serving.worker import Answer
from segtune.web_page import css_color


class Format(StrEnum):
    """What a prediction is sent back as."""

    json = "json"
    labels = "labels"
    overlay = "overlay"


class Part(StrEnum):
    """What JSON holds beside the classes and their shares."""

    polygons = "polygons"
    class_ids = "class_ids"
    confidence = "confidence"
    labels = "labels"
    picture = "picture"


def encoded(answer: Answer, format_: Format, parts: Collection[Part], has_confidence: bool) -> tuple[bytes, str]:
    """The body of an answer, and its media type; networks that put out class ids have no confidence to tell."""
    prediction = answer.prediction
    if format_ is Format.labels:
        return labels_png(prediction.class_ids, prediction.classes), "image/png"
    if format_ is Format.overlay:
        return rgb_png(overlay(answer.picture, prediction.class_ids, prediction.classes)), "image/png"
    return json.dumps(_as_json(answer, parts, has_confidence), ensure_ascii=False).encode(), "application/json"


def _as_json(answer: Answer, parts: Collection[Part], has_confidence: bool) -> dict[str, Any]:
    prediction = answer.prediction
    height, width = prediction.class_ids.shape
    content: dict[str, Any] = {
        "width": width,
        "height": height,
        "seconds": round(answer.computed, 4),
        "classes": _classes(prediction, has_confidence),
    }
    if Part.polygons in parts:
        polygons = find_polygons(prediction.class_ids, prediction.classes.num_classes)
        content["polygons"] = feature_collection(polygons, prediction.classes)
    if Part.class_ids in parts:
        content["class_ids"] = _packed(prediction.class_ids.tobytes())
    if Part.confidence in parts and has_confidence:
        content["confidence"] = _packed((prediction.confidence * 255 + 0.5).astype(np.uint8).tobytes())
    if Part.labels in parts:
        content["labels"] = _base64(labels_png(prediction.class_ids, prediction.classes))
    if Part.picture in parts:
        content["picture"] = _base64(jpeg(answer.picture))
    return content


def _classes(prediction: Prediction, has_confidence: bool) -> list[dict[str, Any]]:
    """The classes, with what each has of the picture."""
    table, ids = prediction.classes, prediction.class_ids.ravel()
    pixels = np.bincount(ids, minlength=table.num_classes)
    confidence = np.bincount(ids, prediction.confidence.ravel(), minlength=table.num_classes)
    return [
        {
            "id": index,
            "name": name,
            "color": css_color(table.colors[index]),
            "pixels": int(pixels[index]),
            "share": round(float(pixels[index] / ids.size), 6),
            "mean_confidence": (
                round(float(confidence[index] / pixels[index]), 4) if pixels[index] and has_confidence else None
            ),
        }
        for index, name in enumerate(table.names)
    ]


def _packed(values: bytes) -> str:
    return _base64(zlib_ng.compress(values, 1))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
