"""What the API says of the model and of a picture: JSON, documented by OpenAPI."""

from typing import Any

from pydantic import BaseModel, Field

from segtune.serving.uploads import FIELD


class ClassDescription(BaseModel):
    """A class that the model knows."""

    id: int = Field(examples=[1])
    name: str = Field(examples=["road"])
    color: str = Field(examples=["#804080"])


class ModelDescription(BaseModel):
    """What the server predicts with, and what it takes."""

    name: str = Field(examples=["model.safetensors"])
    architecture: str = Field(examples=["deeplabv3plus:efficientnet_lite0"])
    classes: list[ClassDescription]
    scores: dict[str, Any] = Field(description="Those of the training, as in the model file.")
    max_bytes: int = Field(examples=[20_000_000])
    max_pixels: int = Field(examples=[50_000_000])
    segtune_version: str = Field(examples=["0.1.0"])


class PredictedClass(ClassDescription):
    """What a class has of a picture."""

    pixels: int = Field(examples=[43210])
    share: float = Field(examples=[0.25])
    mean_confidence: float | None = Field(
        description="null where it has no pixel, or the model no confidence.", examples=[0.93]
    )


class PredictionContent(BaseModel):
    """A prediction. What was not asked for by ``include`` is left out, and the confidence of models that have none."""

    width: int = Field(examples=[480])
    height: int = Field(examples=[360])
    seconds: float = Field(examples=[0.11], description="That the network took.")
    classes: list[PredictedClass]
    polygons: dict[str, Any] | None = Field(None, description="GeoJSON in pixels: x to the right, y down.")
    class_ids: str | None = Field(None, description="A byte a pixel, row by row; zlib, then base64.")
    confidence: str | None = Field(None, description="The same, 0..255 for probabilities of 0..1.")
    labels: str | None = Field(None, description="The label image: PNG, base64.")
    picture: str | None = Field(None, description="The picture as it was read: JPEG, base64.")


PICTURE_SCHEMA = {"type": "string", "format": "binary"}
REQUEST_BODY = {
    "required": True,
    "description": "A JPEG, PNG, TIFF, WebP or BMP.",
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": [FIELD], "properties": {FIELD: PICTURE_SCHEMA}}
        },
        "image/*": {"schema": PICTURE_SCHEMA},
        "application/octet-stream": {"schema": PICTURE_SCHEMA},
    },
}
