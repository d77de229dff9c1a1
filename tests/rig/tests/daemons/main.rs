//! The rig keeps its promises with the real daemons: each one answers, survives what the rig can do to it, and is gone
//! when its value is dropped.

mod child;
mod kafka;
mod mosquitto;
mod redis;

/// Whether a process with this id exists.
fn exists(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}
