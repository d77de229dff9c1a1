//! Events of dead letters that were published again: each counts once, however late and often it comes.

use schemas::{Replay, record::EVENTS_TOPIC, rows::Rows};

use super::{
    Due, Task,
    tests::{NOW_MS, Received, batch, new_task, partition, received},
};

/// An event of a letter that was first received an hour ago.
fn replayed(letter: &'static str, payload: &str) -> Received {
    Received {
        replay: Replay::new(letter, 1, NOW_MS - 3_600_000),
        ..received("bus", payload)
    }
}

fn collect(task: &mut Task) -> Rows {
    let mut rows = Rows::default();
    task.collect(Due::All, &mut rows);
    rows
}

const FORMS: [&str; 4] = [
    r#"{"a":1}"#,
    r#"{"a":2,"seq":7}"#,
    r#"{"a":3,"ts":1789999980000}"#,
    r#"{"a":4,"ts":1789999981000,"seq":8}"#,
];

#[test]
fn an_event_of_a_letter_counts_once_in_every_form_also_after_a_restart_and_a_flood() {
    let letters = FORMS.map(|form| replayed("run-1", form));
    let mut task = new_task();
    task.apply(&batch(0, &letters));
    assert_eq!(collect(&mut task).measurements.offset, [0, 1, 2, 3]);
    // More than is remembered of ordinary events, much later.
    let flood: Vec<Received> = (0..300_000)
        .map(|index| Received {
            received_at_ms: NOW_MS + 30 * 86_400_000,
            ..received("tram", &format!(r#"{{"ts":{},"a":1}}"#, NOW_MS + index))
        })
        .collect();
    task.apply(&batch(4, &flood));
    collect(&mut task);
    let state = task.checkpoint();
    let mut task = Task::restore(partition(EVENTS_TOPIC), &state).unwrap();
    task.apply(&batch(task.next_offset(), &letters));
    assert!(collect(&mut task).measurements.offset.is_empty());
    assert_eq!(task.stats().duplicates, 4);
}

#[test]
fn equal_events_of_two_letters_are_two_unless_a_count_or_a_time_says_that_they_are_one() {
    let messages: Vec<Received> = FORMS
        .iter()
        .flat_map(|form| [replayed("run-1", form), replayed("run-2", form)])
        .collect();
    let mut task = new_task();
    task.apply(&batch(0, &messages));
    assert_eq!(collect(&mut task).measurements.offset, [0, 1, 2, 4, 6]);
}

#[test]
fn what_the_device_sent_well_in_the_end_is_not_counted_from_its_letter() {
    let mut task = new_task();
    let well: Vec<Received> = FORMS[1..].iter().map(|form| received("bus", form)).collect();
    task.apply(&batch(0, &well));
    task.apply(&batch(3, &FORMS.map(|form| replayed("run-1", form))));
    assert_eq!(collect(&mut task).measurements.offset, [0, 1, 2, 3]);
}

#[test]
fn a_letter_with_an_old_count_is_no_restart_of_its_device() {
    let mut task = new_task();
    let run: Vec<Received> = (0..500)
        .filter(|seq| *seq != 3)
        .map(|seq| received("bus", &format!(r#"{{"seq":{seq},"a":1}}"#)))
        .collect();
    task.apply(&batch(0, &run));
    let late = replayed("run-1", r#"{"seq":3,"a":1}"#);
    task.apply(&batch(499, &[late, received("bus", r#"{"seq":500,"a":1}"#)]));
    assert_eq!(collect(&mut task).measurements.offset.len(), 501);
    assert_eq!(task.stats().restarts, 0);
}

/// Whoever may publish can write the properties, so they must do no harm to others.
#[test]
fn a_forged_letter_hides_events_of_its_own_device_only() {
    let mut task = new_task();
    let forged = Received {
        replay: Replay::new("run-1", 1, NOW_MS),
        ..received("tram", FORMS[0])
    };
    task.apply(&batch(0, &[forged, replayed("run-1", FORMS[0])]));
    assert_eq!(collect(&mut task).measurements.offset, [0, 1]);
}
