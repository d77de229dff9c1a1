//! Leaving the process while the engine runs.
//!
//! The library registers an exit handler that takes the engine down beneath its own threads, which was seen to end in
//! a segmentation fault when a process returned from `main` with the server running. A process that stops its server
//! first never gets there. For all others a handler of ours, registered later and hence run earlier, ends the process
//! at once with the status it asked for: the engine's data is made to survive far worse.

use std::{
    ffi::{c_int, c_void},
    sync::atomic::{AtomicU64, Ordering},
};

unsafe extern "C" {
    fn on_exit(handler: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    fn _exit(status: c_int) -> !;
}

/// To be called after every start of the engine, and now and then: the library registers its handler at the first one, and
/// destructors of its parts when these are first used. Of the calls since, those count whose number is a power of two.
pub(super) fn leave_engine_behind() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    if calls.is_power_of_two() {
        // SAFETY: the handler is a plain function that uses no argument.
        let failed = unsafe { on_exit(end_at_once, std::ptr::null_mut()) };
        if failed != 0 {
            tracing::warn!("no room for an exit handler: leaving the process with a running engine may crash");
        }
    }
}

extern "C" fn end_at_once(status: c_int, _argument: *mut c_void) {
    if super::engine::is_running() {
        // SAFETY: ends the process; nothing runs after it.
        unsafe { _exit(status) }
    }
}
