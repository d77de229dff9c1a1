//! One view of hexagons, as a question to the API and as the query that it stands for, sent to ClickHouse itself.

use h3o::{LatLng, Resolution};

use crate::client::Question;

const SQL: &str = concat!(
    "WITH\n",
    include_str!("../../schemas/clickhouse/merge.sql"),
    ",\n",
    include_str!("../../dashboards/queries/shared/value.sql"),
    ",\n",
    include_str!("../../dashboards/queries/shared/in_box.sql"),
    include_str!("../../dashboards/queries/cells.sql")
);

/// How much time is looked at.
pub(crate) const MINUTES: u64 = 2;

/// Hexagons of resolution 9 over Berlin, of some minutes that have passed.
#[derive(Clone)]
pub(crate) struct View {
    from: u64,
    to: u64,
}

const BOX: [f64; 4] = [13.0, 52.2, 13.8, 52.8];

impl View {
    pub(crate) fn of_berlin(now: u64) -> Self {
        let to = now / 60 * 60 - 60;
        Self {
            from: to - MINUTES * 60,
            to,
        }
    }

    /// The question to the API. Another number is another box, around the same hexagons.
    pub(crate) fn path(&self, number: u64) -> String {
        self.question(BOX[0] - number as f64 * 1e-7, "avg", self.to)
    }

    /// A question for which nothing is kept: each number, of some hundreds, is another aggregate of more minutes to come.
    pub(crate) fn cold_path(&self, number: u64) -> String {
        const AGGREGATES: [&str; 5] = ["avg", "count", "sum", "min", "max"];
        let aggregate = AGGREGATES[(number % AGGREGATES.len() as u64) as usize];
        let minutes = 2 + number / AGGREGATES.len() as u64 % 90;
        self.question(BOX[0], aggregate, self.to + minutes * 60)
    }

    fn question(&self, west: f64, aggregate: &str, to: u64) -> String {
        let [_, south, east, north] = BOX;
        let range = format!("from={}000&to={to}000", self.from);
        format!(
            "/api/v1/cells?metric=battery&tenant=demo&bbox={west:.7},{south},{east},{north}&res=9&period=60&agg={aggregate}&{range}"
        )
    }
}

/// The same to ClickHouse, in the format that costs it least.
pub(crate) fn query(view: &View) -> Question {
    let stand_in = LatLng::new(0.0, 0.0).unwrap().to_cell(Resolution::Nine);
    let [west, south, east, north] = BOX;
    let parameters = [
        ("tenant", "demo".to_owned()),
        ("metric", "battery".to_owned()),
        ("form", "avg".to_owned()),
        ("quantile", "0".to_owned()),
        ("period", "60".to_owned()),
        ("stored_period", "60".to_owned()),
        ("stored_res", "9".to_owned()),
        ("res", "9".to_owned()),
        ("stand_in", u64::from(stand_in).to_string()),
        ("from", view.from.to_string()),
        ("to", view.to.to_string()),
        ("west", west.to_string()),
        ("south", south.to_string()),
        ("east", east.to_string()),
        ("north", north.to_string()),
        ("hexagons_max", "20001".to_owned()),
    ];
    let parameters = parameters
        .map(|(name, value)| format!("&param_{name}={value}"))
        .concat();
    Question::post(
        format!("/?database=meridian&default_format=RowBinary{parameters}"),
        SQL.to_owned(),
    )
}

const NEARBY: &str = include_str!("../../dashboards/queries/nearby.sql");

/// The ten devices nearest to a place in Berlin: the question to the API.
pub(crate) fn nearby_path(number: u64) -> String {
    format!("/api/v1/nearby?tenant=demo&lat={}&lon=13.4&limit=10", latitude(number))
}

/// Another place each time.
fn latitude(number: u64) -> f64 {
    52.5 + (number % 1_000) as f64 * 1e-5
}

/// The same to ClickHouse.
pub(crate) fn nearby_query(number: u64) -> Question {
    let lat = latitude(number);
    Question::post(
        format!(
            "/?database=meridian&default_format=RowBinary&param_tenant=demo&param_lat={lat}&param_lon=13.4\
             &param_earth_radius_m=6371008.8&param_radius_m=20038000&param_latitudes=181&param_limit=10"
        ),
        NEARBY.to_owned(),
    )
}
