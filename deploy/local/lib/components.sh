# shellcheck shell=bash
# Starts and stops stores and services. Each component defines how to prepare its data, its command, and its readiness
# check.

prepare_component() {
    case $1 in
        kafka | redis | clickhouse) "prepare_$1" ;;
        *) prepare_service "$1" ;;
    esac
}

# command_of COMPONENT: sets PROGRAM, the path of the program file, and COMMAND, its command line.
command_of() {
    case $1 in
        kafka | redis | clickhouse) "command_of_$1" ;;
        *) command_of_service "$1" ;;
    esac
}

is_ready() {
    case $1 in
        kafka | redis | clickhouse) "$1_is_ready" ;;
        *) service_is_ready "$1" ;;
    esac
}

# is_reachable ADDRESSES: one of the addresses accepts a connection. No more can be checked for an external store
# without its passwords and certificates; the services' readiness covers the rest.
is_reachable() {
    local address
    for address in $(addresses_in "$1"); do
        # shellcheck disable=SC2016 # The inner shell expands the parameters.
        if timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "${address%:*}" "${address##*:}" 2>/dev/null; then return 0; fi
    done
    return 1
}

# addresses_in "host:port,…" or a URL → one "host:port" per line.
addresses_in() {
    local item port
    for item in ${1//,/ }; do
        case $item in
            https://*) port=443 ;;
            http://*) port=80 ;;
            *) port=6379 ;;
        esac
        item=${item#*://}
        item=${item%%/*}
        item=${item##*@}
        [[ $item =~ :[0-9]+$ ]] || item=$item:$port
        echo "${item//[\[\]]/}"
    done
}

# stop_outdated: stops components whose program or settings have changed, and local stores that an external one
# replaces, in reverse start order.
stop_outdated() {
    local index component
    for ((index = ${#COMPONENTS[@]} - 1; index >= 0; index--)); do
        component=${COMPONENTS[index]}
        is_running "$component" || continue
        if is_external "$component"; then
            report "$component" "replaced by $(without_password "${EXTERNAL[$component]}")"
            stop_component "$component"
            continue
        fi
        command_of "$component"
        if ! is_up_to_date "$component" "$PROGRAM" "${COMMAND[@]}"; then
            report "$component" "program or settings changed: restarting"
            stop_component "$component"
        fi
    done
}

# require_reachable_stores: fails if an external store cannot be reached.
require_reachable_stores() {
    local store address
    for store in "${!EXTERNAL[@]}"; do
        address=$(without_password "${EXTERNAL[$store]}")
        is_reachable "${EXTERNAL[$store]}" || die "no connection to $address (${ADDRESS_OF[$store]})" \
            "Correct the address, or leave it empty to use the local store again: ${ADDRESS_OF[$store]}= deploy/local/up"
    done
}

# require_free_ports: fails if a port of a component that will be started or moved is in use. It runs before any slow
# step.
require_free_ports() {
    local component name
    for component in "${COMPONENTS[@]}"; do
        is_external "$component" && continue
        for name in ${PORTS_OF[$component]}; do
            if is_running "$component" && [ "$(read_value "$STATE/settings" "$name")" = "${!name}" ]; then continue; fi
            require_free_port "$component" "$name" "${!name}"
        done
    done
}

# start_components COMPONENT...: starts those that are down, all at once, and returns when all are ready.
start_components() {
    local component began
    local -a started=() running=()
    began=$(now_us)
    for component in "$@"; do
        if is_external "$component"; then
            report "$component" "external: $(without_password "${EXTERNAL[$component]}")"
        elif is_running "$component"; then
            running+=("$component")
        else
            prepare_component "$component"
            command_of "$component"
            start_detached "$component" "$PROGRAM" "${COMMAND[@]}"
            started+=("$component")
        fi
    done
    wait_until_ready "$began" "already running" "${running[@]}"
    wait_until_ready "$began" "ready" "${started[@]}"
}

# wait_until_ready BEGAN_US STATUS COMPONENT...: reports each component with the elapsed time, in the order in which they
# become ready.
wait_until_ready() {
    local began=$1 status=$2 component limit=90
    shift 2
    local -a waiting=("$@") remaining=()
    while [ ${#waiting[@]} -gt 0 ]; do
        remaining=()
        for component in "${waiting[@]}"; do
            if is_ready "$component" >/dev/null 2>&1; then
                report "$component" "$status ($(seconds_since "$began") s)"
                continue
            fi
            fail_if_exited "$component"
            fail_if_late "$component" "$began" "$limit"
            remaining+=("$component")
        done
        waiting=("${remaining[@]}")
        [ ${#waiting[@]} -eq 0 ] || sleep 0.1
    done
}

# stop_components: stops all components that were started here, in reverse start order. → STOPPED, their number.
stop_components() {
    local index
    STOPPED=0
    for ((index = ${#COMPONENTS[@]} - 1; index >= 0; index--)); do
        ! is_running "${COMPONENTS[index]}" || STOPPED=$((STOPPED + 1))
        stop_component "${COMPONENTS[index]}"
    done
}
