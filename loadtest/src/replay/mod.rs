//! Replays a file of real positions as telemetry, with duplicates and poison, and checks what has become of it.
//!
//! In the order of a run: the column mapping, the table, the plan of messages, and the run itself. Must never publish
//! what the plan does not know, or the oracle would be wrong.

mod map;
mod plan;
mod run;
mod sent;
mod table;

pub use map::{ColumnMap, MapError, NumberColumn, parse_map};
pub use plan::{Plan, PlanOptions, Step};
pub use run::{Endpoints, ReplayOptions, replay};
pub use table::{Table, TableEvent, read_file};
