# shellcheck shell=bash
# Our own binaries: built here, told by their environment where everything is.
# Needs STATE, the ports and addresses of settings.sh, OPERATOR_TOKEN, ADDRESS_HASH_KEY.

build_services() {
    run_job build "$STATE/logs/build.log" \
        cargo build --manifest-path "$ROOT/Cargo.toml" --release --workspace --locked
}

prepare_service() { [ -x "$BIN/$1" ] || die "$BIN/$1 was not built"; }

command_of_service() {
    PROGRAM=$BIN/$1
    COMMAND=("KAFKA_BROKERS=$KAFKA_BROKERS" "REDIS_URL=$REDIS_URL")
    case $1 in
        gateway)
            COMMAND+=("LISTEN=127.0.0.1:$GATEWAY_PORT" "OPS_LISTEN=127.0.0.1:$GATEWAY_OPS_PORT"
                "ADDRESS_HASH_KEY=$ADDRESS_HASH_KEY")
            ;;
        ingest-worker)
            COMMAND+=("OPS_LISTEN=127.0.0.1:$WORKER_OPS_PORT" "CLICKHOUSE_URL=$CLICKHOUSE_URL")
            ;;
        query-api)
            COMMAND+=(
                "LISTEN=127.0.0.1:$QUERY_PORT" "OPS_LISTEN=127.0.0.1:$QUERY_OPS_PORT" "CLICKHOUSE_URL=$CLICKHOUSE_URL"
                "OPERATOR_TOKEN=$OPERATOR_TOKEN" "WEBHOOK_URL=$GATEWAY_URL/api/webhooks/custom"
                # A receiver on this machine can be tried.
                "ALLOW_OUTGOING=${ALLOW_OUTGOING-127.0.0.0/8}"
            )
            ;;
    esac
    COMMAND+=("$PROGRAM")
}

service_is_ready() {
    local ops
    case $1 in
        gateway) ops=$GATEWAY_OPS_URL ;;
        ingest-worker) ops=$WORKER_OPS_URL ;;
        query-api) ops=$QUERY_OPS_URL ;;
    esac
    curl -fsS -m 2 -o /dev/null "$ops/readyz"
}
