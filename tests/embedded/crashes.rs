//! Over real Mosquitto, real Kafka and the ClickHouse engine in a process of its own, roles are killed at random
//! moments of a replay: every row and every rollup cell must come out as if nothing had happened.
//!
//! The test replays a small table of its own. `MERIDIAN_REPLAY_FILE` and `MERIDIAN_REPLAY_MAP` name another one, and
//! `MERIDIAN_REPLAY_KILLS` how often each role is killed.

use std::{fs, path::Path, thread, time::Duration};

use rig::{Daemon, Kafka, Mosquitto, MosquittoOptions};
use tempfile::TempDir;

use crate::{
    cars,
    meridian::{READY_MAX, command, daemon},
};

/// A deployment of real daemons, and the two roles between them.
struct Deployment {
    mosquitto: Mosquitto,
    _kafka: Kafka,
    _engine: Daemon,
    process: Daemon,
    ingest: Daemon,
    folder: TempDir,
}

impl Deployment {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mosquitto, kafka) = (Mosquitto::start_with(MosquittoOptions::default()), Kafka::start());
        let engine = daemon(&["embedded", "clickhouse", "--port", "0", "--data-dir", "engine"]);
        let engine = engine.current_dir(folder.path()).start().unwrap();
        let ready = engine.wait_for_line("ready at ", READY_MAX).unwrap();
        let config = format!(
            "[[mqtt.brokers]]\nname = \"edge\"\nurl = \"{}\"\n[kafka]\nbrokers = \"{}\"\n[log]\npartitions = 4\n\
             [clickhouse]\nurl = \"{}\"\n[checkpoints]\nurl = \"file:./checkpoints\"\n",
            mosquitto.url(),
            kafka.bootstrap(),
            ready.strip_prefix("ready at ").unwrap(),
        );
        fs::write(folder.path().join("meridian.toml"), config).unwrap();
        let role = |name: &str| {
            let role = daemon(&[name, "--config", "meridian.toml", "--metrics-port", "0"]);
            let role = role.current_dir(folder.path()).start().unwrap();
            role.wait_for_line(&format!("meridian {name} is ready"), READY_MAX)
                .unwrap();
            role
        };
        let (process, ingest) = (role("process"), role("ingest"));
        Self {
            mosquitto,
            _kafka: kafka,
            _engine: engine,
            process,
            ingest,
            folder,
        }
    }

    /// Everything adds up, by the ledger and the ends of Kafka's partitions; the roles themselves cannot be asked here.
    fn audit(&self) {
        let arguments = [
            "audit",
            "--config",
            "meridian.toml",
            "--metrics",
            "http://127.0.0.1:9/metrics",
            "--format",
            "json",
        ];
        let output = command(&arguments, self.folder.path()).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert_eq!(report["unanswered"].as_array().unwrap().len(), 1, "{report:#}");
        let partitions = report["partitions"].as_array().unwrap();
        assert!(
            partitions
                .iter()
                .all(|books| books["log_end"].as_u64() >= books["to"].as_u64()),
            "{report:#}"
        );
        assert!(
            partitions.iter().any(|books| books["records"].as_u64() > Some(0)),
            "{report:#}"
        );
    }

    /// Replays a table while `role` is killed and started again so many times.
    fn replay_with_kills(&mut self, tenant: &str, role: impl Fn(&mut Self) -> &mut Daemon) {
        let (file, map) = table(self.folder.path());
        let kills = std::env::var("MERIDIAN_REPLAY_KILLS").map_or(3, |kills| kills.parse().unwrap());
        let mqtt_url = self.mosquitto.url();
        let arguments = [
            "loadtest",
            "replay",
            &file,
            "--map",
            &map,
            "--tenant",
            tenant,
            "--mqtt-url",
            &mqtt_url,
        ];
        // A processor that died is missed by its group after 15 s only, so new rows may be long in coming.
        let slowly = [
            "--rate",
            "4000",
            "--patience",
            "90s",
            "--config",
            "meridian.toml",
            "--report",
            "report.json",
        ];
        let mut replay = daemon(&[&arguments[..], &slowly].concat())
            .current_dir(self.folder.path())
            .start()
            .unwrap();
        replay.wait_for_line("replaying", READY_MAX).unwrap();
        for kill in 0..kills {
            // Moments that differ from run to run, since the phases of flushes and checkpoints do.
            thread::sleep(Duration::from_millis(400 + 350 * (kill % 5)));
            role(self).kill9();
            role(self).restart().unwrap();
        }
        let status = replay.wait_for_exit(Duration::from_secs(600)).unwrap();
        assert_eq!(status.code(), Some(0), "{}\n{}", replay.log(), role(self).log());
        let report = fs::read(self.folder.path().join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["clean"], true, "{report:#}");
    }
}

/// The table to replay and its mapping.
fn table(folder: &Path) -> (String, String) {
    if let Ok(file) = std::env::var("MERIDIAN_REPLAY_FILE") {
        let map = std::env::var("MERIDIAN_REPLAY_MAP").expect("a file of one's own needs a mapping");
        return (file, map);
    }
    cars::write(folder, 12_000, 97);
    (cars::FILE.to_owned(), cars::MAP.to_owned())
}

#[test]
fn roles_killed_in_the_middle_lose_nothing_and_count_nothing_twice() {
    let mut deployment = Deployment::start();
    deployment.replay_with_kills("processed", |deployment| &mut deployment.process);
    deployment.replay_with_kills("ingested", |deployment| &mut deployment.ingest);
    deployment.audit();
}
