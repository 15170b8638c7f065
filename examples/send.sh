#!/usr/bin/env bash
# Sends one metric to Tidemark, with curl.
set -euo pipefail

usage() {
    cat >&2 <<'TEXT'
usage: send.sh METRIC_ID VALUE [NAME] [UNIT]

TIDEMARK_URL         the webhook URL of the connection, https://…/api/webhooks/custom
TIDEMARK_API_KEY     its API key
TIDEMARK_PROJECT_ID  the project that the key belongs to
TIDEMARK_MAX_WAIT    seconds to go on trying, default 60

Exit status: 0 accepted, 1 refused (repeating will not help), 2 wrong call, 75 not now (try again later).
TEXT
    exit 2
}

log() { printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" >&2; }

fail() {
    log "$2"
    exit "$1"
}

# json_string TEXT → the text as a JSON string.
json_string() {
    local text=$1
    [[ $text != *[[:cntrl:]]* ]] || fail 2 "control characters are not allowed in names, ids and units"
    text=${text//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# from_json KEY → the first string or number of that name in the answer, nothing when there is none.
from_json() { sed -n 's/.*"'"$1"'" *: *"\{0,1\}\([^",}]*\).*/\1/p' "$WORK/answer" | head -n 1; }

# What the server asks for in whole seconds; else 1, 2, 4 … up to 32 s, and up to as much again less one at random, so
# that many clients do not come back all at once.
seconds_to_wait() {
    local asked backoff
    asked=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9][0-9]*\).*/\1/p' "$WORK/headers" | tail -n 1)
    backoff=$((1 << (ATTEMPT < 6 ? ATTEMPT - 1 : 5)))
    echo "${asked:-$((backoff + RANDOM % backoff))}"
}

[[ $# -ge 2 && $# -le 4 ]] || usage
for name in TIDEMARK_URL TIDEMARK_API_KEY TIDEMARK_PROJECT_ID; do
    [ -n "${!name:-}" ] || fail 2 "$name is not set"
done
[[ $TIDEMARK_URL =~ ^https?:// ]] || fail 2 "TIDEMARK_URL is not an http or https address: $TIDEMARK_URL"
[[ $2 =~ ^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$ ]] || fail 2 "the value '$2' is not a number"
MAX_WAIT=${TIDEMARK_MAX_WAIT:-60}
[[ $MAX_WAIT =~ ^[0-9]+$ ]] || fail 2 "TIDEMARK_MAX_WAIT is not a whole number of seconds"

METRIC="{\"metricId\":$(json_string "$1"),\"value\":$2,\"timestamp\":$(date +%s)000"
# Left out where it is empty: the server then makes a name of the id.
[ -z "${3:-}" ] || METRIC+=",\"metricName\":$(json_string "$3")"
[ -z "${4:-}" ] || METRIC+=",\"unit\":$(json_string "$4")"
BODY="{\"projectId\":$(json_string "$TIDEMARK_PROJECT_ID"),\"metrics\":[$METRIC}]}"

# The same for every try: a batch whose answer was lost on the way is not stored twice.
IDEMPOTENCY_KEY=$(od -An -N16 -v -tx1 /dev/urandom | tr -d ' \n')

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
SECONDS=0
ATTEMPT=0
while :; do
    ATTEMPT=$((ATTEMPT + 1))
    : >"$WORK/headers"
    : >"$WORK/answer"
    # The key goes in by standard input: a command's arguments can be read by everyone on the machine.
    STATUS=$(printf 'header = "Authorization: Bearer %s"\n' "$TIDEMARK_API_KEY" |
        curl -sS --config - --max-time 10 -X POST "$TIDEMARK_URL" \
            -H 'Content-Type: application/json' -H "Idempotency-Key: $IDEMPOTENCY_KEY" --data-raw "$BODY" \
            -D "$WORK/headers" -o "$WORK/answer" -w '%{http_code}' 2>"$WORK/fault") || STATUS=000

    case $STATUS in
        200)
            log "accepted $(from_json accepted), batch $(from_json batchId)"
            exit 0
            ;;
        000)
            # No answer, or not a whole one. The batch may have been stored all the same; repeating it is safe.
            WHY="no answer: $(tr '\n' ' ' <"$WORK/fault")"
            ;;
        429 | 5??) WHY="$STATUS $(from_json error): $(from_json message)" ;;
        *) fail 1 "$STATUS $(cat "$WORK/answer")" ;;
    esac

    WAIT=$(seconds_to_wait)
    if [ $((SECONDS + WAIT)) -gt "$MAX_WAIT" ]; then
        fail 75 "$WHY (gave up after try $ATTEMPT; the next would be in $WAIT s)"
    fi
    log "try $ATTEMPT: $WHY; next in $WAIT s"
    sleep "$WAIT"
done
