-- Who may ask: one row for each state of an API key, the newest version counts. Only a hash of what opens the door is
-- here, so whoever reads this table cannot use a key. `expires_at` and `revoked_at` are the beginning of 1970 for never.
-- A key that was revoked stays, so that its number is not forgotten.
CREATE TABLE IF NOT EXISTS {database}.api_key_log{on_cluster}
(
    id String CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    hash String CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    all_tenants UInt8 CODEC(ZSTD(1)),
    tenants Array(String) CODEC(ZSTD(1)),
    scopes Array(String) CODEC(ZSTD(1)),
    created_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    expires_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    revoked_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = {engine_replacing api_key_log version}
ORDER BY id
SETTINGS {log_settings};
