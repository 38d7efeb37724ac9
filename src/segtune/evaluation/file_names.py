"""The files that scores are written to: by ``evaluate``, and into the run folder at the end of a training."""

SCORES_FILE = "scores.json"
PER_IMAGE_FILE = "per_image.csv"
CONFUSION_FILE = "confusion.png"
