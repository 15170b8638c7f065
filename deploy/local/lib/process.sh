# shellcheck shell=bash
# Starts, finds, and stops the parts' processes. A part is known by its pid and the moment it was started, so that a
# pid that the system has given to somebody else is never taken for ours. Two files tell:
#   pids/<part>     the pid of the part itself
#   started/<part>  line 1: that process's birth; line 2: a digest of its command, settings and program file

# birth_of PID → boot and start time of a process, nothing when it is gone or only waits to be reaped.
birth_of() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # The name in field 2 may hold spaces and brackets; what follows its last bracket does not.
    read -ra stat <<<"${stat##*) }"
    [[ ${stat[0]} == [ZX] ]] || echo "$(cat /proc/sys/kernel/random/boot_id):${stat[19]}"
}

# part_pid PART → the pid, if that very process still runs.
part_pid() {
    local pid birth
    pid=$(cat "$STATE/pids/$1" 2>/dev/null) || return 0
    [[ $pid =~ ^[0-9]+$ ]] || return 0
    birth=$(birth_of "$pid")
    [ -z "$birth" ] || [ "$birth" != "$(sed -n 1p "$STATE/started/$1" 2>/dev/null)" ] || echo "$pid"
}

is_running() { [ -n "$(part_pid "$1")" ]; }

# digest_of PROGRAM COMMAND...: changes when the program file is replaced or the command is another.
digest_of() {
    { stat -L -c '%d:%i:%Y:%s' "$1" 2>/dev/null || true; shift; printf '%s\0' "$@"; } | sha256sum | cut -d' ' -f1
}

# is_current PART PROGRAM COMMAND...: what runs is what would be started now.
is_current() {
    local part=$1
    shift
    [ "$(sed -n 2p "$STATE/started/$part" 2>/dev/null)" = "$(digest_of "$@")" ]
}

# start_detached PART PROGRAM COMMAND...: in a session of its own, with no descriptor of ours, output into its log.
# Words NAME=VALUE before the command are its environment: secrets must not be seen in arguments.
start_detached() {
    local part=$1 program=$2 digest
    shift 2
    digest=$(digest_of "$program" "$@")
    mkdir -p "$STATE/pids" "$STATE/started" "$STATE/logs"
    keep_log_small "$STATE/logs/$part.log"
    printf -- '---- started %(%FT%T%z)T ----\n' -1 >>"$STATE/logs/$part.log"
    (
        trap - EXIT INT TERM HUP
        close_all_but_standard
        cd "$STATE" || exit 1
        # exec keeps the pid, and setsid does not fork, for a child started here leads no process group.
        self=$BASHPID
        printf '%s\n%s\n' "$(birth_of "$self")" "$digest" >"$STATE/started/$part"
        echo "$self" >"$STATE/pids/$part.new"
        mv -f "$STATE/pids/$part.new" "$STATE/pids/$part"
        while [[ $1 =~ ^[A-Z_]+= ]]; do
            export "${1?}"
            shift
        done
        exec setsid "$@"
    ) </dev/null >>"$STATE/logs/$part.log" 2>&1 &
    disown
    wait_for_pid_file "$part" "$!"
}

# One older log is kept; a part that runs for months is somebody else's to rotate.
keep_log_small() {
    if [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -gt 20000000 ]; then mv -f "$1" "$1.1"; fi
}

close_all_but_standard() {
    local fd
    for fd in "/proc/$BASHPID/fd/"*; do
        fd=${fd##*/}
        # 255 is where bash reads the script from; it closes that itself at the exec.
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

# give_up_if_dead PART, give_up_if_late PART BEGAN_US SECONDS: a part that will not get ready ends the script.
give_up_if_dead() {
    is_running "$1" && return 0
    printf 'error: %s stopped while starting\n' "$1" >&2
    last_lines "$STATE/logs/$1.log"
    exit 1
}
give_up_if_late() {
    [ $(( ($(now_us) - $2) / 1000000 )) -ge "$3" ] || return 0
    printf 'error: %s is not ready after %s s\n' "$1" "$3" >&2
    last_lines "$STATE/logs/$1.log"
    exit 1
}

# stop_part PART: asks, waits as long as that part may need, and only then kills it: all of them survive that.
stop_part() {
    local part=$1 pid limit=25 began
    [ "$part" != kafka ] || limit=60
    pid=$(part_pid "$part")
    if [ -n "$pid" ]; then
        began=$(now_us)
        kill -TERM "$pid" 2>/dev/null || true
        while is_running "$part"; do
            if [ $(( ($(now_us) - began) / 1000000 )) -ge "$limit" ]; then
                say_part "$part" "did not stop within $limit s: killed"
                kill -KILL "$pid" 2>/dev/null || true
                limit=$((limit + 10))
            fi
            sleep 0.05
        done
        say_part "$part" "stopped in $(seconds_since "$began") s"
    fi
    rm -f "$STATE/pids/$part" "$STATE/started/$part"
}
