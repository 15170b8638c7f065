# shellcheck shell=bash
# Where things are, which ports they use, and which parts are somebody else's. What `up` was told is remembered in
# the state directory, so that `status`, `logs`, `down` and the next `up` need not be told again.

LC_ALL=C.UTF-8
export LC_ALL

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
STATE=$(realpath -m "${TIDEMARK_STATE:-$ROOT/.local}")
CACHE=$(realpath -m "${XDG_CACHE_HOME:-${HOME:?HOME must be set}/.cache}/tidemark")
BIN=$(cd "$ROOT" && realpath -m "${CARGO_TARGET_DIR:-target}")/release

# In the order in which they are started; they are stopped the other way round.
STORES=(kafka redis clickhouse)
SERVICES=(gateway ingest-worker query-api)
PARTS=("${STORES[@]}" "${SERVICES[@]}")

PORT_NAMES=(
    GATEWAY_PORT QUERY_PORT GATEWAY_OPS_PORT WORKER_OPS_PORT QUERY_OPS_PORT
    KAFKA_PORT KAFKA_CONTROLLER_PORT REDIS_PORT CLICKHOUSE_PORT
)
declare -A DEFAULT_PORT=(
    [GATEWAY_PORT]=8080 [QUERY_PORT]=8090
    [GATEWAY_OPS_PORT]=9080 [WORKER_OPS_PORT]=9081 [QUERY_OPS_PORT]=9082
    [KAFKA_PORT]=9092 [KAFKA_CONTROLLER_PORT]=9093 [REDIS_PORT]=6379 [CLICKHOUSE_PORT]=8123
)
# The ports that a part listens on; the first is the one that others connect to.
declare -A PORTS_OF=(
    [kafka]="KAFKA_PORT KAFKA_CONTROLLER_PORT" [redis]="REDIS_PORT" [clickhouse]="CLICKHOUSE_PORT"
    [gateway]="GATEWAY_PORT GATEWAY_OPS_PORT" [ingest-worker]="WORKER_OPS_PORT" [query-api]="QUERY_PORT QUERY_OPS_PORT"
)
# The setting that names each store's address.
declare -A ADDRESS_OF=([kafka]=KAFKA_BROKERS [redis]=REDIS_URL [clickhouse]=CLICKHOUSE_URL)

declare -A EXTERNAL=()

# read_value FILE KEY → the value of a KEY=VALUE line, nothing when it is not there.
read_value() {
    [ ! -f "$1" ] || sed -n "s/^$2=//p" "$1" | tail -n 1
}

# write_private FILE: standard input becomes the file, whole or not at all, readable by its owner alone.
write_private() {
    mkdir -p "$(dirname "$1")"
    (umask 077 && cat >"$1.new")
    mv -f "$1.new" "$1"
}

# load_settings: environment first, then what is remembered, then the default.
load_settings() {
    local name value
    for name in "${PORT_NAMES[@]}"; do
        value=${!name:-$(read_value "$STATE/settings" "$name")}
        value=${value:-${DEFAULT_PORT[$name]}}
        if ! [[ $value =~ ^[1-9][0-9]{0,4}$ ]] || [ "$value" -gt 65535 ]; then
            die "$name is '$value', which is no port" "A port is a number from 1 to 65535."
        fi
        printf -v "$name" '%s' "$value"
    done
    refuse_a_port_used_twice
    load_addresses
    GATEWAY_URL=http://127.0.0.1:$GATEWAY_PORT
    QUERY_URL=http://127.0.0.1:$QUERY_PORT
    GATEWAY_OPS_URL=http://127.0.0.1:$GATEWAY_OPS_PORT
    WORKER_OPS_URL=http://127.0.0.1:$WORKER_OPS_PORT
    QUERY_OPS_URL=http://127.0.0.1:$QUERY_OPS_PORT
}

# load_settings_of_last_up: what runs is what `up` was told, whatever the environment says now.
load_settings_of_last_up() {
    unset "${PORT_NAMES[@]}" "${ADDRESS_OF[@]}"
    load_settings
}

# A store whose address is given is somebody else's and is never started. An empty address means: the local one.
# So does the local one's own address, which is what a shell has that has read `.local/env`.
load_addresses() {
    local part name own given
    for part in "${STORES[@]}"; do
        name=${ADDRESS_OF[$part]}
        own=$(local_address "$part")
        given=${!name-$(read_value "$STATE/settings" "$name")}
        unset "EXTERNAL[$part]"
        if [ -n "$given" ] && [ "$given" != "$own" ]; then
            EXTERNAL[$part]=$given
        fi
        printf -v "$name" '%s' "${EXTERNAL[$part]:-$own}"
    done
}

local_address() {
    case $1 in
        kafka) echo "127.0.0.1:$KAFKA_PORT" ;;
        redis) echo "redis://127.0.0.1:$REDIS_PORT" ;;
        clickhouse) echo "http://127.0.0.1:$CLICKHOUSE_PORT" ;;
    esac
}

remember_settings() {
    local name part
    {
        for name in "${PORT_NAMES[@]}"; do echo "$name=${!name}"; done
        for part in "${!EXTERNAL[@]}"; do echo "${ADDRESS_OF[$part]}=${EXTERNAL[$part]}"; done
    } | write_private "$STATE/settings"
}

is_external() { [ -n "${EXTERNAL[$1]:-}" ]; }

refuse_a_port_used_twice() {
    local name
    declare -A seen=()
    for name in "${PORT_NAMES[@]}"; do
        [ -z "${seen[${!name}]:-}" ] || die "${seen[${!name}]} and $name are both ${!name}" "Give each part a port of its own."
        seen[${!name}]=$name
    done
}

# without_password URL: for showing.
without_password() { sed -E 's#//[^/@]*@#//…@#g' <<<"$1"; }
