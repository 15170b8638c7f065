# shellcheck shell=bash
# Programs in Go that the tests need, built from the module proxy once and kept with what else is downloaded.

# Prometheus's own evaluator of PromQL: what the Prometheus API is compared with.
PROMTOOL_PACKAGE=github.com/prometheus/prometheus/cmd/promtool@v0.316.0

# go_program PACKAGE@VERSION → the path of the program; builds it, outside the tree, if it is not there yet.
go_program() {
    local GO_PACKAGE=$1 name
    name=$(basename "${1%@*}")-${1##*@}
    if [ ! -d "$CACHE/$name" ]; then
        require_go
        say_part "$name" "building it; this takes some minutes, once" >&2
        fetch_into_cache "$name" build_go_program >&2
    fi
    echo "$CACHE/$name/$(basename "${1%@*}")"
}

build_go_program() { run_job "$GO_PACKAGE" "$STATE/logs/go.log" env GOBIN="$1" go install "$GO_PACKAGE"; }

# From 1.21 on Go gets the toolchain that a module asks for by itself.
require_go() {
    local minor
    command -v go >/dev/null || apt_install golang-go
    minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 21 ] || die "Go 1.21 or newer is needed, and this is $(go env GOVERSION)" \
        "Install golang-go from the backports of this Debian, or a newer Go."
}
