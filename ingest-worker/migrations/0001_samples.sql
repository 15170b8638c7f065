-- Store of one generation. {database} is replaced with the name of its database.

CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic;

-- The samples, and the ledger that records which offsets are stored. Both are in one table because an insert is one part:
-- samples, receipts, marker and rollups become visible together or not at all.
--   sample   one metric of one batch
--   receipt  one stored record that had an idempotency key, or that was a retried dead letter; never deleted
--   marker   the end of a block: the offsets of the Kafka partition that the block covers; never deleted
-- Partitioned by Kafka partition for two reasons: a deduplication token excludes repeats within one table partition only,
-- and the event times of a batch may span decades. The sorting key keeps the samples of a series together, and finds a
-- receipt by project and idempotency key.
CREATE TABLE IF NOT EXISTS {database}.samples
(
    kind            Enum8('sample' = 1, 'receipt' = 2, 'marker' = 3),
    project_id      String CODEC(ZSTD(1)),
    metric_id       String CODEC(ZSTD(1)),
    idempotency_key String CODEC(ZSTD(1)),
    -- event time
    time            DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    value           Float64 CODEC(Gorilla, ZSTD(1)),
    -- time at which the gateway had received the request
    received_at     DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    -- position in the log: Kafka partition, offset, index within the batch; unique among samples
    partition       Int32 CODEC(ZSTD(1)),
    offset          Int64 CODEC(DoubleDelta, ZSTD(1)),
    `index`           UInt16 CODEC(DoubleDelta, ZSTD(1)),
    -- as sent by the client; empty if it sent none
    metric_name     String CODEC(ZSTD(1)),
    unit            String CODEC(ZSTD(1)),
    -- receipts: SHA-256 of the body, hexadecimal
    body_hash       String CODEC(ZSTD(1)),
    -- markers: first and last offset that the block covers, and the identity of the record at the last one
    first_offset    Int64 CODEC(ZSTD(1)),
    last_offset     Int64 CODEC(ZSTD(1)),
    identity        UUID CODEC(ZSTD(1)),

    -- The chain of each Kafka partition, one row per part. The sums of hashes show whether the blocks are contiguous: in a
    -- chain without gap or overlap, the hashes of all inner boundaries cancel out.
    PROJECTION chain
    (
        SELECT
            kind, partition, count(), min(first_offset), max(last_offset), argMax(identity, last_offset),
            sum(cityHash64(first_offset)), sum(cityHash64(last_offset + 1))
        GROUP BY kind, partition
    ),

    -- Small granules, because a month of a series is a few hundred rows and aggregation states are expensive to read.
    PROJECTION rollup_1h
    (
        SELECT
            kind, project_id, metric_id, toStartOfHour(time), count(), sum(value), min(value), max(value),
            argMax(value, (time, received_at, partition, offset, `index`)),
            max((time, received_at, partition, offset, `index`))
        GROUP BY kind, project_id, metric_id, toStartOfHour(time)
    ) WITH SETTINGS (index_granularity = 512),

    PROJECTION catalogue
    (
        SELECT
            kind, project_id, metric_id, count(), min(received_at), max(received_at),
            argMax(value, (time, received_at, partition, offset, `index`)),
            argMaxIf(metric_name, (received_at, partition, offset, `index`), notEmpty(metric_name)),
            argMaxIf(unit, (received_at, partition, offset, `index`), notEmpty(unit))
        GROUP BY kind, project_id, metric_id
    )
)
ENGINE = MergeTree
PARTITION BY partition
ORDER BY (kind, project_id, metric_id, idempotency_key, time)
SETTINGS
    non_replicated_deduplication_window = 100000,
    lightweight_mutation_projection_mode = 'rebuild';

-- The samples without receipts and markers, for people and reports.
CREATE VIEW IF NOT EXISTS {database}.points AS
SELECT project_id, metric_id, time, value, received_at, metric_name, unit, partition, offset, `index`
FROM {database}.samples
WHERE kind = 'sample';
