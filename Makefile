# Everything a person or CI runs. Each target sets up what it needs; a second run reuses it.
#
#   make demo        serve, get, kill, get again: the main job, shown
#   make test        all tests
#   make coverage    the same, measured: fails below the floor, and unless all of core/ was run
#   make test-deep   all tests and their long forms: more examples, bigger files, minutes instead of seconds
#   make rows        the wheel, installed, with the oldest and with the newest Python and dependencies
#   make extras      sdist and wheel, installed alone and with each extra
#   make fuzz        what reads foreign bytes, tried with FUZZ examples each (100,000): half an hour
#   make audit       the pinned dependencies, looked up among known vulnerabilities; needs the network
#   make check       lint, types, proto, import directions, generated code, compatibility with the last release
#   make fmt         let ruff rewrite what it can
#   make proto       regenerate the protobuf modules, and the Go code where there is Go
#   make proxies     install the proxies that tests run unspool behind, and what checks deploy/
#   make objects     install the object stores that tests run against
#   make readers     install the programs that tests read data with through fsspec, beside pyarrow
#   make site        the documentation as a web site, below build/site/html
#   make bench       a first throughput figure, beside cp
#   make bench-peers install what the benchmarks compare with; then: .venv/bin/python -m bench big
#   make pins        resolve the pinned development requirements again

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROTOC := build/protoc/bin/python -m grpc_tools.protoc --proto_path=proto
PROTOS := unspool/v1/file_service.proto unspool/v1/admin.proto unspool/demo/files.proto
# Google's package, in a place of ours and in a pool of its own: who embeds unspool may have Google's module, too.
BYTESTREAM = --proto_path=unspool/rpc/bytestream=proto/google/bytestream unspool/rpc/bytestream/bytestream.proto
OWN_POOL := sed -i 's/_descriptor_pool\.Default()/_descriptor_pool.DescriptorPool()/'
GO_CODE := bench/peers/tutorial/demo examples/go/unspoolv1
HAVE_GO := (cd examples/go && GOTOOLCHAIN=local go list -m) >/dev/null 2>&1

.PHONY: demo test coverage test-deep rows extras fuzz audit objects seaweedfs azurite versitygw check fmt proto proto-check bench
.PHONY: bench-peers go-programs node-program proxies readers site pins clean

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unspool needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

build/protoc/.ready: requirements/proto.txt
	$(PYTHON) -m venv build/protoc
	build/protoc/bin/python -m pip install --quiet --require-hashes -r requirements/proto.txt
	touch $@

# Object stores for the tests, below build/objects. Those that cannot be had are left out, and their tests skipped.
objects: seaweedfs azurite versitygw

seaweedfs: requirements/objects.txt
	-$(PYTHON) -m venv build/objects \
	  && build/objects/bin/python -m pip install --quiet --require-hashes -r requirements/objects.txt

azurite:
	-npm install --silent --no-audit --no-fund --ignore-scripts --no-package-lock --prefix build/objects azurite@3.35.0

versitygw:
	-GOBIN=$(CURDIR)/build/objects/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

demo: $(READY)
	$(BIN)/unspool demo

test: $(READY)
	$(BIN)/python -m pytest

# Below the floor of pyproject.toml (fail_under) it fails, and unless every line and branch of core/ was run. A test that fails
# is run again alone: see tools/again.py.
coverage: $(READY)
	rm -rf .coverage .coverage.* .pytest_cache build/again.txt
	$(BIN)/coverage run -m pytest || $(BIN)/python tools/again.py $(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	@mkdir -p build && $(BIN)/coverage json --quiet --fail-under=0 -o build/coverage.json
	@$(BIN)/python tools/covered.py <build/coverage.json
	$(BIN)/coverage report --show-missing --skip-covered
	$(BIN)/coverage report --show-missing --skip-covered --include='src/unspool/core/*' --fail-under=100

test-deep: $(READY)
	UNSPOOL_TEST_DEEP=1 $(BIN)/python -m pytest

rows: $(READY)
	$(BIN)/python -m tools.rows

extras: $(READY)
	$(BIN)/python -m tools.extras

fuzz: $(READY)
	UNSPOOL_FUZZ_EXAMPLES=$(or $(FUZZ),100000) $(BIN)/python -m pytest tests/fuzz

# Not in CI: it asks a database on the network, and its answer changes without a change here.
audit: $(READY)
	$(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/dev.txt \
	  || { echo "make audit: a vulnerability is known, or the database cannot be reached from here and nothing is known (see above)"; exit 1; }

check: $(READY) proto-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint
	sh tools/breaking.sh $(BIN)/buf
	$(BIN)/lint-imports

fmt: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: build/protoc/.ready
	$(PROTOC) --python_out=src --pyi_out=src $(PROTOS)
	$(PROTOC) --python_out=src --pyi_out=src $(BYTESTREAM)
	$(OWN_POOL) src/unspool/rpc/bytestream/bytestream_pb2.py
	@if $(HAVE_GO); then for code in $(GO_CODE); do echo "$$code"; sh $$(dirname $$code)/generate.sh || exit 1; done; fi

# Regenerates beside the committed modules and fails on any difference.
proto-check: build/protoc/.ready
	rm -rf build/proto && mkdir -p build/proto
	$(PROTOC) --python_out=build/proto --pyi_out=build/proto $(PROTOS)
	$(PROTOC) --python_out=build/proto --pyi_out=build/proto $(BYTESTREAM)
	$(OWN_POOL) build/proto/unspool/rpc/bytestream/bytestream_pb2.py
	@for part in v1 demo rpc/bytestream; do \
	  diff -r --exclude=__init__.py --exclude=__pycache__ build/proto/unspool/$$part src/unspool/$$part \
	  || { echo "generated code is stale: run make proto"; exit 1; }; done
	@if $(HAVE_GO); then for code in $(GO_CODE); do \
	  rm -rf build/proto/$$code && sh $$(dirname $$code)/generate.sh build/proto/$$code && diff -r build/proto/$$code $$code \
	  || { echo "generated Go code is stale: run make proto"; exit 1; }; done; \
	else echo "no Go here: its generated code is not compared"; fi

bench: $(READY)
	$(BIN)/python -m bench

# Peers from the system's packages need root; one that cannot be had is reported as missing by the benchmark.
bench-peers: $(READY)
	-apt-get install --yes --quiet nginx-light curl aria2 rsync
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bench.txt

# What the programs in Go and in JavaScript are made of, so that no test has to wait for it.
go-programs:
	for program in bench/peers/tutorial examples/go; do \
	  (cd $$program && CGO_ENABLED=0 go build -buildvcs=false -trimpath -o /dev/null .) || exit 1; done

node-program:
	cd examples/node && npm install --no-audit --no-fund --ignore-scripts

# nginx and HAProxy come from the system's packages: apt-get install nginx-light haproxy.
proxies: build/proxies/.ready

build/proxies/.ready: requirements/proxies.txt $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/proxies
	$(BIN)/uv pip install --quiet --python build/proxies/bin/python --require-hashes -r requirements/proxies.txt
	touch $@

readers: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/readers.txt

# A broken link or anchor, a page that is not in the navigation and whatever else Sphinx warns of fails it. It takes half a minute.
site: build/site/.ready
	build/site/env/bin/python tools/pages.py build/site/pages
	build/site/env/bin/python -m sphinx --quiet --fail-on-warning --keep-going --jobs auto -c docs build/site/pages build/site/html
	@echo "build/site/html/index.html"

build/site/.ready: requirements/site.txt $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/site/env
	$(BIN)/uv pip install --quiet --python build/site/env/bin/python --require-hashes -r requirements/site.txt
	$(BIN)/python -c 'import pathlib; print(pathlib.Path("src").resolve())' >"$$(echo build/site/env/lib/python*/site-packages)/unspool.pth"
	touch $@

pins: $(READY)
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/dev.txt
	$(BIN)/uv pip compile requirements/rows.in --constraint requirements/dev.txt --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/rows.txt
	$(BIN)/uv pip compile requirements/bench.in --constraint requirements/dev.txt --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/bench.txt
	$(BIN)/uv pip compile requirements/proto.in --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/proto.txt
	$(BIN)/uv pip compile requirements/objects.in --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/objects.txt
	$(BIN)/uv pip compile requirements/go.in --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/go.txt
	$(BIN)/uv pip compile requirements/proxies.in --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/proxies.txt
	$(BIN)/uv pip compile requirements/readers.in --constraint requirements/dev.txt --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/readers.txt
	$(BIN)/uv pip compile pyproject.toml requirements/site.in --all-extras --constraint requirements/dev.txt --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements/site.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
