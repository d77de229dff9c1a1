//! What the process says about itself is true.

use std::fs::File;

use super::{Usage, cpu_seconds, read_usage, resident_bytes, write_usage};

#[test]
fn a_strange_command_name_does_not_shift_the_fields() {
    let stat = "17 (a) b (c) S 1 17 17 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1000 20";
    assert_eq!(cpu_seconds(stat), Some(3.0));
    assert_eq!(cpu_seconds("17 (short) S 1"), None);
    assert_eq!(cpu_seconds(""), None);
}

#[test]
fn resident_memory_is_bytes() {
    assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
    assert_eq!(resident_bytes("Name:\tx\n"), None);
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let mut text = String::new();
    write_usage(&mut text, &Usage::default());
    assert_eq!(text, "");

    let usage = Usage {
        cpu_seconds: Some(1.25),
        ..Usage::default()
    };
    write_usage(&mut text, &usage);
    assert_eq!(
        text,
        "# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.\n\
         # TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.25\n\n"
    );
}

#[test]
fn an_open_file_is_counted_and_memory_is_plausible() {
    let held: Vec<File> = (0..300).map(|_| File::open("/proc/self/stat").unwrap()).collect();
    let usage = read_usage();
    assert!(usage.open_files.unwrap() >= 300, "{usage:?}");
    assert!(usage.threads.unwrap() >= 1, "{usage:?}");
    assert!(usage.cpu_seconds.unwrap() >= 0.0, "{usage:?}");
    let resident_bytes = usage.resident_bytes.unwrap();
    assert!(((1 << 20)..(1 << 40)).contains(&resident_bytes), "{usage:?}");
    drop(held);
}
