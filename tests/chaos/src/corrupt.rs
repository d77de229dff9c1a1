//! Damages what ClickHouse holds, one row at a time, to see whether the checker notices. What finds nothing may be
//! blind. Must only ever be used on a stack of this suite, after its verdict.

use anyhow::Result;
use clickhouse::Client;
use loadtest::oracle::Verdict;

use crate::load::device_name;

/// One kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// A measurement is gone.
    DeleteRow,
    /// A measurement is there twice.
    DoubleRow,
    /// A measurement has another value.
    SwapValue,
    /// A measurement belongs to somebody else.
    MoveTenant,
    /// A rollup cell has another sum.
    SpoilCell,
    /// A dead letter is gone.
    DeleteLetter,
    /// The view of the measurements shows rows that were inserted again.
    MeasurementsWithoutFinal,
    /// The view of the rollups adds snapshots up that later ones replaced.
    RollupsWithoutFinal,
}

/// The place of one row: everything but what it says. Each damage has a device of its own, so that none hides another.
const ROW: &str = "(device, metric, ts, partition, offset) IN \
    (SELECT device, metric, ts, partition, offset FROM measurement_log FINAL \
     WHERE tenant = '{tenant}' AND device = '{device}' ORDER BY offset, metric LIMIT 1)";

impl Corruption {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::DeleteRow,
        Self::DoubleRow,
        Self::SwapValue,
        Self::MoveTenant,
        Self::SpoilCell,
        Self::DeleteLetter,
        Self::MeasurementsWithoutFinal,
        Self::RollupsWithoutFinal,
    ];

    /// Does the damage.
    ///
    /// # Errors
    /// When ClickHouse refuses.
    pub async fn inflict(self, url: &str, tenant: &str) -> Result<()> {
        let client = Client::default().with_url(url).with_database("meridian");
        let row = ROW
            .replace("{tenant}", tenant)
            .replace("{device}", &device_name(self as u32));
        let of_tenant = format!("tenant = '{tenant}' AND {row}");
        // Chosen first: the names of what replaces would hide those of what is there.
        let copy = |replaced: &str| {
            format!(
                "INSERT INTO measurement_log SELECT * REPLACE ({replaced}) \
                 FROM (SELECT * FROM measurement_log FINAL WHERE {of_tenant})"
            )
        };
        let delete = format!(
            "ALTER TABLE measurement_log DELETE WHERE {of_tenant} SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1"
        );
        let statements = match self {
            Self::DeleteRow => vec![delete],
            Self::DoubleRow => vec![copy("offset + 1000000000 AS offset")],
            Self::SwapValue => vec![copy("value + 1 AS value")],
            Self::MoveTenant => vec![copy("'somebody-else' AS tenant"), delete],
            // By more than sums in another order may differ, however large this one is.
            Self::SpoilCell => vec![format!(
                "INSERT INTO rollup_log SELECT * REPLACE (version + 1 AS version, sum + 1 + abs(sum) / 1e6 AS sum) \
                 FROM (SELECT * FROM rollup_log FINAL WHERE tenant = '{tenant}' AND period = 3600 AND count > 0 LIMIT 1)"
            )],
            Self::DeleteLetter => vec![format!(
                "ALTER TABLE dead_letter_log DELETE WHERE id IN \
                 (SELECT min(id) FROM dead_letter_log WHERE startsWith(topic, 'telemetry/{tenant}/')) \
                 SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1"
            )],
            // What a crash makes us write again, as long as ClickHouse has not merged it.
            Self::MeasurementsWithoutFinal => vec![
                "SYSTEM STOP MERGES measurement_log".to_owned(),
                copy("value AS value"),
                without_final(&client, "measurements").await?,
            ],
            Self::RollupsWithoutFinal => vec![
                "SYSTEM STOP MERGES rollup_log".to_owned(),
                format!(
                    "INSERT INTO rollup_log SELECT * REPLACE (version - 1 AS version) \
                     FROM (SELECT * FROM rollup_log FINAL WHERE tenant = '{tenant}' AND period = 60 AND count > 0 LIMIT 1)"
                ),
                without_final(&client, "rollups").await?,
            ],
        };
        for statement in statements {
            client.query(&statement).execute().await?;
        }
        Ok(())
    }

    /// Whether the second verdict tells of the damage, and the first did not.
    #[must_use]
    pub fn shows(self, before: &Verdict, after: &Verdict, strangers: u64) -> bool {
        let cells = |verdict: &Verdict| {
            let differing = |published: bool| -> u64 {
                let of = |level: &loadtest::oracle::LevelCounts| {
                    if published {
                        level.differ_from_published
                    } else {
                        level.differ_from_recount
                    }
                };
                verdict.levels.iter().map(of).sum()
            };
            (differing(true), differing(false))
        };
        let lost = after.rows.lost > before.rows.lost;
        // The cells no longer agree with a recount of the rows. One may be hit twice, so their number need not rise.
        let recount = cells(after).1 > 0;
        let found = match self {
            Self::DeleteRow => lost && recount,
            Self::DoubleRow => after.rows.duplicated > before.rows.duplicated && recount,
            Self::SwapValue => lost && after.rows.unexpected > before.rows.unexpected && recount,
            Self::MoveTenant => lost && recount && strangers > 0,
            Self::SpoilCell => cells(after).0 > cells(before).0 && recount,
            Self::DeleteLetter => after.dead_letters.missing > before.dead_letters.missing,
            Self::MeasurementsWithoutFinal => after.rows.repeated_offsets > before.rows.repeated_offsets,
            Self::RollupsWithoutFinal => cells(after).0 > cells(before).0,
        };
        found && !after.clean
    }
}

/// The statement that makes a view again as it is, but for FINAL.
async fn without_final(client: &Client, view: &str) -> Result<String> {
    let sql = "SELECT as_select FROM system.tables WHERE database = 'meridian' AND name = {view:String}";
    let select: String = client.query(sql).param("view", view).fetch_one().await?;
    anyhow::ensure!(
        select.contains(" FINAL"),
        "the view `{view}` is without FINAL as it is: {select}"
    );
    Ok(format!(
        "CREATE OR REPLACE VIEW {view} AS {}",
        select.replace(" FINAL", "")
    ))
}
