//! Free TCP ports on loopback. A port handed out is not handed out again while this process lives, also not by another
//! test process on the machine, so a daemon can be restarted on the port it had.

use crate::limits::PORTS;
use std::fs::{self, File};
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// Locks on the ports this process has handed out. A global, because the promise is about the whole process: the kernel
/// releases the locks when it ends, however it ends.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A TCP port on loopback that nobody listens on.
///
/// # Panics
/// When every port of the range is taken.
#[must_use]
pub fn free() -> u16 {
    let folder = std::env::temp_dir().join("meridian-ports");
    // Another account may own the folder; then ports are still checked by binding them.
    let _ = fs::create_dir_all(&folder);
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let width = u32::from(PORTS.end - PORTS.start);
    // Processes start at different places, so that they rarely look at the same port.
    let start = std::process::id().wrapping_mul(97) + u32::try_from(held.len()).unwrap_or(0);
    for step in 0..width {
        let offset = u16::try_from(start.wrapping_add(step) % width).expect("the range is u16");
        let port = PORTS.start + offset;
        let Ok(lock) = File::create(folder.join(port.to_string())) else {
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
            continue;
        };
        if lock.try_lock().is_err() || TcpListener::bind(("127.0.0.1", port)).is_err() {
            continue;
        }
        held.push(lock);
        return port;
    }
    panic!("no free port between {} and {}", PORTS.start, PORTS.end);
}
