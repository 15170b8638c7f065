# shellcheck shell=bash
# Stores of one run alone, on free ports, in a directory that ends with the run: for `test` and `bench`.
# Needs SCRATCH, the run's name; sets STATE. A run that fails keeps its data and says where.

# Whatever the environment says, no setting of a running `up` may reach the run.
for name in $(compgen -e | grep -E '_PORT$|^(KAFKA_BROKERS|REDIS_URL|CLICKHOUSE_URL|OPERATOR_TOKEN|ADDRESS_HASH_KEY|WEBHOOK_URL|LISTEN|OPS_LISTEN)$'); do
    unset "$name"
done
TIDEMARK_STATE=$(mktemp -d "${TMPDIR:-/tmp}/tidemark-$SCRATCH.XXXXXX")
export -n TIDEMARK_STATE
. "$(dirname "${BASH_SOURCE[0]}")/load.sh"

BEGAN=$(now_us)

clean_up() {
    local status=$?
    trap - EXIT
    set +e
    end_job
    stop_parts >/dev/null
    if [ "$status" -eq 0 ]; then
        rm -rf "$STATE"
    else
        echo "data and logs of this run are kept: $STATE"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

choose_ports() {
    local name next=18080
    for name in "${PORT_NAMES[@]}"; do
        next=$(free_port "$next")
        printf -v "$name" '%s' "$next"
        next=$((next + 1))
    done
}

# prepare_scratch TOOL...: those and everything that the stores need, installed.
prepare_scratch() {
    cd "$ROOT"
    mkdir -p "$STATE/logs"
    choose_ports
    load_settings
    require_rust
    install_packages "$@"
    install_kafka
    install_chdb
}

start_stores() {
    load_settings
    refuse_taken_ports
    start_parts "${STORES[@]}"
    export LIBCHDB KAFKA_BROKERS REDIS_URL CLICKHOUSE_URL
}
