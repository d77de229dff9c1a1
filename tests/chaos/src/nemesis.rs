//! Makes faults happen, and heals each when its time is over. Must never touch a process that the stack has not started.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::Semaphore;

use crate::{
    fault::{Fault, Hop, Part},
    limits,
    proxy::Mode,
    schedule::Step,
    stack::{Process, Stack},
};

/// Faults at a time.
const AT_ONCE_MAX: usize = 2;

/// Between two resets of one fault.
const RESET_INTERVAL: Duration = Duration::from_millis(200);

/// A fault that has happened. Times are counted from the beginning of the suite.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// When it began.
    pub began_ms: u64,
    /// When it was healed: a process was started again, and Mosquitto and Kafka also answered.
    pub healed_ms: u64,
    /// Its kind.
    pub kind: &'static str,
    /// The whole of it.
    pub fault: String,
    /// Why it could not be made or healed.
    pub error: Option<String>,
}

/// Who makes faults, and remembers them.
pub struct Nemesis {
    stack: Arc<Stack>,
    started: Instant,
    broker_kills: Mutex<Vec<Instant>>,
}

impl Nemesis {
    /// One for this stack.
    #[must_use]
    pub fn new(stack: Arc<Stack>, started: Instant) -> Self {
        Self {
            stack,
            started,
            broker_kills: Mutex::default(),
        }
    }

    /// When Mosquitto was killed.
    #[must_use]
    pub fn broker_kills(&self) -> Vec<Instant> {
        self.broker_kills.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes through the steps; returns when all is healed. A step waits while two faults are under way, and all later ones
    /// with it.
    pub async fn go_through(self: &Arc<Self>, steps: &[Step]) -> Vec<Happened> {
        let began = Instant::now();
        let mut behind = Duration::ZERO;
        let permits = Arc::new(Semaphore::new(AT_ONCE_MAX));
        let mut under_way = Vec::new();
        for step in steps.iter().copied() {
            tokio::time::sleep_until((began + step.at + behind).into()).await;
            let permit = Arc::clone(&permits).acquire_owned().await;
            behind = began.elapsed().saturating_sub(step.at);
            let nemesis = Arc::clone(self);
            under_way.push((
                step,
                tokio::task::spawn_blocking(move || {
                    let happened = nemesis.make(step.fault, step.lasting);
                    drop(permit);
                    happened
                }),
            ));
        }
        let mut all = Vec::new();
        for (step, task) in under_way {
            all.push(
                task.await
                    .unwrap_or_else(|error| self.failed(step.fault, &error.to_string())),
            );
        }
        all
    }

    fn failed(&self, fault: Fault, error: &str) -> Happened {
        Happened {
            began_ms: self.now_ms(),
            healed_ms: self.now_ms(),
            kind: fault.kind(),
            fault: fault.to_string(),
            error: Some(error.to_owned()),
        }
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Makes one fault, waits, heals it. Blocks.
    pub fn make(&self, fault: Fault, lasting: Duration) -> Happened {
        let began_ms = self.now_ms();
        let error = match fault {
            Fault::Kill(part) | Fault::Restart(part) | Fault::Pause(part) | Fault::Zombie(part) => {
                self.hurt_process(fault, part, lasting)
            }
            Fault::CrashInto(part, setting) => {
                let configured = self.stack.configure(part, setting).map_err(|error| error.to_string());
                configured.and_then(|()| self.hurt_process(Fault::Kill(part), part, lasting))
            }
            Fault::RestartInto(part, setting) => {
                let configured = self.stack.configure(part, setting).map_err(|error| error.to_string());
                configured.and_then(|()| self.hurt_process(Fault::Restart(part), part, lasting))
            }
            Fault::Delay(hop, pause_ms) => {
                self.hurt_hop(hop, Mode::Delay(Duration::from_millis(pause_ms.into())), lasting)
            }
            Fault::Stall(hop) => self.hurt_hop(hop, Mode::Stall, lasting),
            Fault::Cut(hop, bytes) => self.hurt_hop(hop, Mode::CutAfter(bytes), lasting),
            Fault::OneWay(hop, direction) => self.hurt_hop(hop, Mode::OneWay(direction), lasting),
            Fault::Refuse(hop) => {
                // What stands would hide that nothing new can come.
                self.stack.proxy(hop).set(Mode::Refuse);
                self.stack.proxy(hop).reset();
                self.hurt_hop(hop, Mode::Refuse, lasting)
            }
            Fault::Reset(hop) => {
                let until = Instant::now() + lasting;
                while Instant::now() < until {
                    self.stack.proxy(hop).reset();
                    thread::sleep(RESET_INTERVAL);
                }
                Ok(())
            }
            Fault::ClockJump(part, seconds) => {
                let shifted = self.stack.shift_clock(part, seconds);
                thread::sleep(lasting);
                let back = self.stack.shift_clock(part, 0);
                shifted.and(back).map_err(|error| error.to_string())
            }
            Fault::DiskFull(disk) => match self.stack.disk(disk) {
                None => Err("there is no small disk".to_owned()),
                Some(disk) => {
                    let filled = disk.fill().map_err(|error| error.to_string());
                    thread::sleep(lasting);
                    disk.empty();
                    filled
                }
            },
            Fault::Retention => self.stack.expire_records().map_err(|error| error.to_string()),
        };
        Happened {
            began_ms,
            healed_ms: self.now_ms(),
            kind: fault.kind(),
            fault: fault.to_string(),
            error: error.err(),
        }
    }

    fn hurt_hop(&self, hop: Hop, mode: Mode, lasting: Duration) -> Result<(), String> {
        self.stack.proxy(hop).set(mode);
        thread::sleep(lasting);
        self.stack.proxy(hop).set(Mode::Pass);
        Ok(())
    }

    fn hurt_process(&self, fault: Fault, part: Part, lasting: Duration) -> Result<(), String> {
        let mut process = self.stack.process(part);
        match fault {
            Fault::Pause(_) | Fault::Zombie(_) => {
                process.daemon().pause();
                thread::sleep(lasting);
                process.daemon().resume();
                return Ok(());
            }
            Fault::Restart(_) => {
                // Started a moment ago by another fault, it may end as any program does that has not begun yet.
                let is_early = !process.daemon().has_spoken();
                let status = process.daemon().terminate().map_err(|error| error.to_string())?;
                // Java says 143 for a `SIGTERM` that it has obeyed.
                let is_polite = status.success() || part == Part::Kafka || is_early;
                thread::sleep(lasting);
                start_again(&mut process)?;
                return if is_polite {
                    Ok(())
                } else {
                    Err(format!("{} ended with {status} when it was asked to stop", part.name()))
                };
            }
            _ => {}
        }
        if part == Part::Mosquitto {
            let mut kills = self.broker_kills.lock().unwrap_or_else(PoisonError::into_inner);
            kills.push(Instant::now());
        }
        process.daemon().kill9();
        thread::sleep(lasting);
        start_again(&mut process)
    }

    /// Kills ClickHouse again and again, each time in the middle of an INSERT. Blocks.
    pub fn kill_during_inserts(&self, count: u32) -> Vec<Happened> {
        let mut all = Vec::new();
        for index in 0..count {
            let began_ms = self.now_ms();
            let error = self.kill_during_insert(index).err();
            all.push(Happened {
                began_ms,
                healed_ms: self.now_ms(),
                kind: "kill -9 during INSERT",
                fault: "kill -9 clickhouse during INSERT".to_owned(),
                error,
            });
        }
        all
    }

    fn kill_during_insert(&self, index: u32) -> Result<(), String> {
        let bytes = || -> u64 {
            [Hop::ProcessOneToClickHouse, Hop::ProcessTwoToClickHouse]
                .map(|hop| self.stack.proxy(hop).to_server_bytes())
                .iter()
                .sum()
        };
        let deadline = Instant::now() + limits::INSERT_WAIT_MAX;
        while !self.stack.engine_answers() {
            if Instant::now() > deadline {
                return Err("clickhouse does not come back".to_owned());
            }
            thread::sleep(Duration::from_millis(10));
        }
        // More than a question: rows are on their way at this moment.
        let rows_bytes = 4_000;
        let before = bytes();
        while bytes() - before < rows_bytes {
            if Instant::now() > deadline {
                return Err("no INSERT came that could be hit".to_owned());
            }
            thread::yield_now();
        }
        // An INSERT takes some milliseconds; each kill hits another part of it.
        thread::sleep(Duration::from_micros(u64::from(index % 20) * 700));
        let mut process = self.stack.process(Part::ClickHouse);
        process.daemon().kill9();
        start_again(&mut process)
    }

    /// Kills both processors and removes all checkpoints: everything follows from the tables and what is left of the log. Blocks.
    pub fn lose_checkpoints(&self) -> Vec<Happened> {
        let began_ms = self.now_ms();
        let lose = || -> Result<(), String> {
            let mut processes = Part::PROCESSES.map(|part| self.stack.process(part));
            for process in &mut processes {
                process.daemon().kill9();
            }
            let mut removed_count = 0;
            let entries = std::fs::read_dir(self.stack.checkpoints()).map_err(|error| error.to_string())?;
            for entry in entries.filter_map(Result::ok) {
                let path = entry.path();
                let removed = if path.is_dir() {
                    std::fs::remove_dir_all(&path)
                } else {
                    std::fs::remove_file(&path)
                };
                removed.map_err(|error| error.to_string())?;
                removed_count += 1;
            }
            processes.iter_mut().try_for_each(|process| start_again(process))?;
            if removed_count == 0 {
                return Err("there was no checkpoint to lose".to_owned());
            }
            Ok(())
        };
        let error = lose().err();
        vec![Happened {
            began_ms,
            healed_ms: self.now_ms(),
            kind: "all checkpoints lost",
            fault: "all checkpoints lost, both processors killed".to_owned(),
            error,
        }]
    }
}

/// Starts the same process on the same data. Mosquitto and Kafka answer when this returns; our own may still be starting.
pub(crate) fn start_again(process: &mut Process) -> Result<(), String> {
    match process {
        Process::Mosquitto(mosquitto) => mosquitto.restart(),
        Process::Kafka(kafka) => kafka.restart(),
        Process::Meridian(daemon) => daemon.restart().map_err(|error| error.to_string())?,
    }
    Ok(())
}
