# make demo   a simulated arm driven by the policy node over ROS 2 topics
# make test   lint, types, unit tests and two-process tests
# Both install everything they need into .venv first; a second call starts in seconds.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
# The CPU build: a plain "torch" would bring gigabytes of CUDA.
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

export LP_NUM_THREADS ?= 1

.PHONY: demo test install clean

demo: install
	$(BIN)/gridsampler demo --out build/demo

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --ignore=test/test_simulation.py
# Mesa and a CUDA build of PyTorch each bring an LLVM: in one process they crash.
	$(BIN)/pytest test/test_simulation.py

install: $(VENV)/.installed

$(VENV)/.installed: setup.py Makefile
	@test -n "$(PYTHON)" || { echo 'No Python 3.10 to 3.13 found: sudo apt-get install python3 python3-venv'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'Python lacks venv: sudo apt-get install python3-venv'; exit 1; }
	@sh resource/install_opengl.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python resource/install_torch.py '$(TORCH)' '$(TORCH_INDEX)'
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[ros,sim,openvino,onnx,train,evaluate,plugins,test]'
	@touch $@

clean:
	rm -rf $(VENV) build install log
