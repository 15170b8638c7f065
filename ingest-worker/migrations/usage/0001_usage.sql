-- Usage of an installation. {database} is replaced with the name of the database, which belongs to no generation.

CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic;

-- Outcomes of requests, from the records of outcomes.v1. A row is a state of one counter, which is identified by counter_id,
-- project, connection, outcome and minute. Counters only grow, so the greatest state is the newest and includes the others:
-- rows that arrive twice, late or out of order change nothing, and merges keep one row per counter.
-- Readers must take the maximum of each counter before they add counters up:
--   SELECT sum(requests) FROM (SELECT max(requests) AS requests … GROUP BY minute, connection_id, outcome, counter_id)
-- Rows are kept for 90 days.
CREATE TABLE IF NOT EXISTS {database}.usage_1m
(
    -- empty for requests with an unknown key
    project_id    String CODEC(ZSTD(1)),
    minute        DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    -- empty for keys that belong to no connection
    connection_id String CODEC(ZSTD(1)),
    -- accepted, replayed, or the error code of the answer
    outcome       String CODEC(ZSTD(1)),
    -- identifies the gateway process that counted
    counter_id    UUID CODEC(ZSTD(1)),
    requests      SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    -- number of accepted metrics
    metrics       SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    -- time of the last answer
    last_at       SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    -- keyed hashes of client addresses; 0 is added when there were more than are recorded individually
    addresses     SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (project_id, minute, connection_id, outcome, counter_id)
TTL minute + INTERVAL 90 DAY;
