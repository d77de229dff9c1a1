//! The vocabulary of faults: what can happen, and to whom. Values only: the [`crate::nemesis`] makes them happen.

use std::fmt;

use crate::proxy::Direction;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The broker of the devices.
    Mosquitto,
    /// `meridian ingest`.
    Ingest,
    /// The log.
    Kafka,
    /// One `meridian process`.
    ProcessOne,
    /// Another, in the same group.
    ProcessTwo,
    /// `meridian embedded clickhouse`.
    ClickHouse,
}

impl Part {
    /// All processes, along the path of an event.
    pub const ALL: [Self; 6] = [
        Self::Mosquitto,
        Self::Ingest,
        Self::Kafka,
        Self::ProcessOne,
        Self::ProcessTwo,
        Self::ClickHouse,
    ];

    /// The members of the consumer group.
    pub const PROCESSES: [Self; 2] = [Self::ProcessOne, Self::ProcessTwo];

    /// For messages and file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Ingest => "ingest",
            Self::Kafka => "kafka",
            Self::ProcessOne => "process-1",
            Self::ProcessTwo => "process-2",
            Self::ClickHouse => "clickhouse",
        }
    }
}

/// A connection between processes, with a proxy in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hop {
    /// Devices publish.
    DevicesToMosquitto,
    /// Ingest subscribes.
    IngestToMosquitto,
    /// Ingest produces.
    IngestToKafka,
    /// A processor consumes and commits.
    ProcessOneToKafka,
    /// The other one.
    ProcessTwoToKafka,
    /// A processor inserts.
    ProcessOneToClickHouse,
    /// The other one.
    ProcessTwoToClickHouse,
}

impl Hop {
    /// All hops, along the path of an event.
    pub const ALL: [Self; 7] = [
        Self::DevicesToMosquitto,
        Self::IngestToMosquitto,
        Self::IngestToKafka,
        Self::ProcessOneToKafka,
        Self::ProcessTwoToKafka,
        Self::ProcessOneToClickHouse,
        Self::ProcessTwoToClickHouse,
    ];

    /// For messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DevicesToMosquitto => "devices→mosquitto",
            Self::IngestToMosquitto => "ingest→mosquitto",
            Self::IngestToKafka => "ingest→kafka",
            Self::ProcessOneToKafka => "process-1→kafka",
            Self::ProcessTwoToKafka => "process-2→kafka",
            Self::ProcessOneToClickHouse => "process-1→clickhouse",
            Self::ProcessTwoToClickHouse => "process-2→clickhouse",
        }
    }
}

/// What a processor is configured to do where the product leaves a choice. All of them have the nine levels that the
/// contract names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Setting {
    /// As by default.
    #[default]
    Default,
    /// Flushes often, forgets cells at once, and has a level more.
    Hasty,
    /// Flushes seldom, and remembers cells for long.
    Patient,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Default, Self::Hasty, Self::Patient];

    fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Hasty => "hasty",
            Self::Patient => "patient",
        }
    }
}

/// A disk that can be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Disk {
    /// Under the checkpoints.
    Checkpoints,
    /// Under ClickHouse.
    Engine,
}

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// `SIGKILL`, and started again after a while.
    Kill(Part),
    /// Stopped politely, and started again after a while.
    Restart(Part),
    /// `SIGKILL`, and started again with another configuration. Only processors have one of these.
    CrashInto(Part, Setting),
    /// Stopped politely, and started again with another configuration.
    RestartInto(Part, Setting),
    /// `SIGSTOP`, and `SIGCONT` after a while.
    Pause(Part),
    /// The same with a processor for longer than its session lasts: others own its partitions when it comes back.
    Zombie(Part),
    /// Every piece is late by so many milliseconds.
    Delay(Hop, u16),
    /// Nothing moves, and goes on afterwards.
    Stall(Hop),
    /// All connections end at once, several times over.
    Reset(Hop),
    /// Connections end after so many bytes.
    Cut(Hop, u32),
    /// What goes in one direction is lost.
    OneWay(Hop, Direction),
    /// New connections are refused, and the old ones ended.
    Refuse(Hop),
    /// The clock of one of ours is ahead by so many seconds, or behind, and jumps back afterwards.
    ClockJump(Part, i32),
    /// No space left.
    DiskFull(Disk),
    /// The log loses its first records, as by retention: all but the newest of what the processors have committed.
    Retention,
}

impl Fault {
    /// The kind without its numbers, for counting.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill -9",
            Self::Restart(_) => "graceful restart",
            Self::CrashInto(..) => "kill -9 and other configuration",
            Self::RestartInto(..) => "restart with other configuration",
            Self::Pause(_) => "pause",
            Self::Zombie(_) => "zombie",
            Self::Delay(..) => "delay",
            Self::Stall(_) => "stall",
            Self::Reset(_) => "reset",
            Self::Cut(..) => "cut",
            Self::OneWay(..) => "one-way drop",
            Self::Refuse(_) => "refuse",
            Self::ClockJump(..) => "clock jump",
            Self::DiskFull(_) => "disk full",
            Self::Retention => "retention",
        }
    }

    /// What it happens to; no two faults share it at one time.
    #[must_use]
    pub fn place(&self) -> &'static str {
        match self {
            Self::Kill(part)
            | Self::Restart(part)
            | Self::CrashInto(part, _)
            | Self::RestartInto(part, _)
            | Self::Pause(part)
            | Self::Zombie(part)
            | Self::ClockJump(part, _) => part.name(),
            Self::Delay(hop, _)
            | Self::Stall(hop)
            | Self::Reset(hop)
            | Self::Cut(hop, _)
            | Self::OneWay(hop, _)
            | Self::Refuse(hop) => hop.name(),
            Self::DiskFull(Disk::Checkpoints) => "disk of checkpoints",
            Self::DiskFull(Disk::Engine) => "disk of clickhouse",
            Self::Retention => Part::Kafka.name(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.place())?;
        match self {
            Self::CrashInto(_, setting) | Self::RestartInto(_, setting) => write!(f, ", {}", setting.name()),
            Self::ClockJump(_, seconds) => write!(f, " by {seconds:+} s"),
            Self::Delay(_, pause_ms) => write!(f, " by {pause_ms} ms"),
            Self::Cut(_, bytes) => write!(f, " after {bytes} bytes"),
            Self::OneWay(_, Direction::ToServer) => f.write_str(" to the server"),
            Self::OneWay(_, Direction::ToClient) => f.write_str(" to the client"),
            _ => Ok(()),
        }
    }
}
