-- What an installation is used for. {database} stands for the name of the database, which belongs to no generation.

CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic;

-- How requests ended: the records of outcomes.v1. A row is the state of one count (who counted, project, connection,
-- outcome, minute) as far as it had come. States only grow, so the greatest is the newest and holds the others: rows that
-- come twice, late or in another order change nothing, and merges keep one row of each count.
-- Readers take the greatest of each count before they add counts up:
--   SELECT sum(requests) FROM (SELECT max(requests) AS requests … GROUP BY minute, connection_id, outcome, counter_id)
-- Kept for 90 days.
CREATE TABLE IF NOT EXISTS {database}.usage_1m
(
    -- empty for requests whose key is not known
    project_id    String CODEC(ZSTD(1)),
    minute        DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    -- empty for keys that stand alone
    connection_id String CODEC(ZSTD(1)),
    -- accepted, replayed, or an error code
    outcome       String CODEC(ZSTD(1)),
    -- a gateway's process
    counter_id    UUID CODEC(ZSTD(1)),
    requests      SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    -- metrics that were accepted
    metrics       SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    -- when the last of the requests was answered
    last_at       SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    -- keyed hashes of the clients' addresses; 0 stands for more than are told apart
    addresses     SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (project_id, minute, connection_id, outcome, counter_id)
TTL minute + INTERVAL 90 DAY;
