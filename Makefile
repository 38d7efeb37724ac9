# The README's two commands are `make demo` and `make test`; each does the set-up that it needs.
PYTHON ?= python3
CAMVID ?= ../shared/camvid
UV_VERSION = 0.13.9
BIN = .venv/bin
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	--no-emit-find-links
export PYTHONHASHSEED = 0

PEERS ?= runs/environments

.PHONY: setup demo test test-all bench bench-quality fuzz check format lock

setup: .venv/.complete

# A stamp file: a second run reuses the environment until the lock or the project's metadata change.
.venv/.complete: requirements/bootstrap.lock requirements/dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 setup")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements/dev.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	$(BIN)/python -m compileall -q src
	touch $@

demo: setup
	$(BIN)/segtune demo runs/demo --overwrite

# One thread for each of the two test processes.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal

test-all: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal -m "slow or not slow"

# Speed: half an hour, an hour on slower machines. All figures go into one file of this day and this machine.
bench: RESULT = benchmarks/results/$(shell $(BIN)/python benchmarks/record.py).json
bench: setup
	test -n '$(basename $(notdir $(RESULT)))'
	test -d $(CAMVID)/train/Images  # CAMVID=FOLDER: a dataset folder of CamVid, 11 classes, 11 is not labelled
	benchmarks/peers/setup.sh $(PEERS) datumaro
	$(BIN)/python benchmarks/conversion.py --kind polygon --datumaro $(PEERS)/datumaro/bin/python \
		--result $(RESULT)
	$(BIN)/python benchmarks/conversion.py --kind mask --result $(RESULT)
	$(BIN)/python benchmarks/conversion.py --kind polygon --suffix png --pictures 2000 \
		--result $(RESULT)
	$(BIN)/python benchmarks/resume.py --result $(RESULT)
	$(BIN)/python benchmarks/training.py --camvid $(CAMVID) --result $(RESULT)
	$(BIN)/python benchmarks/reading.py --result $(RESULT)
	$(BIN)/python benchmarks/checking.py --result $(RESULT)
	$(BIN)/segtune train $(CAMVID) runs/bench --num-classes 11 --ignore-value 11 --epochs 9 --batch-size 8 \
		--model deeplabv3plus:efficientnet_lite0 --overwrite
	$(BIN)/python benchmarks/prediction.py --model runs/bench/model.safetensors --pictures $(CAMVID)/val/Images \
		--result $(RESULT)
	$(BIN)/python benchmarks/exporting.py --model runs/bench/model.safetensors --camvid $(CAMVID) \
		--result $(RESULT)
	$(BIN)/python benchmarks/serving.py --model runs/bench/model.safetensors --pictures $(CAMVID)/val/Images \
		--minutes 2 --result $(RESULT)
	$(BIN)/python benchmarks/table.py

# Quality: half a day. Other libraries are given the same minutes as segtune; stopped, it goes on where it was.
bench-quality: setup
	benchmarks/peers/setup.sh $(PEERS) lightning huggingface ultralytics
	$(BIN)/python benchmarks/quality.py --camvid $(CAMVID) --environments $(PEERS) \
		--part quality few-labels time-to-quality hour; status=$$?; $(BIN)/python benchmarks/table.py; exit $$status

# Ten minutes of spoiled exports.
fuzz: setup
	$(BIN)/python tests/fuzzing/fuzz_readers.py --minutes 10

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Hashes, and no download addresses.
lock: setup
	$(BIN)/$(COMPILE) --extra train --group dev pyproject.toml --output-file requirements/dev.lock
	echo uv==$(UV_VERSION) | $(BIN)/$(COMPILE) - --output-file requirements/bootstrap.lock
