# shellcheck shell=bash
# Starts, finds and stops the processes of components. A process is identified by its pid and its start time, so that a
# pid that the system has reused is never mistaken for a component. Two files per component record it:
#   pids/<component>     the pid
#   started/<component>  line 1: the start time; line 2: a digest of its command, settings and program file

# process_start PID → boot id and start time of a process; nothing if it has exited or is a zombie.
process_start() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # Field 2, the name, may contain spaces and brackets. The fields after its last bracket do not.
    read -ra stat <<<"${stat##*) }"
    [[ ${stat[0]} == [ZX] ]] || echo "$(cat /proc/sys/kernel/random/boot_id):${stat[19]}"
}

# component_pid COMPONENT → the pid if that process is still running.
component_pid() {
    local pid started
    pid=$(cat "$STATE/pids/$1" 2>/dev/null) || return 0
    [[ $pid =~ ^[0-9]+$ ]] || return 0
    started=$(process_start "$pid")
    [ -z "$started" ] || [ "$started" != "$(sed -n 1p "$STATE/started/$1" 2>/dev/null)" ] || echo "$pid"
}

is_running() { [ -n "$(component_pid "$1")" ]; }

# command_digest PROGRAM COMMAND... → a digest that changes with the program file and with the command.
command_digest() {
    { stat -L -c '%d:%i:%Y:%s' "$1" 2>/dev/null || true; shift; printf '%s\0' "$@"; } | sha256sum | cut -d' ' -f1
}

# is_up_to_date COMPONENT PROGRAM COMMAND...: the running process was started with this program and command.
is_up_to_date() {
    local component=$1
    shift
    [ "$(sed -n 2p "$STATE/started/$component" 2>/dev/null)" = "$(command_digest "$@")" ]
}

# start_detached COMPONENT PROGRAM COMMAND...: starts a component in a session of its own, without inherited
# descriptors, with its output in its log. Words NAME=VALUE before the command become its environment, because
# arguments are visible to every user of the machine and secrets must not be.
start_detached() {
    local component=$1 program=$2 digest
    shift 2
    digest=$(command_digest "$program" "$@")
    mkdir -p "$STATE/pids" "$STATE/started" "$STATE/logs"
    rotate_log "$STATE/logs/$component.log"
    printf -- '---- started %(%FT%T%z)T ----\n' -1 >>"$STATE/logs/$component.log"
    (
        trap - EXIT INT TERM HUP
        close_inherited_descriptors
        cd "$STATE" || exit 1
        # The pid stays the same: exec keeps it, and setsid does not fork, because this child leads no process group.
        self=$BASHPID
        printf '%s\n%s\n' "$(process_start "$self")" "$digest" >"$STATE/started/$component"
        echo "$self" >"$STATE/pids/$component.new"
        mv -f "$STATE/pids/$component.new" "$STATE/pids/$component"
        while [[ $1 =~ ^[A-Z_]+= ]]; do
            export "${1?}"
            shift
        done
        exec setsid "$@"
    ) </dev/null >>"$STATE/logs/$component.log" 2>&1 &
    disown
    wait_for_pid_file "$component" "$!"
}

# rotate_log FILE: keeps one previous log. Rotation for installations that run for months is left to other tools.
rotate_log() {
    if [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -gt 20000000 ]; then mv -f "$1" "$1.1"; fi
}

close_inherited_descriptors() {
    local fd
    for fd in "/proc/$BASHPID/fd/"*; do
        fd=${fd##*/}
        # Bash reads the script from descriptor 255 and closes it at the exec.
        if [ "$fd" -gt 2 ] && [ "$fd" -ne 255 ]; then eval "exec $fd>&-"; fi
    done
}

wait_for_pid_file() {
    local tries
    for ((tries = 0; tries < 500; tries++)); do
        [ "$(cat "$STATE/pids/$1" 2>/dev/null)" != "$2" ] || return 0
        sleep 0.01
    done
    die "$1 could not be started" "Is $STATE writable?"
}

# fail_if_exited COMPONENT: ends the script if the component exited during its start.
fail_if_exited() {
    is_running "$1" && return 0
    printf 'error: %s exited during its start\n' "$1" >&2
    print_log_end "$STATE/logs/$1.log"
    exit 1
}

# fail_if_late COMPONENT BEGAN_US SECONDS: ends the script if the start has taken too long.
fail_if_late() {
    [ $(( ($(now_us) - $2) / 1000000 )) -ge "$3" ] || return 0
    printf 'error: %s is not ready after %s s\n' "$1" "$3" >&2
    print_log_end "$STATE/logs/$1.log"
    exit 1
}

# stop_component COMPONENT: sends SIGTERM, waits for the grace period, then sends SIGKILL. All components survive that.
stop_component() {
    local component=$1 pid limit=25 began
    [ "$component" != kafka ] || limit=60
    pid=$(component_pid "$component")
    if [ -n "$pid" ]; then
        began=$(now_us)
        kill -TERM "$pid" 2>/dev/null || true
        while is_running "$component"; do
            if [ $(( ($(now_us) - began) / 1000000 )) -ge "$limit" ]; then
                report "$component" "did not stop within $limit s: killed"
                kill -KILL "$pid" 2>/dev/null || true
                limit=$((limit + 10))
            fi
            sleep 0.05
        done
        report "$component" "stopped in $(seconds_since "$began") s"
    fi
    rm -f "$STATE/pids/$component" "$STATE/started/$component"
}
