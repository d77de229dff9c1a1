//! Which part is what.

use super::{Part, kafka, node};

#[test]
fn java_versions_of_several_makers_are_understood() {
    let version = kafka::major_version;
    assert_eq!(version("openjdk version \"17.0.15\" 2025-04-15"), Some(17));
    assert_eq!(version("java version \"1.8.0_401\""), Some(1));
    assert_eq!(version("openjdk version \"21\" 2023-09-19"), Some(21));
    assert_eq!(version("openjdk version \"25-ea\" 2025-09-16"), Some(25));
    assert_eq!(version("command not found"), None);
}

#[test]
fn versions_of_node_are_understood() {
    assert_eq!(node::major_version("v20.20.2\n"), Some(20));
    assert_eq!(node::major_version("command not found"), None);
}

#[test]
fn the_demo_needs_no_test_daemon() {
    for part in Part::DEMO {
        assert!(
            matches!(part, Part::BuildTools | Part::WebPackages | Part::Libchdb),
            "{part}"
        );
    }
}

#[test]
fn tests_need_every_part() {
    for part in Part::DEMO.iter().chain(Part::BENCH) {
        assert!(Part::ALL.contains(part), "{part}");
    }
}
