# Prediction with an exported .onnx, without PyTorch:
#   docker build -t segtune .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" segtune predict model.onnx pictures out
# On CUDA devices:
#   docker build -t segtune --build-arg BASE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 --build-arg RUNTIME=onnxruntime-gpu .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/data" segtune predict model.onnx pictures out --device cuda
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG RUNTIME=onnxruntime
RUN command -v python3 >/dev/null && python3 -c "import ensurepip" 2>/dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*)
RUN python3 -m venv /opt/segtune
RUN --mount=type=bind,target=/src cp -r /src /tmp/segtune \
    && /opt/segtune/bin/pip install --no-cache-dir "/tmp/segtune[serve]" "${RUNTIME}>=1.20" && rm -rf /tmp/segtune
RUN useradd --create-home segtune
USER segtune
WORKDIR /data
ENTRYPOINT ["/opt/segtune/bin/segtune"]
