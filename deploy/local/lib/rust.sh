# shellcheck shell=bash
# Rust programs that tests and checks need, built from crates.io once and kept in the cache.

NEXTEST_VERSION=0.9.151
DENY_VERSION=0.20.2
TYPOS_VERSION=1.52.0
FUZZ_VERSION=0.13.2

# install_cargo_program CRATE VERSION [CARGO_ARGUMENT...]: puts the crate's program on the path. Builds it if it is not in
# the cache.
install_cargo_program() {
    local CRATE=$1 CRATE_VERSION=$2
    local -a CRATE_ARGUMENTS=("${@:3}")
    fetch_into_cache "$1-$2" build_crate
    PATH=$CACHE/$1-$2/bin:$PATH
}

# These programs need little time themselves, so they are built with few optimizations, which is three times as fast.
build_crate() {
    run_logged "$CRATE" "$STATE/logs/install-$CRATE.log" \
        env CARGO_TARGET_DIR="$1/target" CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=false \
        cargo install --locked --profile dev --root "$1" "$CRATE" --version "$CRATE_VERSION" "${CRATE_ARGUMENTS[@]}"
    rm -rf "$1/target"
}

# install_nextest: the test runner, without its self-update.
install_nextest() {
    install_cargo_program cargo-nextest "$NEXTEST_VERSION" --no-default-features --features default-no-update
}
