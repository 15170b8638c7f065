#!/usr/bin/env bash
# Sends one metric to Tidemark, with curl.
set -euo pipefail

usage() {
    cat >&2 <<'TEXT'
usage: send.sh METRIC_ID VALUE [NAME] [UNIT]

TIDEMARK_URL         the webhook URL of the connection, https://…/api/webhooks/custom
TIDEMARK_API_KEY     its API key
TIDEMARK_PROJECT_ID  the project that the key belongs to
TIDEMARK_MAX_WAIT    time limit for retries in seconds, default 60

Exit status: 0 accepted, 1 rejected (do not retry), 2 usage error, 75 temporary failure (try again later).
TEXT
    exit 2
}

log() { printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" >&2; }

fail() {
    log "$2"
    exit "$1"
}

# json_string TEXT → TEXT as a JSON string.
json_string() {
    local text=$1
    [[ $text != *[[:cntrl:]]* ]] || fail 2 "control characters are not allowed in names, ids and units"
    text=${text//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# response_field NAME → the first string or number of that name in the response; nothing when there is none.
response_field() { sed -n 's/.*"'"$1"'" *: *"\{0,1\}\([^",}]*\).*/\1/p' "$WORK/response" | head -n 1; }

# retry_delay → seconds before the next attempt: the value of Retry-After; otherwise 1, 2, 4 … 32 s plus a random part of
# the same size, so that clients do not retry in step.
retry_delay() {
    local retry_after backoff
    retry_after=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9][0-9]*\).*/\1/p' "$WORK/headers" | tail -n 1)
    backoff=$((1 << (ATTEMPT < 6 ? ATTEMPT - 1 : 5)))
    echo "${retry_after:-$((backoff + RANDOM % backoff))}"
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
# Optional fields that are empty are left out; without a name, the server derives one from the id.
[ -z "${3:-}" ] || METRIC+=",\"metricName\":$(json_string "$3")"
[ -z "${4:-}" ] || METRIC+=",\"unit\":$(json_string "$4")"
BODY="{\"projectId\":$(json_string "$TIDEMARK_PROJECT_ID"),\"metrics\":[$METRIC}]}"

# All attempts carry the same key, so that a batch whose response was lost is not stored twice.
IDEMPOTENCY_KEY=$(od -An -N16 -v -tx1 /dev/urandom | tr -d ' \n')

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
SECONDS=0
ATTEMPT=0
while :; do
    ATTEMPT=$((ATTEMPT + 1))
    : >"$WORK/headers"
    : >"$WORK/response"
    # curl reads the key from standard input, because every user of the machine can read a command's arguments.
    STATUS=$(printf 'header = "Authorization: Bearer %s"\n' "$TIDEMARK_API_KEY" |
        curl -sS --config - --max-time 10 -X POST "$TIDEMARK_URL" \
            -H 'Content-Type: application/json' -H "Idempotency-Key: $IDEMPOTENCY_KEY" --data-raw "$BODY" \
            -D "$WORK/headers" -o "$WORK/response" -w '%{http_code}' 2>"$WORK/error") || STATUS=000

    case $STATUS in
        200)
            log "accepted $(response_field accepted), batch $(response_field batchId)"
            exit 0
            ;;
        000)
            # No response, or an incomplete one. The batch may have been stored; the idempotency key makes a retry safe.
            REASON="no response: $(tr '\n' ' ' <"$WORK/error")"
            ;;
        429 | 5??) REASON="$STATUS $(response_field error): $(response_field message)" ;;
        *) fail 1 "$STATUS $(cat "$WORK/response")" ;;
    esac

    WAIT=$(retry_delay)
    if [ $((SECONDS + WAIT)) -gt "$MAX_WAIT" ]; then
        fail 75 "$REASON (gave up after attempt $ATTEMPT: the next one would be in $WAIT s)"
    fi
    log "attempt $ATTEMPT failed: $REASON; retrying in $WAIT s"
    sleep "$WAIT"
done
