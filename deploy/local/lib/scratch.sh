# shellcheck shell=bash
# Stores of one run, on free ports, in a temporary directory that is deleted after a successful run. Used by `test`,
# `campaign`, `faults` and `bench`. Needs SCRATCH, the name of the run; sets STATE.

# The environment of a shell may contain the settings of a running `up`; none of them may reach this run.
for name in $(compgen -e | grep -E '_PORT$|^(KAFKA_BROKERS|REDIS_URL|CLICKHOUSE_URL|OPERATOR_TOKEN|ADDRESS_HASH_KEY|WEBHOOK_URL|LISTEN|OPS_LISTEN)$'); do
    unset "$name"
done
# Stores that somebody else has started for tests have names of their own.
for name in KAFKA_BROKERS REDIS_URL CLICKHOUSE_URL; do
    variable=TEST_$name
    [ -z "${!variable:-}" ] || printf -v "$name" '%s' "${!variable}"
done
TIDEMARK_STATE=$(mktemp -d "${TMPDIR:-/tmp}/tidemark-$SCRATCH.XXXXXX")
export -n TIDEMARK_STATE
. "$(dirname "${BASH_SOURCE[0]}")/load.sh"

BEGAN=$(now_us)

clean_up() {
    local status=$?
    trap - EXIT
    set +e
    kill_jobs
    stop_components >/dev/null
    if [ "$status" -eq 0 ]; then
        rm -rf "$STATE"
    else
        echo "data and logs of this run: $STATE"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Concurrent runs begin their search at different ports.
choose_ports() {
    local name next=$((18080 + $$ % 100 * 16))
    for name in "${PORT_NAMES[@]}"; do
        next=$(free_port "$next")
        printf -v "$name" '%s' "$next"
        next=$((next + 1))
    done
}

# prepare_scratch TOOL...: installs these tools and what the build and the stores need.
prepare_scratch() {
    cd "$ROOT" || exit
    mkdir -p "$STATE/logs"
    load_settings
    require_rust
    install_packages "$@"
    is_external kafka || install_kafka
    is_external clickhouse || install_chdb
}

# start_stores [STORE...]: starts the stores and exports their addresses. All of them if none is named.
start_stores() {
    local store
    [ $# -gt 0 ] || set -- "${STORES[@]}"
    # Not before the build, in which another run may take the ports. The addresses of the local stores follow from them.
    choose_ports
    for store in "${STORES[@]}"; do is_external "$store" || unset "${ADDRESS_OF[$store]}"; done
    load_settings
    require_reachable_stores
    require_free_ports
    start_components "$@"
    for store in "$@"; do export "${ADDRESS_OF[$store]?}"; done
    export LIBCHDB
}
