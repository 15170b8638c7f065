# shellcheck shell=bash
# One Kafka broker that is its own controller (KRaft), from the jars that kafka/pom.xml lists. All of its data is in
# data/kafka. Needs STATE, KAFKA_PORT, KAFKA_CONTROLLER_PORT.

KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$HERE/kafka/pom.xml")
# The name contains a digest of the pom, so that another set of jars gets another directory.
KAFKA_CACHE=kafka-$KAFKA_VERSION-$(digest "$HERE/kafka/pom.xml")
KAFKA_CLASSPATH="$CACHE/$KAFKA_CACHE/*"

# More options of the broker's JVM.
KAFKA_JVM=()

kafka_is_cached() { [ -d "$CACHE/$KAFKA_CACHE" ]; }

install_kafka() { fetch_into_cache "$KAFKA_CACHE" fetch_kafka_jars; }

fetch_kafka_jars() {
    # -C fails the download if a jar does not have the checksum of the repository.
    run_logged "Kafka $KAFKA_VERSION" "$STATE/logs/install-kafka.log" \
        mvn -q -B -C -f "$HERE/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$1"
}

# prepare_kafka: writes the properties and formats the storage once. Storage without the marker file was never formatted
# completely and never used, so it is deleted.
prepare_kafka() {
    local data=$STATE/data/kafka id
    [ -f "$data/formatted" ] || rm -rf "$data"
    mkdir -p "$data/log"
    write_kafka_properties >"$data/server.properties"
    [ -f "$data/formatted" ] && return 0
    # 16 random bytes in URL-safe base64; a leading '-' would be parsed as an option.
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=' | sed 's/^-/T/')
    run_logged "Kafka storage" "$STATE/logs/format-kafka.log" \
        java -cp "$KAFKA_CLASSPATH" kafka.tools.StorageTool format \
        --cluster-id "$id" --config "$data/server.properties"
    touch "$data/formatted"
}

# write_kafka_properties → the contents of server.properties for this broker.
# shellcheck disable=SC2016 # The placeholders in single quotes are literal text.
write_kafka_properties() {
    local properties
    properties=$(<"$HERE/kafka/server.properties")
    # The replacements are quoted, so that an `&` in a path stands for itself.
    properties=${properties//'${CONTROLLER_PORT}'/"$KAFKA_CONTROLLER_PORT"}
    properties=${properties//'${LISTENERS}'/"PLAINTEXT://127.0.0.1:$KAFKA_PORT"}
    properties=${properties//'${ADVERTISED_LISTENERS}'/"PLAINTEXT://127.0.0.1:$KAFKA_PORT"}
    properties=${properties//'${SECURITY_PROTOCOLS}'/"PLAINTEXT:PLAINTEXT"}
    properties=${properties//'${LOG_DIRECTORY}'/"$STATE/data/kafka/log"}
    printf '%s\n' "$properties"
}

command_of_kafka() {
    local properties
    # The digest is part of the command, so that a changed property restarts the broker.
    properties=$(write_kafka_properties | sha256sum | cut -c1-16)
    PROGRAM=$(command -v java)
    COMMAND=(
        java -Xms128m -Xmx512m -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true "${KAFKA_JVM[@]}"
        "-Dlog4j2.configurationFile=$HERE/kafka/log4j2.properties" "-Dtidemark.properties=$properties"
        -cp "$KAFKA_CLASSPATH" kafka.Kafka "$STATE/data/kafka/server.properties"
    )
}

# kafka_answers HOST:PORT: the broker answers an ApiVersions request (key 18, version 0, no client id). An accepted
# connection alone does not prove that it serves requests.
kafka_answers() {
    local host=${1%:*} port=${1##*:} answer
    exec {answer}<>"/dev/tcp/$host/$port" || return 1
    printf '\0\0\0\012\0\022\0\0\0\0\0\1\377\377' >&"$answer"
    [ "$(timeout 2 head -c 8 <&"$answer" | wc -c)" -eq 8 ]
}

# The subshell hides the message of a refused connection and closes the descriptor.
kafka_is_ready() { (kafka_answers "$KAFKA_BROKERS") 2>/dev/null; }
