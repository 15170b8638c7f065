# shellcheck shell=bash
# Builds, downloads and test runs. Each job runs in a process group of its own, so that a signal to the script stops
# all of its processes at once.

# Process groups that are running.
declare -A JOBS=()

# kill_jobs: stops every running job.
kill_jobs() {
    local job
    for job in "${!JOBS[@]}"; do kill -TERM -- "-$job" 2>/dev/null || true; done
    for job in "${!JOBS[@]}"; do wait "$job" 2>/dev/null || true; done
    JOBS=()
}

# start_job COMMAND...: starts a background job without standard input. → JOB, its process group.
start_job() {
    set -m
    "$@" </dev/null &
    JOB=$!
    set +m
    JOBS[$JOB]=1
}

# wait_for_job JOB → the exit status of the job.
wait_for_job() {
    local status=0
    wait "$1" || status=$?
    unset "JOBS[$1]"
    return "$status"
}

# run_logged LABEL LOG COMMAND...: like try_logged, but a failure ends the script.
run_logged() { try_logged "$@" || exit 1; }

# try_logged LABEL LOG COMMAND... → the exit status of the command. Its output goes to LOG. The elapsed time and the
# last line of the log are shown: redrawn on a terminal, printed every 15 seconds elsewhere.
try_logged() {
    local label=$1 log=$2 began next=15 job
    shift 2
    began=$(now_us)
    mkdir -p "$(dirname "$log")"
    start_job "$@" >"$log" 2>&1
    job=$JOB
    while kill -0 "$job" 2>/dev/null; do
        sleep 0.2
        if [ -t 1 ]; then
            printf '\r\033[K  %-15s %s s  %s' "$label" "$(seconds_since "$began")" "$(last_log_line "$log" 60)"
        elif [ $(( ($(now_us) - began) / 1000000 )) -ge "$next" ]; then
            report "$label" "… $next s  $(last_log_line "$log" 100)"
            next=$((next + 15))
        fi
    done
    [ ! -t 1 ] || printf '\r\033[K'
    if wait_for_job "$job"; then
        report "$label" "done in $(seconds_since "$began") s"
    else
        printf 'error: %s failed\n' "$label" >&2
        print_log_end "$log" 40
        return 1
    fi
}

# run_attached COMMAND... → its exit status. Its output is the script's output.
run_attached() {
    start_job "$@"
    wait_for_job "$JOB"
}

# last_log_line LOG WIDTH → the last non-empty line without colours and tabs, truncated.
last_log_line() {
    tail -c 2000 "$1" 2>/dev/null | tr '\r\t' '\n ' | sed 's/\x1b\[[0-9;]*[A-Za-z]//g; /^ *$/d' | tail -n 1 | cut -c "1-$2"
}
