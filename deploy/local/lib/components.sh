# shellcheck shell=bash
# What all parts have in common: each can be prepared, commanded, and asked whether it is ready.

prepare_part() {
    case $1 in
        kafka | redis | clickhouse) "prepare_$1" ;;
        *) prepare_service "$1" ;;
    esac
}

# command_of PART: sets PROGRAM, the file that runs, and COMMAND, how it is called.
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

# is_reachable ADDRESS...: one of them accepts a connection. All that can be asked of a store that is not ours without
# knowing its passwords and certificates; the services' own readiness tells the rest.
is_reachable() {
    local address
    for address in $(addresses_in "$1"); do
        # shellcheck disable=SC2016 # the inner shell expands them
        if timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "${address%:*}" "${address##*:}" 2>/dev/null; then return 0; fi
    done
    return 1
}

# addresses_in "host:port,…" or a URL → a "host:port" for each.
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

# stop_outdated: stops what runs with an older program or other settings, the last started first.
stop_outdated() {
    local index part
    for ((index = ${#PARTS[@]} - 1; index >= 0; index--)); do
        part=${PARTS[index]}
        is_running "$part" || continue
        if is_external "$part"; then
            say_part "$part" "replaced by $(without_password "${EXTERNAL[$part]}")"
            stop_part "$part"
            continue
        fi
        command_of "$part"
        if ! is_current "$part" "$PROGRAM" "${COMMAND[@]}"; then
            say_part "$part" "has changed: restarting"
            stop_part "$part"
        fi
    done
}

# refuse_unreachable_stores: those that are not ours.
refuse_unreachable_stores() {
    local part address
    for part in "${!EXTERNAL[@]}"; do
        address=$(without_password "${EXTERNAL[$part]}")
        is_reachable "${EXTERNAL[$part]}" || die "${ADDRESS_OF[$part]} is $address, where nothing answers" \
            "Correct it, or give it empty to use the local one again: ${ADDRESS_OF[$part]}= deploy/local/up"
    done
}

# refuse_taken_ports: of the parts that are to be started or moved, before anything slow is done for them.
refuse_taken_ports() {
    local part name
    for part in "${PARTS[@]}"; do
        is_external "$part" && continue
        for name in ${PORTS_OF[$part]}; do
            if is_running "$part" && [ "$(read_value "$STATE/settings" "$name")" = "${!name}" ]; then continue; fi
            refuse_a_taken_port "$part" "$name" "${!name}"
        done
    done
}

# start_parts PART...: starts those that are down, all at once, and returns when all are ready.
start_parts() {
    local part began
    local -a started=() waiting=()
    began=$(now_us)
    for part in "$@"; do
        if is_external "$part"; then
            say_part "$part" "not ours: $(without_password "${EXTERNAL[$part]}")"
        elif is_running "$part"; then
            waiting+=("$part")
        else
            prepare_part "$part"
            command_of "$part"
            start_detached "$part" "$PROGRAM" "${COMMAND[@]}"
            started+=("$part")
        fi
    done
    wait_until_ready "$began" "was running" "${waiting[@]}"
    wait_until_ready "$began" "ready" "${started[@]}"
}

# wait_until_ready BEGAN_US WORD PART...: says each with the time that it took, in the order in which they get ready.
wait_until_ready() {
    local began=$1 word=$2 part limit=90
    shift 2
    local -a waiting=("$@") still=()
    while [ ${#waiting[@]} -gt 0 ]; do
        still=()
        for part in "${waiting[@]}"; do
            if is_ready "$part" >/dev/null 2>&1; then
                say_part "$part" "$word ($(seconds_since "$began") s)"
                continue
            fi
            give_up_if_dead "$part"
            give_up_if_late "$part" "$began" "$limit"
            still+=("$part")
        done
        waiting=("${still[@]}")
        [ ${#waiting[@]} -eq 0 ] || sleep 0.1
    done
}

# stop_parts: everything that was started here, the last started first. → STOPPED, how many there were.
stop_parts() {
    local index
    STOPPED=0
    for ((index = ${#PARTS[@]} - 1; index >= 0; index--)); do
        ! is_running "${PARTS[index]}" || STOPPED=$((STOPPED + 1))
        stop_part "${PARTS[index]}"
    done
}
