-- The store of one generation. {database} stands for its name.

CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic;

-- What is stored of metrics.v1, and the ledger of what is stored, in one table: an insert is one part, so that samples,
-- receipts, marker and rollups are there together or not at all.
--   sample   one metric of one batch
--   receipt  stands for a record that had an idempotency key, stored for ever
--   marker   ends a block: which offsets of the Kafka partition it covers, stored for ever
-- Partitioned by Kafka partition, because a deduplication token excludes within one table partition only, and because a
-- batch may span decades. The order keeps a series together, and receipts of a project by their key.
CREATE TABLE IF NOT EXISTS {database}.samples
(
    kind            Enum8('sample' = 1, 'receipt' = 2, 'marker' = 3),
    project_id      String CODEC(ZSTD(1)),
    metric_id       String CODEC(ZSTD(1)),
    idempotency_key String CODEC(ZSTD(1)),
    -- event time
    time            DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    value           Float64 CODEC(Gorilla, ZSTD(1)),
    -- when the gateway had received the request
    received_at     DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    -- the place in the log: Kafka partition, offset, index within the batch; unique among samples
    partition       Int32 CODEC(ZSTD(1)),
    offset          Int64 CODEC(DoubleDelta, ZSTD(1)),
    `index`           UInt16 CODEC(DoubleDelta, ZSTD(1)),
    -- as the client gave them; empty if it gave none
    metric_name     String CODEC(ZSTD(1)),
    unit            String CODEC(ZSTD(1)),
    -- receipts: SHA-256 of the body, hexadecimal
    body_hash       String CODEC(ZSTD(1)),
    -- markers: the offsets that the block covers, and the identity of the record at the last one
    first_offset    Int64 CODEC(ZSTD(1)),
    last_offset     Int64 CODEC(ZSTD(1)),
    identity        UUID CODEC(ZSTD(1)),

    -- The chain of each Kafka partition in a few numbers a part. The sums of hashes tell whether the blocks link: over a
    -- chain without gap or overlap all inner boundaries cancel out.
    PROJECTION chain
    (
        SELECT
            kind, partition, count(), min(first_offset), max(last_offset), argMax(identity, last_offset),
            sum(cityHash64(first_offset)), sum(cityHash64(last_offset + 1))
        GROUP BY kind, partition
    ),

    -- A month of a series is a few hundred rows, and the states of aggregates are dear to read: small granules.
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

-- What people and reports read.
CREATE VIEW IF NOT EXISTS {database}.points AS
SELECT project_id, metric_id, time, value, received_at, metric_name, unit, partition, offset, `index`
FROM {database}.samples
WHERE kind = 'sample';
