//! What the closed list of metrics promises.

use super::{LATENCY_SECONDS_BUCKETS, MetricKind, MetricSpec, MetricUnit, Metrics, MetricsError, catalogue_faults};

const EVENTS: MetricSpec =
    MetricSpec::new_counter("meridian_test_events_total", MetricUnit::Count, "Events that passed.");
const WINDOW: MetricSpec = MetricSpec::new_gauge("meridian_test_window", MetricUnit::Count, "Events in flight.");
const LATENCY: MetricSpec = MetricSpec::new_latency("meridian_test_latency_seconds", "Time to acknowledge.");
const SIZE: MetricSpec = MetricSpec::new_size("meridian_test_batch_bytes", "Size of a batch.");
const TABLE: &[MetricSpec] = &[EVENTS, WINDOW, LATENCY, SIZE];

#[test]
fn handles_of_a_table_show_up_when_rendered() {
    let (recorder, metrics) = Metrics::build(&[TABLE]).unwrap();
    metrics::with_local_recorder(&recorder, || {
        let events = EVENTS.counter(&[("broker", "edge-1")]);
        events.increment(2);
        events.increment(1);
        EVENTS.counter(&[("broker", "edge-2")]).increment(7);
        WINDOW.gauge(&[]).set(5.0);
    });
    let text = metrics.render();
    for line in [
        "# HELP meridian_test_events_total Events that passed.",
        "# TYPE meridian_test_events_total counter",
        "meridian_test_events_total{broker=\"edge-1\"} 3",
        "meridian_test_events_total{broker=\"edge-2\"} 7",
        "# TYPE meridian_test_window gauge",
        "meridian_test_window 5",
    ] {
        assert!(text.lines().any(|found| found == line), "no line `{line}` in:\n{text}");
    }
}

#[test]
fn latencies_are_counted_in_our_buckets() {
    let (recorder, metrics) = Metrics::build(&[TABLE]).unwrap();
    metrics::with_local_recorder(&recorder, || {
        let latency = LATENCY.histogram(&[]);
        latency.record(0.000_2);
        latency.record(0.2);
    });
    metrics.run_upkeep();
    let text = metrics.render();
    for line in [
        "# TYPE meridian_test_latency_seconds histogram",
        "meridian_test_latency_seconds_bucket{le=\"0.00025\"} 1",
        "meridian_test_latency_seconds_bucket{le=\"0.25\"} 2",
        "meridian_test_latency_seconds_count 2",
    ] {
        assert!(text.lines().any(|found| found == line), "no line `{line}` in:\n{text}");
    }
    let bucket_count = text.matches("meridian_test_latency_seconds_bucket").count();
    assert_eq!(bucket_count, LATENCY_SECONDS_BUCKETS.len() + 1, "ours and +Inf");
}

#[test]
#[should_panic(expected = "`meridian_test_window` is no counter")]
fn a_metric_is_used_as_what_it_is_declared() {
    let _ = WINDOW.counter(&[]);
}

#[test]
fn a_table_that_breaks_the_rules_is_refused_with_all_faults() {
    let unsorted = MetricSpec {
        kind: MetricKind::Histogram(&[1.0, 1.0]),
        ..LATENCY
    };
    let table = [
        EVENTS,
        EVENTS,
        MetricSpec {
            name: "events_total",
            ..EVENTS
        },
        MetricSpec {
            name: "meridian_Events_total",
            ..EVENTS
        },
        MetricSpec {
            name: "meridian_events",
            ..EVENTS
        },
        MetricSpec {
            name: "meridian_window_total",
            ..WINDOW
        },
        MetricSpec {
            name: "meridian_latency",
            ..LATENCY
        },
        MetricSpec {
            name: "meridian_silent_total",
            help: "",
            ..EVENTS
        },
        unsorted,
    ];
    let faults = catalogue_faults(&[&table]);
    for expected in [
        "`meridian_test_events_total` is declared twice",
        "`events_total` must start with",
        "`meridian_Events_total` must start with",
        "`meridian_events`: counters end in `_total`",
        "`meridian_window_total`: counters end in `_total`",
        "`meridian_latency` must say its unit: `_seconds`",
        "`meridian_silent_total` needs a help text",
        "`meridian_test_latency_seconds` needs buckets that rise",
    ] {
        assert!(
            faults.iter().any(|fault| fault.starts_with(expected)),
            "`{expected}` is not in {faults:?}"
        );
    }
    assert_eq!(faults.len(), 8, "{faults:?}");
    assert!(matches!(Metrics::build(&[&table]), Err(MetricsError::Catalogue(found)) if found == faults));
    assert_eq!(catalogue_faults(&[TABLE]), Vec::<String>::new());
}

#[test]
fn a_counter_of_seconds_says_both() {
    let busy = MetricSpec::new_counter("meridian_busy_seconds_total", MetricUnit::Seconds, "Time at work.");
    assert_eq!(catalogue_faults(&[&[busy]]), Vec::<String>::new());
}
