# The check itself is .ci/run; these are its steps under their usual names.

.PHONY: build test race fuzz lint bench ci clean

build:
	go build ./cmd/cometctl

test:
	go test ./...

race fuzz lint:
	.ci/run $@

# Benchmarks measure little while anything else runs. docs/benchmarks.md has their figures.
bench:
	go test -run '^$$' -bench . -timeout 60m ./...

ci:
	.ci/run

clean:
	rm -f cometctl
	go clean -testcache
