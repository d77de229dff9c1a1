-- Dead letters on the topics of a tenant, and on topics that have lost theirs.
SELECT
    toString(id) AS id,
    toString(reason) AS reason,
    topic,
    payload
FROM dead_letters
WHERE startsWith(topic, {prefix:String}) OR startsWith(topic, 'telemetry//')
