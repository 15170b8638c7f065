# shellcheck shell=bash
# Go programs that tests and checks need. They are built from the module proxy once and kept in the cache.

# Prometheus's own PromQL evaluator, with which the Prometheus API is compared.
PROMTOOL_PACKAGE=github.com/prometheus/prometheus/cmd/promtool@v0.316.0
# Validates the workflows in .github.
ACTIONLINT_PACKAGE=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

# go_program VARIABLE PACKAGE@VERSION: sets the variable to the path of the program. Builds it if it is not in the cache.
go_program() {
    local GO_PACKAGE=$2 program directory
    program=$(basename "${2%@*}")
    directory=$program-${2##*@}
    [ -d "$CACHE/$directory" ] || require_go
    fetch_into_cache "$directory" build_go_program
    printf -v "$1" '%s' "$CACHE/$directory/$program"
}

build_go_program() {
    run_logged "$(basename "${GO_PACKAGE%@*}")" "$STATE/logs/go.log" env GOBIN="$1" go install "$GO_PACKAGE"
}

# go_tool VARIABLE NAME PACKAGE: the same for a program whose dependencies deploy/tools/NAME/go.mod pins.
go_tool() {
    local GO_TOOL=$2 GO_PACKAGE=$3 directory
    directory=go-$2-$(digest "$ROOT/deploy/tools/$2/go.sum")
    [ -d "$CACHE/$directory" ] || require_go
    fetch_into_cache "$directory" build_go_tool
    printf -v "$1" '%s' "$CACHE/$directory/$2"
}

build_go_tool() {
    run_logged "$GO_TOOL" "$STATE/logs/go.log" \
        go -C "$ROOT/deploy/tools/$GO_TOOL" build -trimpath -o "$1/$GO_TOOL" "$GO_PACKAGE"
}

# From 1.21 on, Go downloads the toolchain that a module requires.
require_go() {
    local minor
    command -v go >/dev/null || apt_install golang-go
    minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 21 ] || die "Go is $(go env GOVERSION); 1.21 or newer is needed" \
        "Install golang-go from the backports of this Debian release, or a newer Go."
}
