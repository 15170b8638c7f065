# shellcheck shell=bash
# The checks of a test run: each is timed, its result is recorded, and a failed one does not stop the others.
# Needs STATE; loaded by `test` and `campaign` after scratch.sh.

# The names of all checks, in the order of the summary.
CHECKS=()
# Exit status and times of each check.
declare -A CHECK_STATUS=() CHECK_WALL=() CHECK_CPU=()

# check NAME COMMAND...: runs a command with its output on the terminal.
check() {
    printf '\n==> %s\n' "$1"
    run_attached measure "$@" || true
    record_check "$1"
}

# check_in_background JOB_VARIABLE NICENESS NAME...: runs the functions check_NAME one after the other, with their output in
# files. A space in a name is a `_` in the name of its function.
check_in_background() {
    mkdir -p "$STATE/checks"
    start_job run_background_checks "${@:2}"
    printf -v "$1" '%s' "$JOB"
}

run_background_checks() {
    local name
    renice -n "$1" "$BASHPID" >/dev/null
    shift
    # Each in a subshell, whose CPU time is that of the check.
    for name in "$@"; do (measure "$name" "check_${name// /_}") >"$(check_file "$name").log" 2>&1 || true; done
}

# finish_background_checks JOB NAME...: waits for the job, records the results and prints the output of failed checks.
finish_background_checks() {
    local name
    wait_for_job "$1" || true
    shift
    for name in "$@"; do
        printf '\n==> %s\n' "$name"
        record_check "$name"
        if [ "${CHECK_STATUS[$name]}" -eq 0 ]; then
            tail -n 1 "$(check_file "$name").log"
        else
            cat "$(check_file "$name").log"
        fi
    done
}

# measure NAME COMMAND... → the exit status of the command. Writes it to a file, with the times.
measure() {
    local file status=0 began
    file=$(check_file "$1")
    shift
    mkdir -p "$STATE/checks"
    began=$(now_us)
    "$@" || status=$?
    # In a command substitution, `times` would report those of the subshell.
    times >"$file.times"
    echo "$status $(seconds_since "$began") $(cpu_seconds "$file.times")" >"$file"
    return "$status"
}

check_file() { echo "$STATE/checks/${1// /_}"; }

# cpu_seconds FILE → the sum of all times in the output of the builtin `times`.
cpu_seconds() {
    tr ' ' '\n' <"$1" | sed 's/s$//' | awk -F m '{ sum += $1 * 60 + $2 } END { printf "%.1f", sum }'
}

# record_check NAME: a check without a result was killed.
record_check() {
    local status wall cpu
    CHECKS+=("$1")
    read -r status wall cpu <"$(check_file "$1")" 2>/dev/null || status=
    CHECK_STATUS[$1]=${status:-1} CHECK_WALL[$1]=${wall:--} CHECK_CPU[$1]=${cpu:--}
}

# record_phase NAME BEGAN_US: a step of the script itself, which ends the script if it fails.
record_phase() {
    CHECKS+=("$1")
    CHECK_STATUS[$1]=0 CHECK_WALL[$1]=$(seconds_since "$2") CHECK_CPU[$1]=-
}

# print_checks: prints a table of all checks. Fails if one of them failed.
print_checks() {
    local name result failed=0
    printf '\n%-22s %-7s %9s %9s\n' '' '' 'elapsed s' 'CPU s'
    for name in "${CHECKS[@]}"; do
        result=ok
        if [ "${CHECK_STATUS[$name]}" -ne 0 ]; then
            result=FAILED
            failed=$((failed + 1))
        fi
        printf '%-22s %-7s %9s %9s\n' "$name" "$result" "${CHECK_WALL[$name]}" "${CHECK_CPU[$name]}"
    done
    [ "$failed" -eq 0 ]
}
