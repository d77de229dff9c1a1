-- All API keys, each in its newest state. Belongs to no tenant, and is read by this process alone.
SELECT
    log.id AS id,
    log.version AS version,
    log.hash AS hash,
    log.name AS name,
    log.all_tenants AS all_tenants,
    log.tenants AS tenants,
    log.scopes AS scopes,
    toInt64(toUnixTimestamp64Milli(log.created_at)) AS created_at,
    toInt64(toUnixTimestamp64Milli(log.expires_at)) AS expires_at,
    toInt64(toUnixTimestamp64Milli(log.revoked_at)) AS revoked_at
FROM api_key_log AS log FINAL
ORDER BY log.created_at, log.id
