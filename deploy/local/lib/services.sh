# shellcheck shell=bash
# The binaries of this repository. They are built here and configured through their environment.
# Needs STATE, the ports and addresses of settings.sh, OPERATOR_TOKEN, ADDRESS_HASH_KEY.

# The services, the operators' command line, and the ClickHouse engine that replaces a server.
SERVICE_BINARIES=(--bin gateway --bin ingest-worker --bin query-api --bin tidemarkctl --bin clickhouse-embedded)

# build_release BINARY...: builds the services and these binaries with the profile that is shipped.
build_release() {
    run_logged build "$STATE/logs/build.log" \
        cargo build --manifest-path "$ROOT/Cargo.toml" --release --locked --workspace "${SERVICE_BINARIES[@]}" "${@/#/--bin=}"
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
                # Webhook receivers on this machine are allowed.
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
