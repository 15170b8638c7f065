# shellcheck shell=bash
# The demo project and its connection, made through the management API like anybody's, once; and what to do with them.

# load_demo: from the last time; each is empty when it was never made.
load_demo() {
    OPERATOR_TOKEN=${OPERATOR_TOKEN:-$(read_value "$STATE/env" OPERATOR_TOKEN)}
    # 32 random bytes in hex.
    OPERATOR_TOKEN=${OPERATOR_TOKEN:-$(od -An -N32 -v -tx1 /dev/urandom | tr -d ' \n')}
    ADDRESS_HASH_KEY=${ADDRESS_HASH_KEY:-$(read_value "$STATE/env" ADDRESS_HASH_KEY)}
    ADDRESS_HASH_KEY=${ADDRESS_HASH_KEY:-$(od -An -N32 -v -tx1 /dev/urandom | tr -d ' \n')}
    DEMO_PROJECT_ID=$(read_value "$STATE/env" DEMO_PROJECT_ID)
    DEMO_MANAGE_KEY=$(read_value "$STATE/env" DEMO_MANAGE_KEY)
    DEMO_API_KEY=$(read_value "$STATE/env" DEMO_API_KEY)
}

save_env() {
    local name
    for name in GATEWAY_URL QUERY_URL GATEWAY_OPS_URL WORKER_OPS_URL QUERY_OPS_URL OPERATOR_TOKEN ADDRESS_HASH_KEY \
        DEMO_PROJECT_ID DEMO_API_KEY DEMO_MANAGE_KEY KAFKA_BROKERS REDIS_URL CLICKHOUSE_URL; do
        echo "$name=${!name}"
    done | write_private "$STATE/env"
}

# make_demo: saved after each step, so that a broken-off run goes on where it was.
make_demo() {
    local status answer
    if [ -n "$DEMO_MANAGE_KEY" ]; then
        call GET "/projects/$DEMO_PROJECT_ID" "$DEMO_MANAGE_KEY"
        case $status in
            200) ;;
            401 | 404)
                say_part demo "the project of the last time is not known any more: making another"
                DEMO_PROJECT_ID='' DEMO_MANAGE_KEY='' DEMO_API_KEY=''
                ;;
            *) refuse_answer "GET /projects/$DEMO_PROJECT_ID" ;;
        esac
    fi
    if [ -z "$DEMO_MANAGE_KEY" ]; then
        call POST /projects "$OPERATOR_TOKEN" '{"name":"Demo","plan":"unlimited"}'
        [ "$status" = 201 ] || refuse_answer "POST /projects"
        DEMO_PROJECT_ID=$(json_string projectId "$answer")
        DEMO_MANAGE_KEY=$(json_string manageKey "$answer")
        save_env
    fi
    if [ -z "$DEMO_API_KEY" ]; then
        call POST /connections "$DEMO_MANAGE_KEY" '{"name":"Demo Webhook"}'
        [ "$status" = 201 ] || refuse_answer "POST /connections"
        DEMO_API_KEY=$(json_string apiKey "$answer")
        save_env
        say_part demo "project and connection made"
    fi
}

# call METHOD PATH TOKEN [BODY] → status and answer, in the caller's variables. The token goes through a descriptor:
# arguments can be read by everyone on the machine. What is unavailable for the moment is asked again for 30 s.
call() {
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

refuse_answer() { die "$1 was answered with ${status:-nothing}" "$answer" "The log: $STATE/logs/query-api.log"; }

# json_string KEY JSON → its value; only for ids, keys and URLs, which need no unescaping.
json_string() {
    local value
    value=$(sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" <<<"$2")
    [ -n "$value" ] || die "an answer lacks $1"
    echo "$value"
}

say_how_to_use_it() {
    cat <<TEXT

  Page          $QUERY_URL/
  Sign in with  $DEMO_MANAGE_KEY

  Webhook URL   $GATEWAY_URL/api/webhooks/custom
  API key       $DEMO_API_KEY
  Project id    $DEMO_PROJECT_ID

Send a metric:

curl -sS -X POST '$GATEWAY_URL/api/webhooks/custom' -H 'Authorization: Bearer $DEMO_API_KEY' -H 'Content-Type: application/json' -d '{"projectId":"$DEMO_PROJECT_ID","metrics":[{"metricId":"daily_signups","metricName":"Daily Signups","value":42,"unit":"count"}]}'

See it on the page, or so, within a second:

curl -sS -H 'Authorization: Bearer $DEMO_MANAGE_KEY' '$QUERY_URL/api/v1/metrics/daily_signups/points'

The API's description: $QUERY_URL/api/v1/openapi.json. All keys: $STATE/env
TEXT
}
