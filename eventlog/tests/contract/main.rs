//! The contract of a log, and the three implementations that keep it.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod group;
mod produce;
mod read;
mod subject;

use subject::{Kind, Subject};

/// Runs one test over all kinds of log, each with a topic named after the test.
#[macro_export]
macro_rules! contract {
    ($($test:ident($partitions:literal);)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let subject = $crate::Subject::open($crate::Kind::Memory, stringify!($test), $partitions);
                super::$test(subject.await).await;
            })*
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let subject = $crate::Subject::open($crate::Kind::Embedded, stringify!($test), $partitions);
                super::$test(subject.await).await;
            })*
        }
        mod kafka {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let subject = $crate::Subject::open($crate::Kind::Kafka, stringify!($test), $partitions);
                super::$test(subject.await).await;
            })*
        }
    };
}
