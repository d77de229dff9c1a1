-- Dead letters by the topic and partition that they were read from. Refused records of the events topic have an id that
-- says so. Only those from within the books, and not those of single rows that ClickHouse refused: tasks know nothing of
-- them.
SELECT
    toUInt8(startsWith(id, '{events_topic}/')) AS of_events,
    partition,
    toUInt64(count()) AS found
FROM {database}.dead_letter_log FINAL
WHERE stage != 'insert' AND if(
    startsWith(id, '{events_topic}/'),
    offset >= {event_starts} AND offset < {event_positions},
    offset >= {letter_starts} AND offset < {letter_positions})
GROUP BY of_events, partition
