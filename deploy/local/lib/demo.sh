# shellcheck shell=bash
# The demo project and its connection. They are created once, through the management API.

# load_demo: reads the secrets and ids of the last `up`; creates the secrets that the operator did not set.
load_demo() {
    OPERATOR_TOKEN=${OPERATOR_TOKEN:-$(read_value "$STATE/env" OPERATOR_TOKEN)}
    OPERATOR_TOKEN=${OPERATOR_TOKEN:-$(random_secret)}
    ADDRESS_HASH_KEY=${ADDRESS_HASH_KEY:-$(read_value "$STATE/env" ADDRESS_HASH_KEY)}
    ADDRESS_HASH_KEY=${ADDRESS_HASH_KEY:-$(random_secret)}
    DEMO_PROJECT_ID=$(read_value "$STATE/env" DEMO_PROJECT_ID)
    DEMO_MANAGE_KEY=$(read_value "$STATE/env" DEMO_MANAGE_KEY)
    DEMO_API_KEY=$(read_value "$STATE/env" DEMO_API_KEY)
}

# random_secret → 32 random bytes in hexadecimal.
random_secret() { od -An -N32 -v -tx1 /dev/urandom | tr -d ' \n'; }

save_env() {
    local name
    for name in GATEWAY_URL QUERY_URL GATEWAY_OPS_URL WORKER_OPS_URL QUERY_OPS_URL OPERATOR_TOKEN ADDRESS_HASH_KEY \
        DEMO_PROJECT_ID DEMO_API_KEY DEMO_MANAGE_KEY KAFKA_BROKERS REDIS_URL CLICKHOUSE_URL; do
        echo "$name=${!name}"
    done | write_private "$STATE/env"
}

# create_demo: saves its state after each step, so that an interrupted run can be continued.
create_demo() {
    local status answer
    if [ -n "$DEMO_MANAGE_KEY" ]; then
        call_api GET "/projects/$DEMO_PROJECT_ID" "$DEMO_MANAGE_KEY"
        case $status in
            200) ;;
            401 | 404)
                report demo "the previous demo project no longer exists: creating another"
                DEMO_PROJECT_ID='' DEMO_MANAGE_KEY='' DEMO_API_KEY=''
                ;;
            *) die_of_answer "GET /projects/$DEMO_PROJECT_ID" ;;
        esac
    fi
    if [ -z "$DEMO_MANAGE_KEY" ]; then
        call_api POST /projects "$OPERATOR_TOKEN" '{"name":"Demo","plan":"unlimited"}'
        [ "$status" = 201 ] || die_of_answer "POST /projects"
        DEMO_PROJECT_ID=$(json_string projectId "$answer")
        DEMO_MANAGE_KEY=$(json_string manageKey "$answer")
        save_env
    fi
    if [ -z "$DEMO_API_KEY" ]; then
        call_api POST /connections "$DEMO_MANAGE_KEY" '{"name":"Demo Webhook"}'
        [ "$status" = 201 ] || die_of_answer "POST /connections"
        DEMO_API_KEY=$(json_string apiKey "$answer")
        save_env
        report demo "project and connection created"
    fi
}

# call_api METHOD PATH TOKEN [BODY] → status and answer, variables of the caller. The token is passed through a
# descriptor, because arguments are visible to every user of the machine. Temporary failures are retried for 30 s.
call_api() {
    local began reply
    began=$(now_us)
    while :; do
        reply=$(curl -sS -m 10 -X "$1" -H @<(echo "Authorization: Bearer $3") -H 'Content-Type: application/json' \
            ${4:+-d "$4"} -w '\n%{http_code}' "$QUERY_URL/api/v1$2" 2>&1) || true
        status=${reply##*$'\n'}
        answer=${reply%$'\n'*}
        case $status in
            000 | 429 | 5??) [ $(( ($(now_us) - began) / 1000000 )) -lt 30 ] || return 0 ;;
            *) return 0 ;;
        esac
        sleep 0.5
    done
}

die_of_answer() { die "$1 was answered with status ${status:-none}" "$answer" "Log: $STATE/logs/query-api.log"; }

# json_string KEY JSON → the value of a string. It does not unescape; ids, keys and URLs need no escapes.
json_string() {
    local value
    value=$(sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" <<<"$2")
    [ -n "$value" ] || die "an answer has no $1"
    echo "$value"
}

print_instructions() {
    cat <<TEXT

  Page          $QUERY_URL/
  Sign in with  $DEMO_MANAGE_KEY

  Webhook URL   $GATEWAY_URL/api/webhooks/custom
  API key       $DEMO_API_KEY
  Project id    $DEMO_PROJECT_ID

Send a metric:

curl -sS -X POST '$GATEWAY_URL/api/webhooks/custom' -H 'Authorization: Bearer $DEMO_API_KEY' -H 'Content-Type: application/json' -d '{"projectId":"$DEMO_PROJECT_ID","metrics":[{"metricId":"daily_signups","metricName":"Daily Signups","value":42,"unit":"count"}]}'

Read it, within a second, on the page or with:

curl -sS -H 'Authorization: Bearer $DEMO_MANAGE_KEY' '$QUERY_URL/api/v1/metrics/daily_signups/points'

API description: $QUERY_URL/api/v1/openapi.json. All keys: $STATE/env
TEXT
}
