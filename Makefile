# `make demo` sets everything up and assesses an example; `make test` sets everything up and passes the tests.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What `make test` passes: `fast` is under 5 minutes on two cores; `all`, which CI runs, has the tests marked slow too.
SUITE ?= $(if $(filter-out false 0,$(CI)),all,fast)
ifeq ($(filter fast all,$(SUITE)),)
$(error SUITE is fast or all, not '$(SUITE)')
endif

# The distribution kernels of the slow suite and of the benchmarks, from the machine's own package sources.
KERNELS ?= linux-image-6.1.0-55-amd64-unsigned linux-image-6.1.0-55-cloud-amd64-unsigned \
  linux-image-6.1.0-54-cloud-amd64-unsigned linux-image-6.1.0-55-rt-amd64-unsigned
export HOSTPROOF_KERNELS ?= $(CURDIR)/.kernels

.PHONY: demo test test-all check bench kernels machines generate clean

demo: $(STAMP)
	$(RUN)/hostproof assess examples/snp/vm.args \
	  --kernel examples/facts/debian-12-cloud-6.1.192.json \
	  --use third-party-server --verifier examples/snp/verifier.toml \
	  --gate none --page ledger.html

# -rfEs: what is skipped says why.
test: $(STAMP) check $(if $(filter all,$(SUITE)),kernels machines)
	$(RUN)/pytest -n 2 -rfEs $(if $(filter fast,$(SUITE)),-m "not slow")

test-all:
	$(MAKE) test SUITE=all

check: $(STAMP)
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

bench: $(STAMP) kernels
	$(RUN)/python benchmarks/run.py

# The machines that readers and inventories are compared with, and the engine that models are; where they cannot be had,
# those tests skip with a reason.
machines:
	bash scripts/install_qemu.sh

kernels:
	bash scripts/fetch_kernels.sh "$$HOSTPROOF_KERNELS" $(KERNELS)
	bash scripts/fetch_other_kernels.sh "$$HOSTPROOF_KERNELS" bullseye amd64 'linux-image-5\.10\.0-[0-9]+-cloud-amd64'
	bash scripts/fetch_other_kernels.sh "$$HOSTPROOF_KERNELS" trixie amd64 \
	  'linux-image-6\.12\.[0-9]+\+deb13-amd64-unsigned' 'linux-image-6\.12\.[0-9]+\+deb13-cloud-amd64-unsigned'
	bash scripts/fetch_other_kernels.sh "$$HOSTPROOF_KERNELS" trixie arm64 'linux-image-6\.12\.[0-9]+\+deb13-cloud-arm64-unsigned'
	bash scripts/fetch_other_kernels.sh "$$HOSTPROOF_KERNELS" sid amd64 \
	  'linux-base-[0-9.]+\+deb14-cloud-amd64' 'linux-binary-unsigned-.*-cloud-amd64' 'linux-modules-[0-9.]+\+deb14-cloud-amd64'
	bash scripts/fetch_other_kernels.sh "$$HOSTPROOF_KERNELS" sid arm64 \
	  'linux-base-[0-9.]+\+deb14-cloud-arm64' 'linux-binary-unsigned-.*-cloud-arm64' 'linux-modules-[0-9.]+\+deb14-cloud-arm64'

# Generated data: the ledger's schema, the verdicts of the models and a page on each, the expected ledgers of the examples.
generate: $(STAMP)
	$(RUN)/python scripts/prove_all.py
	$(RUN)/python scripts/model_pages.py
	$(RUN)/python -m hostproof.report.schema > src/hostproof/report/ledger.schema.json.new
	mv src/hostproof/report/ledger.schema.json.new src/hostproof/report/ledger.schema.json
	$(RUN)/python scripts/expected_ledgers.py

$(STAMP): pyproject.toml scripts/setup.sh requirements.txt
	PYTHON="$(PYTHON)" bash scripts/setup.sh $(VENV)
	touch $(STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .kernels ledger.html build dist src/*.egg-info
	find benchmarks scripts src tests -name __pycache__ -prune -exec rm -rf {} +
