//! Topics, filters, and who subscribes to what.

use std::collections::{BTreeMap, HashMap};

use crate::{limits, mqtt::codec::SubscriptionOptions};

/// What a filter may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FilterFault {
    Invalid,
    /// `$share/...`: an absent member of a group would keep its share to itself.
    Shared,
}

/// Whether messages can be published to the topic.
pub(super) fn is_topic(topic: &[u8]) -> bool {
    !topic.is_empty()
        && !topic.iter().any(|byte| matches!(byte, b'+' | b'#'))
        && topic.iter().filter(|byte| **byte == b'/').count() < limits::MQTT_LEVELS_MAX
}

/// Whether the filter can be subscribed to.
pub(super) fn check_filter(filter: &str) -> Result<(), FilterFault> {
    if filter.starts_with("$share/") {
        return Err(FilterFault::Shared);
    }
    let mut levels = filter.split('/').peekable();
    let mut count = 0;
    while let Some(level) = levels.next() {
        count += 1;
        let is_last = levels.peek().is_none();
        let good = match level {
            "#" => is_last,
            "+" => true,
            _ => !level.contains(['+', '#']),
        };
        if !good {
            return Err(FilterFault::Invalid);
        }
    }
    match !filter.is_empty() && count <= limits::MQTT_LEVELS_MAX {
        true => Ok(()),
        false => Err(FilterFault::Invalid),
    }
}

/// Whether this broker takes the filter.
pub(crate) fn is_filter(filter: &str) -> bool {
    check_filter(filter).is_ok()
}

/// Whether a filter covers a topic. Wildcards at the start do not reach the topics of servers, which begin with `$`.
pub(super) fn covers(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            (_, Some(_)) => return false,
        }
    }
    levels.next().is_none()
}

/// Subscriptions of all sessions, as a tree of levels.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    levels: HashMap<Box<str>, Node>,
    /// Below `+`.
    any: Option<Box<Node>>,
    /// Filters that end here.
    here: BTreeMap<u64, SubscriptionOptions>,
    /// Filters that end here with `#`.
    rest: BTreeMap<u64, SubscriptionOptions>,
}

impl Subscriptions {
    pub(super) fn insert(&mut self, filter: &str, session: u64, options: SubscriptionOptions) {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = match level {
                "#" => {
                    node.rest.insert(session, options);
                    return;
                }
                "+" => node.any.get_or_insert_default(),
                _ => node.levels.entry(level.into()).or_default(),
            };
        }
        node.here.insert(session, options);
    }

    pub(super) fn remove(&mut self, filter: &str, session: u64) {
        remove(&mut self.root, &mut filter.split('/'), session);
    }

    /// Appends who gets a message of the topic; a session is named once for each filter that matches.
    pub(super) fn find(&self, topic: &str, found: &mut Vec<(u64, SubscriptionOptions)>) {
        let wildcards = !topic.starts_with('$');
        find(&self.root, Some(topic), wildcards, found);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }
}

fn find(node: &Node, topic: Option<&str>, wildcards: bool, found: &mut Vec<(u64, SubscriptionOptions)>) {
    if wildcards {
        // `a/#` covers `a` too.
        found.extend(node.rest.iter().map(|(session, options)| (*session, *options)));
    }
    let Some(topic) = topic else {
        found.extend(node.here.iter().map(|(session, options)| (*session, *options)));
        return;
    };
    let (level, below) = match topic.split_once('/') {
        Some((level, below)) => (level, Some(below)),
        None => (topic, None),
    };
    if let Some(next) = node.levels.get(level) {
        find(next, below, true, found);
    }
    if let Some(next) = node.any.as_ref().filter(|_| wildcards) {
        find(next, below, true, found);
    }
}

/// Leaves no empty nodes behind: filters come from clients, and would be memory for ever.
fn remove<'a>(node: &mut Node, levels: &mut impl Iterator<Item = &'a str>, session: u64) {
    match levels.next() {
        None => {
            node.here.remove(&session);
        }
        Some("#") => {
            node.rest.remove(&session);
        }
        Some("+") => {
            if let Some(next) = &mut node.any {
                remove(next, levels, session);
                if next.is_empty() {
                    node.any = None;
                }
            }
        }
        Some(level) => {
            if let Some(next) = node.levels.get_mut(level) {
                remove(next, levels, session);
                if next.is_empty() {
                    node.levels.remove(level);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FilterFault, Subscriptions, check_filter, covers, is_topic};
    use crate::mqtt::codec::SubscriptionOptions;

    #[test]
    fn filters_cover_what_the_specification_says() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("#", "sport", true),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/uptime", false),
            ("+/uptime", "$SYS/uptime", false),
            ("$SYS/#", "$SYS/uptime", true),
        ] {
            assert_eq!(covers(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn broken_filters_and_topics_are_refused() {
        for filter in ["", "a/#/b", "a#", "a/b+", "+a"] {
            assert_eq!(check_filter(filter), Err(FilterFault::Invalid), "{filter}");
        }
        assert_eq!(check_filter("$share/group/a"), Err(FilterFault::Shared));
        assert_eq!(check_filter(&"/".repeat(70_000)), Err(FilterFault::Invalid));
        assert!(check_filter("a/+/b/#").is_ok());
        assert!(!is_topic(b"") && !is_topic(b"a/+") && !is_topic(&[b'/'; 70_000]) && is_topic(b"a//b"));
    }

    fn filter() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "", "+", "$x"]), 1..4).prop_flat_map(|levels| {
            let path = levels.join("/");
            let filter = if path.is_empty() { "a".to_owned() } else { path };
            prop_oneof![Just(filter.clone()), Just(format!("{filter}/#")), Just("#".to_owned())]
        })
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "", "$x"]), 1..5)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("not empty", |topic| !topic.is_empty())
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_each_filter_covers(
            filters in prop::collection::vec((filter(), 1_u64..6), 0..12),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            topic in topic(),
        ) {
            let mut tree = Subscriptions::default();
            let mut left: Vec<(String, u64)> = filters;
            left.sort();
            left.dedup();
            for (filter, session) in &left {
                tree.insert(filter, *session, SubscriptionOptions::default());
            }
            for index in removed {
                if !left.is_empty() {
                    let (filter, session) = left.remove(index.index(left.len()));
                    tree.remove(&filter, session);
                }
            }
            let mut found = Vec::new();
            tree.find(&topic, &mut found);
            let mut found: Vec<u64> = found.into_iter().map(|(session, _)| session).collect();
            found.sort_unstable();
            let mut expected: Vec<u64> =
                left.iter().filter(|(filter, _)| covers(filter, &topic)).map(|(_, session)| *session).collect();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
            for (filter, session) in &left {
                tree.remove(filter, *session);
            }
            prop_assert!(tree.is_empty());
        }
    }
}
