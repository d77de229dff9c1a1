//! Which letters are meant: the same options for `ls` and `replay`, as one condition in SQL.

use clap::{Args, builder::PossibleValuesParser};
use clickhouse::query::Query;
use schemas::{Reason, Stage};

use crate::{config::ValidConfig, when};

/// Which letters.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only letters with this reason
    #[arg(long, value_parser = reasons(), hide_possible_values = true)]
    reason: Option<String>,
    /// Only letters of this stage
    #[arg(long, value_parser = stages())]
    stage: Option<String>,
    /// Only letters whose topic names this tenant where the routes have it, and rows of this tenant that ClickHouse refused
    #[arg(long)]
    tenant: Option<String>,
    /// Only letters whose MQTT topic fits this filter (`+` for a level, `#` for the rest)
    #[arg(long, value_name = "FILTER")]
    topic: Option<String>,
    /// Only letters that came through this broker
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
    /// Only letters received at or after this time: RFC 3339, Unix milliseconds, or as `2h` how long ago
    #[arg(long, visible_alias = "from", value_name = "TIME", value_parser = when::parse)]
    since: Option<i64>,
    /// Only letters received before this time
    #[arg(long, visible_alias = "to", value_name = "TIME", value_parser = when::parse)]
    until: Option<i64>,
}

fn reasons() -> PossibleValuesParser {
    PossibleValuesParser::new(Reason::ALL.map(Reason::as_str))
}

fn stages() -> PossibleValuesParser {
    PossibleValuesParser::new(Stage::ALL.map(Stage::as_str))
}

/// The condition on a row of `dead_letters`, called `letter`. Its parameters are given by [`Filter::bind`].
///
/// A letter of the stage `insert` is a row: its topic names a table, and its payload the tenant.
pub(super) const CONDITION: &str = "({reason:String} = '' OR letter.reason = {reason:String}) \
    AND ({stage:String} = '' OR letter.stage = {stage:String}) \
    AND ({broker:String} = '' OR letter.broker = {broker:String}) \
    AND ({topic:String} = '' OR match(letter.topic, {topic:String})) \
    AND ({tenant:String} = '' OR if(letter.stage = 'insert', \
        JSONExtractString(letter.payload, 'tenant') = {tenant:String}, match(letter.topic, {tenant_topic:String}))) \
    AND toUnixTimestamp64Milli(letter.received_at) >= {since:Int64} \
    AND toUnixTimestamp64Milli(letter.received_at) < {until:Int64}";

impl Filter {
    /// Gives the parameters of [`CONDITION`].
    pub(super) fn bind(&self, query: Query, config: &ValidConfig) -> Query {
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let tenant_topic = self.tenant.as_deref().map(|tenant| {
            let routes = config.ingest.routes.iter();
            let topics: Vec<String> = routes.map(|route| route.topic.regex_of_tenant(tenant)).collect();
            format!("^(?:{})$", topics.join("|"))
        });
        query
            .param("reason", text(&self.reason))
            .param("stage", text(&self.stage))
            .param("broker", text(&self.broker))
            .param("topic", self.topic.as_deref().map(regex_of_filter).unwrap_or_default())
            .param("tenant", text(&self.tenant))
            .param("tenant_topic", tenant_topic.unwrap_or_default())
            .param("since", self.since.unwrap_or(i64::MIN))
            .param("until", self.until.unwrap_or(i64::MAX))
    }
}

/// An MQTT filter as a regular expression.
fn regex_of_filter(filter: &str) -> String {
    let (levels, rest) = match filter.strip_suffix("/#") {
        Some(levels) => (levels, "(?:/.*)?"),
        None if filter == "#" => ("", ".*"),
        None => (filter, ""),
    };
    let levels: Vec<String> = levels
        .split('/')
        .map(|level| match level {
            "+" => "[^/]*".to_owned(),
            level => schemas::topic::regex_escape(level),
        })
        .collect();
    format!("^{}{rest}$", levels.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_become_expressions() {
        assert_eq!(regex_of_filter("telemetry/+/bus-7"), "^telemetry/[^/]*/bus\\-7$");
        assert_eq!(regex_of_filter("telemetry/#"), "^telemetry(?:/.*)?$");
        assert_eq!(regex_of_filter("#"), "^.*$");
    }
}
