# shellcheck shell=bash
# One Kafka broker that is its own controller (KRaft), from the jars that kafka/pom.xml names.
# Needs STATE, KAFKA_PORT, KAFKA_CONTROLLER_PORT. Data in data/kafka; lost when that directory is.

KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$HERE/kafka/pom.xml")
# The pom's digest is in the name: another set of jars is another directory.
KAFKA_CACHE=kafka-$KAFKA_VERSION-$(sha256sum "$HERE/kafka/pom.xml" | cut -c1-8)
KAFKA_CLASSPATH="$CACHE/$KAFKA_CACHE/*"

kafka_is_cached() { [ -d "$CACHE/$KAFKA_CACHE" ]; }

install_kafka() { fetch_into_cache "$KAFKA_CACHE" fetch_kafka_jars; }

fetch_kafka_jars() {
    # -C: a jar whose checksum is not the repository's fails the run.
    run_job "Kafka $KAFKA_VERSION" "$STATE/logs/install-kafka.log" \
        mvn -q -B -C -f "$HERE/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$1"
}

# A node that was never formatted to the end has never run, so there is nothing in it to lose.
prepare_kafka() {
    local data=$STATE/data/kafka id
    [ -f "$data/formatted" ] || rm -rf "$data"
    mkdir -p "$data/log"
    write_kafka_properties >"$data/server.properties"
    [ -f "$data/formatted" ] && return 0
    # 16 random bytes in URL-safe base64; a leading '-' would be taken for an option.
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=' | sed 's/^-/T/')
    run_job "Kafka's storage" "$STATE/logs/format-kafka.log" \
        java -cp "$KAFKA_CLASSPATH" kafka.tools.StorageTool format \
        --cluster-id "$id" --config "$data/server.properties"
    touch "$data/formatted"
}

write_kafka_properties() {
    cat <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$KAFKA_CONTROLLER_PORT
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$KAFKA_CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$STATE/data/kafka/log

# The services make their topics themselves, and a topic made by a slip would have the wrong number of partitions.
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
# The log is the source of truth: nothing is dropped unless a topic says so itself.
log.retention.ms=-1

# One node, few groups: small internal topics make the first start quicker.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# A broker that was killed is let in again only when its old session has run out; the default is 9 s.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
# Out of a heap of 512 MB; the default takes a quarter of it.
log.cleaner.dedupe.buffer.size=16777216
PROPERTIES
}

command_of_kafka() {
    local properties
    # In the command, so that changed properties are a changed command.
    properties=$(write_kafka_properties | sha256sum | cut -c1-16)
    PROGRAM=$(command -v java)
    COMMAND=(
        java -Xms128m -Xmx512m -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true
        "-Dlog4j2.configurationFile=$HERE/kafka/log4j2.properties" "-Dtidemark.properties=$properties"
        -cp "$KAFKA_CLASSPATH" kafka.Kafka "$STATE/data/kafka/server.properties"
    )
}

# A port that accepts proves little: ask for the versions of the API (key 18, version 0, no client id) and want an answer.
kafka_answers() {
    local host=${1%:*} port=${1##*:} answer
    exec {answer}<>"/dev/tcp/$host/$port" || return 1
    printf '\0\0\0\012\0\022\0\0\0\0\0\1\377\377' >&"$answer"
    [ "$(timeout 2 head -c 8 <&"$answer" | wc -c)" -eq 8 ]
}

# In a subshell: a refused connection must not print, and the descriptor must not stay.
kafka_is_ready() { (kafka_answers "$KAFKA_BROKERS") 2>/dev/null; }
