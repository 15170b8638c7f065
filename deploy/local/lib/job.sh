# shellcheck shell=bash
# Long work in the foreground of the script: builds, downloads, test runs. It runs in a process group of its own,
# so that a signal to the script ends all of it at once, and its progress is shown whether or not there is a terminal.

JOB=

# end_job: ends what run_job or run_job_aloud has under way, if anything.
end_job() {
    [ -n "$JOB" ] || return 0
    kill -TERM -- "-$JOB" 2>/dev/null || true
    wait "$JOB" 2>/dev/null || true
    JOB=
}

# start_job COMMAND...: runs it in the background, in its own process group, without standard input.
start_job() {
    set -m
    "$@" </dev/null &
    JOB=$!
    set +m
}

# finish_job → the job's exit status.
finish_job() {
    local status=0
    wait "$JOB" || status=$?
    JOB=
    return "$status"
}

# run_job LABEL LOG COMMAND...: quietly, or the script ends.
run_job() { try_job "$@" || exit 1; }

# try_job LABEL LOG COMMAND... → its exit status. Output goes into LOG; a line that tells the time and the newest line
# of the log is redrawn on a terminal, printed every 15 seconds elsewhere. Failure shows the log's end.
try_job() {
    local label=$1 log=$2 began next=15
    shift 2
    began=$(now_us)
    mkdir -p "$(dirname "$log")"
    start_job "$@" >"$log" 2>&1
    while kill -0 "$JOB" 2>/dev/null; do
        sleep 0.2
        if [ -t 1 ]; then
            printf '\r\033[K  %-15s %s s  %s' "$label" "$(seconds_since "$began")" "$(newest_line "$log" 60)"
        elif [ $(( ($(now_us) - began) / 1000000 )) -ge "$next" ]; then
            say_part "$label" "… $next s  $(newest_line "$log" 100)"
            next=$((next + 15))
        fi
    done
    [ ! -t 1 ] || printf '\r\033[K'
    if finish_job; then
        say_part "$label" "done in $(seconds_since "$began") s"
    else
        printf 'error: %s failed\n' "$label" >&2
        last_lines "$log" 40
        return 1
    fi
}

# run_job_aloud COMMAND...: output goes where the script's own goes. → its exit status.
run_job_aloud() {
    start_job "$@"
    finish_job
}

# newest_line LOG WIDTH: without colours and tabs, cut to the width.
newest_line() {
    tail -c 2000 "$1" 2>/dev/null | tr '\r\t' '\n ' | sed 's/\x1b\[[0-9;]*[A-Za-z]//g; /^ *$/d' | tail -n 1 | cut -c "1-$2"
}
