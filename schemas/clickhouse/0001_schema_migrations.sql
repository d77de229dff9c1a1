-- What was applied. A migration may be applied twice when two programs start at once, so every statement of every
-- migration can be repeated, and this table keeps one row for each version.
CREATE DATABASE IF NOT EXISTS {database}{on_cluster};

CREATE TABLE IF NOT EXISTS {database}.schema_migrations{on_cluster}
(
    version UInt32,
    name String,
    checksum String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {engine_replacing schema_migrations}
ORDER BY version;
