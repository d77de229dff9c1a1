-- Stored cells of a range of time whose parent of resolution `res` has its centre in the box.
-- Found over distinct cells, without FINAL, as a withdrawn one adds nothing: filters must not be pushed down to where each is
-- looked at once for every snapshot (half the time of the query).
-- No function of H3 may see cell 0 (no position), and conditions run in any order: `stand_in` is some cell. A PREWHERE
-- would put 0 back into rows that it drops.
in_box AS (
    SELECT seen.cell
    FROM (
        SELECT DISTINCT log.cell AS cell
        FROM rollup_log AS log
        WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
            AND log.metric = {metric:String}
            AND log.period = {stored_period:UInt32}
            AND log.res = {stored_res:UInt8}
            AND log.bucket >= toDateTime({from:UInt32}, 'UTC')
            AND log.bucket < toDateTime({to:UInt32}, 'UTC')
            AND log.cell != 0
    ) AS seen
    WHERE tupleElement(h3ToGeo(h3ToParent(if(seen.cell = 0, {stand_in:UInt64}, seen.cell), {res:UInt8})), 1) BETWEEN {south:Float64} AND {north:Float64}
        AND if(
            {west:Float64} <= {east:Float64},
            tupleElement(h3ToGeo(h3ToParent(if(seen.cell = 0, {stand_in:UInt64}, seen.cell), {res:UInt8})), 2) BETWEEN {west:Float64} AND {east:Float64},
            tupleElement(h3ToGeo(h3ToParent(if(seen.cell = 0, {stand_in:UInt64}, seen.cell), {res:UInt8})), 2) >= {west:Float64}
                OR tupleElement(h3ToGeo(h3ToParent(if(seen.cell = 0, {stand_in:UInt64}, seen.cell), {res:UInt8})), 2) <= {east:Float64})
)
