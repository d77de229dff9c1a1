-- The same dead letters as dead_letters.sql, by id alone.
SELECT toString(id) AS id
FROM dead_letters
WHERE startsWith(topic, {prefix:String}) OR startsWith(topic, 'telemetry//')
