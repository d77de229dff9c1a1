//! The list of metrics is well formed.

use eventlog::PartitionId;
use platform::telemetry::{Metrics, catalogue_faults};

use super::*;

#[test]
fn the_list_of_metrics_is_without_fault() {
    assert_eq!(catalogue_faults(&[METRICS]), Vec::<String>::new());
}

#[test]
fn the_ledger_of_a_partition_adds_up() {
    let (recorder, rendered) = Metrics::build(&[METRICS]).unwrap();
    ::metrics::with_local_recorder(&recorder, || {
        let mut ledger = PartitionLedger::new(&TopicPartition {
            topic: "t".into(),
            partition: PartitionId(3),
        });
        // What a former owner has processed may be in the tables.
        ledger.extend(105);
        ledger.hand(10, 100);
        ledger.settle(&TaskStats {
            consumed: 7,
            duplicates: 2,
            ..TaskStats::default()
        });
        ledger.hand(1, 111);
        let text = rendered.render();
        let value = |name: &str| {
            let line = format!("meridian_process_{name}{{topic=\"t\",partition=\"3\"}} ");
            let found = text.lines().find_map(|candidate| candidate.strip_prefix(&line));
            found
                .unwrap_or_else(|| panic!("no {line} in {text}"))
                .parse::<u64>()
                .unwrap()
        };
        assert_eq!(value("consumed_total"), 11);
        assert_eq!(value("inserted_total"), 5);
        assert_eq!(value("duplicates_total"), 2);
        assert_eq!(value("buffered"), 4);
        assert_eq!(value("log_end_offset"), 111);
        ledger.abandon();
        assert!(
            rendered
                .render()
                .contains("meridian_process_abandoned_total{topic=\"t\",partition=\"3\"} 4")
        );
    });
}
