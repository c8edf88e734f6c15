# cardoki: what there is to do. `make help` lists it.

GO        ?= go
FUZZTIME  ?= 30s
BENCHTIME ?= 1s

# Debian packages of the real parts that the tests run against.
DEPS = pcscd libpcsclite-dev vsmartcard-vpcd vsmartcard-vpicc python3-pycryptodome pkg-config gcc libc6-dev softhsm2 opensc opensc-pkcs11 openssl \
	yubico-piv-tool yubikey-manager ykcs11 gnutls-bin openssh-client openssh-server openvpn curl libengine-pkcs11-openssl libnss3 libnss3-tools firefox-esr bsdutils p11-kit p11-kit-modules \
	gcc-mingw-w64-x86-64-win32 gcc-mingw-w64-i686-win32

.DEFAULT_GOAL := help
.PHONY: help deps deps-if-allowed test bench figures healing chaos soak fuzz lint generate

FIGURES = Encode|Decode|TLV|RoundTrip/pcscd/response=258|Null/sign|Signer|SoftHSM/(attributes=5|objects|encrypt|sign)|NSS/Firefox/(objects|message)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

deps: ## install the Debian packages that the tests need (as root, or with sudo)
	@set -e; sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; export DEBIAN_FRONTEND=noninteractive; \
	$$sudo apt-get -o DPkg::Lock::Timeout=300 update -qq; \
	$$sudo apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $(DEPS) >/dev/null

# Installs what is missing where that is ours to do: as root, or in CI.
deps-if-allowed:
	@missing=; for p in $(DEPS); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q '^install ok installed' || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] || [ -n "$$CI" ]; then $(MAKE) --no-print-directory deps; \
	else echo "Tests that need them will be skipped; 'make deps' installs:$$missing"; fi

test: deps-if-allowed ## vet and all tests, with the race detector, on real parts
	$(GO) vet ./...
	$(GO) test -race -count 1 -timeout 9m ./...
	$(GO) vet -tags libpcsclite ./pcsc/...
	$(GO) test -race -count 1 -timeout 5m -tags libpcsclite ./pcsc ./pcsc/pcsctest
	$(GO) test -race -count 1 -timeout 5m -tags libpcsclite -run 'TestChaos|TestSharing|TestSoak|TestTransmitters' ./internal/system
	GODEBUG=fips140=only $(GO) test -count 1 -timeout 3m ./signer/...
	cd internal/peers && $(GO) vet ./...
	cd examples/sign-cms && $(GO) vet ./...

bench: deps-if-allowed ## benchmarks, each beside its floor, and beside peers
	@echo "# $$(uname -sm), $$(nproc) cores,$$(sed -n 's/^model name\s*://p' /proc/cpuinfo 2>/dev/null | head -1), $$($(GO) version)"
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./apdu/... ./iso7816/... ./signer ./cryptoki ./internal/ck
	$(GO) test -run '^$$' -bench BenchmarkHandshake -benchmem ./internal/system
	cd internal/peers && $(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

figures: deps-if-allowed ## docs/figures.md and its picture, of benchmarks in one run
	@mkdir -p dist
	{ echo "# $$(uname -sm), $$(nproc) cores,$$(sed -n 's/^model name\s*://p' /proc/cpuinfo 2>/dev/null | head -1), $$($(GO) version | cut -d' ' -f3)"; \
	cd internal/peers && $(GO) test -run '^$$' -bench '$(FIGURES)' -benchmem -benchtime $(BENCHTIME) .; } > dist/figures.txt
	$(GO) run ./internal/gen/figures < dist/figures.txt

healing: deps-if-allowed ## the misfortunes of a token, beside crypto11: docs/healing.md
	cd internal/peers && $(GO) test -count 1 -run TestHealing -v . -update

chaos: deps-if-allowed ## what happens to programs at a card and to services at a token, 200 times each
	CARDOKI_CHAOS=200 $(GO) test -count 1 -timeout 10m -run "TestChaos|TestHealing" -v ./internal/system

soak: deps-if-allowed ## a million exchanges with a card, a million signatures by a token, a minute of TLS: memory stays as it is
	CARDOKI_SOAK=1000000 CARDOKI_SOAK_TLS=60 $(GO) test -count 1 -timeout 60m -run TestSoak -v ./internal/system

fuzz: ## every fuzz target for FUZZTIME (30s)
	@set -e; for p in $$($(GO) list ./...); do \
	for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p; done; done

lint: ## gofmt, go vet, staticcheck, govulncheck
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "gofmt would change: $$bad"; exit 1; }
	$(GO) vet ./...
	@mkdir -p dist && $(GO) -C internal/tools build -o ../../dist/ honnef.co/go/tools/cmd/staticcheck golang.org/x/vuln/cmd/govulncheck
	dist/staticcheck ./...
	@out=$$(dist/govulncheck ./... 2>&1) && echo "$$out" | tail -n 1 || \
	{ case "$$out" in *'fetching vulnerabilities'*) echo "govulncheck: its database can't be reached from here; nothing was checked";; *) echo "$$out"; exit 1;; esac; }

generate: ## make the generated tables again
	$(GO) generate ./...
