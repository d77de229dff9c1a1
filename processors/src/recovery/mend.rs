//! Takes back what lost state has written from an offset on, so that counting anew from there adds up.
//!
//! In this order, again until there is nothing left to do, and again from the start after a crash: snapshots that begin
//! there are withdrawn; those that begin before and reach beyond are made again from the measurements before it; those
//! that lost state may still be filling are confirmed as they are. Only rows of earlier incarnations are touched, and
//! every row that is written has the new one: whoever still has the lost state writes versions that lose.
//!
//! Must never touch what a task of the new incarnation has written.

use std::collections::BTreeMap;

use eventlog::TopicPartition;

use super::{GoesOn, RecoveryError, store::Asked};
use crate::{
    audit::AuditStore,
    limits::{MEND_BUCKETS, MEND_ROUNDS_MAX, SWEEP_MARGIN_MS},
    rebuild::{CutBack, cut_back},
    rollup::accumulator::Origin,
    sink::ClickHouseSink,
    task::Parameters,
};

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Snapshots that were made again from the measurements.
    pub remade: u64,
    /// Buckets with snapshots that could not be made again, since their measurements may have expired: what lost state
    /// added to them after the offset may be counted twice.
    pub expired_buckets: u64,
}

pub(super) async fn mend(
    sink: &ClickHouseSink,
    topic_partition: &TopicPartition,
    goes_on: GoesOn,
    parameters: &Parameters,
) -> Result<Mended, RecoveryError> {
    let asked = Asked::of(sink, topic_partition);
    let mut mended = Mended::default();
    let values = asked.values([
        ("{version}", Origin::first_version(goes_on.incarnation).to_string()),
        ("{counts_from}", goes_on.counts_from.to_string()),
    ]);
    if !asked.is_of_events() {
        return Ok(mended);
    }
    let store = &asked.store;
    let (open_from_ms, touched_from) = still_filling(&asked, goes_on.counts_from, parameters).await?;
    let mut bounds = values.clone();
    bounds.push(("{open_from_seconds}", (open_from_ms / 1_000).max(0).to_string()));
    bounds.push(("{touched_from}", touched_from.to_string()));
    for round in 0..MEND_ROUNDS_MAX {
        let mut levels = BTreeMap::new();
        if is_beyond(store, &values).await? {
            let sql = include_str!("sql/withdraw.sql");
            store.execute("it to withdraw snapshots", sql, &values).await?;
            (levels, mended.expired_buckets) = reaching(store, &values).await?;
        }
        if levels.is_empty() && round > 0 {
            break;
        }
        for (level, buckets) in levels {
            for buckets in buckets.chunks(MEND_BUCKETS) {
                let cut = CutBack {
                    partition: topic_partition.partition.0,
                    counts_from: goes_on.counts_from,
                    incarnation: goes_on.incarnation,
                    level,
                    buckets: buckets.to_vec(),
                };
                mended.remade += cut_back(store, sink, cut).await?;
            }
        }
        let sql = include_str!("sql/confirm.sql");
        store.execute("it to confirm snapshots", sql, &bounds).await?;
        // Whoever still has the lost state may have written in between: look again.
    }
    let sql = include_str!("sql/confirm_books.sql");
    store.execute("it to confirm the books", sql, &values).await?;
    Ok(mended)
}

/// Whether there may be anything to take back.
async fn is_beyond(store: &AuditStore, values: &[(&str, String)]) -> Result<bool, RecoveryError> {
    let sql = include_str!("sql/beyond.sql");
    let rows: Vec<u8> = store
        .ask("whether there are snapshots to take back", sql, values)
        .await?;
    Ok(rows.contains(&1))
}

/// Buckets by level, with snapshots that reach beyond where counting begins anew; and how many of such buckets are so old
/// that their measurements may have expired.
async fn reaching(
    store: &AuditStore,
    values: &[(&str, String)],
) -> Result<(BTreeMap<(u32, u8), Vec<u32>>, u64), RecoveryError> {
    let sql = include_str!("sql/reaching.sql");
    let rows: Vec<(u32, u8, u32)> = store.ask("the snapshots to make again", sql, values).await?;
    let horizon_seconds = store.bucket_horizon().await?;
    let mut levels: BTreeMap<(u32, u8), Vec<u32>> = BTreeMap::new();
    let mut expired_count = 0;
    for (period, resolution, bucket) in rows {
        if u64::from(bucket) < horizon_seconds {
            expired_count += 1;
        } else {
            levels.entry((period, resolution)).or_default().push(bucket);
        }
    }
    Ok((levels, expired_count))
}

/// Lost state can still be filling buckets that end at this time or later, and accumulators that were touched at this
/// offset or later: all others it has evicted. Lingering twice as long is counted on, as a record that counted for
/// nothing may have moved the log clock.
async fn still_filling(
    asked: &Asked<'_>,
    counts_from: u64,
    parameters: &Parameters,
) -> Result<(i64, u64), RecoveryError> {
    let Some((clock_ms, _)) = asked.clock(counts_from).await? else {
        return Ok((0, 0));
    };
    let open_from_ms = clock_ms.saturating_sub(2 * parameters.rollup.linger_ms + SWEEP_MARGIN_MS);
    let touched_from = asked.first_received(counts_from, open_from_ms).await?;
    Ok((open_from_ms, touched_from.unwrap_or(counts_from)))
}
