//! The queries, one file each in `queries/`, as they are sent. Nothing is ever put into their text: values are bound.

/// A query after the definitions that merge sketches and distinct counts.
macro_rules! merging {
    ($file:literal) => {
        concat!(
            "WITH\n",
            include_str!("../../../schemas/clickhouse/merge.sql"),
            include_str!(concat!("../../queries/", $file))
        )
    };
}

pub(crate) const CELLS: &str = merging!("cells.sql");
pub(crate) const RESOLUTIONS: &str = include_str!("../../queries/resolutions.sql");
pub(crate) const FRESHNESS: &str = include_str!("../../queries/freshness.sql");
pub(crate) const SERIES: &str = merging!("series.sql");
pub(crate) const SERIES_BBOX: &str = merging!("series_bbox.sql");
pub(crate) const SERIES_DEVICE: &str = include_str!("../../queries/series_device.sql");
pub(crate) const DEVICES: &str = include_str!("../../queries/devices.sql");
pub(crate) const NEARBY: &str = include_str!("../../queries/nearby.sql");
pub(crate) const TRACK: &str = include_str!("../../queries/track.sql");
pub(crate) const CATALOG: &str = include_str!("../../queries/catalog.sql");
