//! The reference: the same embedded broker and engine, each a process of its own, and a subscriber between them.

use std::{env, path::Path};

use rig::Daemon;

use crate::{
    load::Load,
    observe::Observer,
    product::{READY_MAX, meridian, scratch_folder},
    report::Outcome,
    store::Store,
    subscriber,
};

pub(crate) async fn run(load: &Load) -> Outcome {
    let folder = scratch_folder();
    let (broker, mqtt) = service(&["embedded", "mqtt", "--port", "0"], folder.path());
    let (engine, clickhouse) = service(
        &["embedded", "clickhouse", "--port", "0", "--data-dir", "data"],
        folder.path(),
    );
    let store = Store::new(&clickhouse, "default");
    store.execute(subscriber::TABLE).await;
    let subscriber = Daemon::command(env::current_exe().unwrap())
        .args([subscriber::NAME, &mqtt, &clickhouse])
        .start()
        .unwrap();
    subscriber.wait_for_line(subscriber::READY, READY_MAX).unwrap();

    let observer = Observer::start(&[
        ("broker", broker.pid()),
        ("subscriber", subscriber.pid()),
        ("engine", engine.pid()),
        ("load", std::process::id()),
    ]);
    let published = load.publish(&mqtt).await;
    let visible = store.wait_for_rows("plain", "plain", load.rows()).await;
    let (costs, idle_cpu_seconds) = observer.finish();
    Outcome {
        events: load.events,
        messages: load.messages.len(),
        visible_after: visible - published.first,
        rolled_up_after: None,
        published,
        costs,
        idle_cpu_seconds,
    }
}

/// An embedded service and its address.
fn service(arguments: &[&str], folder: &Path) -> (Daemon, String) {
    const READY: &str = "ready at ";
    let service = meridian(arguments, folder).start().unwrap();
    let line = service.wait_for_line(READY, READY_MAX).unwrap();
    let (_, url) = line.split_once(READY).unwrap();
    (service, url.to_owned())
}
