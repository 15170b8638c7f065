# shellcheck shell=bash
# Paths, ports, and the stores that `up` does not start. The settings of `up` are kept in the state directory, so that
# `status`, `logs`, `down` and the next `up` need none.

LC_ALL=C.UTF-8
export LC_ALL

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
STATE=$(realpath -m "${TIDEMARK_STATE:-$ROOT/.local}")
CACHE=$(realpath -m "${XDG_CACHE_HOME:-${HOME:?HOME must be set}/.cache}/tidemark")
# A relative CARGO_TARGET_DIR is relative to the repository; Cargo would resolve it against the working directory.
TARGET=$(cd "$ROOT" && realpath -m "${CARGO_TARGET_DIR:-target}")
[ -z "${CARGO_TARGET_DIR:-}" ] || export CARGO_TARGET_DIR=$TARGET
# Directory of the binaries that are run. Tests set it to those of Cargo's dev profile.
BIN=$TARGET/release

# In start order; components stop in the reverse order.
STORES=(kafka redis clickhouse)
SERVICES=(gateway ingest-worker query-api)
COMPONENTS=("${STORES[@]}" "${SERVICES[@]}")

PORT_NAMES=(
    GATEWAY_PORT QUERY_PORT GATEWAY_OPS_PORT WORKER_OPS_PORT QUERY_OPS_PORT
    KAFKA_PORT KAFKA_CONTROLLER_PORT REDIS_PORT CLICKHOUSE_PORT
)
declare -A DEFAULT_PORT=(
    [GATEWAY_PORT]=8080 [QUERY_PORT]=8090
    [GATEWAY_OPS_PORT]=9080 [WORKER_OPS_PORT]=9081 [QUERY_OPS_PORT]=9082
    [KAFKA_PORT]=9092 [KAFKA_CONTROLLER_PORT]=9093 [REDIS_PORT]=6379 [CLICKHOUSE_PORT]=8123
)
# The ports that each component listens on; clients connect to the first.
declare -A PORTS_OF=(
    [kafka]="KAFKA_PORT KAFKA_CONTROLLER_PORT" [redis]="REDIS_PORT" [clickhouse]="CLICKHOUSE_PORT"
    [gateway]="GATEWAY_PORT GATEWAY_OPS_PORT" [ingest-worker]="WORKER_OPS_PORT" [query-api]="QUERY_PORT QUERY_OPS_PORT"
)
# The setting with each store's address.
declare -A ADDRESS_OF=([kafka]=KAFKA_BROKERS [redis]=REDIS_URL [clickhouse]=CLICKHOUSE_URL)

# Addresses of stores that these scripts do not start.
declare -A EXTERNAL=()

# read_value FILE KEY → the value of a KEY=VALUE line; nothing if there is none.
read_value() {
    [ ! -f "$1" ] || sed -n "s/^$2=//p" "$1" | tail -n 1
}

# write_private FILE: writes standard input to the file, atomically, readable by its owner only.
write_private() {
    mkdir -p "$(dirname "$1")"
    (umask 077 && cat >"$1.new")
    mv -f "$1.new" "$1"
}

# load_settings: the environment takes precedence over the saved settings, and those over the defaults.
load_settings() {
    local name value
    for name in "${PORT_NAMES[@]}"; do
        value=${!name:-$(read_value "$STATE/settings" "$name")}
        value=${value:-${DEFAULT_PORT[$name]}}
        if ! [[ $value =~ ^[1-9][0-9]{0,4}$ ]] || [ "$value" -gt 65535 ]; then
            die "$name is '$value', which is not a port" "A port is a number from 1 to 65535."
        fi
        printf -v "$name" '%s' "$value"
    done
    require_distinct_ports
    load_addresses
    GATEWAY_URL=http://127.0.0.1:$GATEWAY_PORT
    QUERY_URL=http://127.0.0.1:$QUERY_PORT
    GATEWAY_OPS_URL=http://127.0.0.1:$GATEWAY_OPS_PORT
    WORKER_OPS_URL=http://127.0.0.1:$WORKER_OPS_PORT
    QUERY_OPS_URL=http://127.0.0.1:$QUERY_OPS_PORT
}

# load_saved_settings: ignores the environment, because the running components use the settings of the last `up`.
load_saved_settings() {
    unset "${PORT_NAMES[@]}" "${ADDRESS_OF[@]}"
    load_settings
}

# A store with a configured address is external and never started. An empty address selects the local store, and so
# does the local store's own address, which a shell has in its environment after it has sourced `.local/env`.
load_addresses() {
    local store name local_store configured
    for store in "${STORES[@]}"; do
        name=${ADDRESS_OF[$store]}
        local_store=$(local_address "$store")
        configured=${!name-$(read_value "$STATE/settings" "$name")}
        unset "EXTERNAL[$store]"
        if [ -n "$configured" ] && [ "$configured" != "$local_store" ]; then
            EXTERNAL[$store]=$configured
        fi
        printf -v "$name" '%s' "${EXTERNAL[$store]:-$local_store}"
    done
}

local_address() {
    case $1 in
        kafka) echo "127.0.0.1:$KAFKA_PORT" ;;
        redis) echo "redis://127.0.0.1:$REDIS_PORT" ;;
        clickhouse) echo "http://127.0.0.1:$CLICKHOUSE_PORT" ;;
    esac
}

save_settings() {
    local name store
    {
        for name in "${PORT_NAMES[@]}"; do echo "$name=${!name}"; done
        for store in "${!EXTERNAL[@]}"; do echo "${ADDRESS_OF[$store]}=${EXTERNAL[$store]}"; done
    } | write_private "$STATE/settings"
}

is_external() { [ -n "${EXTERNAL[$1]:-}" ]; }

require_distinct_ports() {
    local name
    declare -A seen=()
    for name in "${PORT_NAMES[@]}"; do
        [ -z "${seen[${!name}]:-}" ] || die "${seen[${!name}]} and $name are both ${!name}" "Use a different port for each."
        seen[${!name}]=$name
    done
}

# without_password URL → the URL for display.
without_password() { sed -E 's#//[^/@]*@#//…@#g' <<<"$1"; }
