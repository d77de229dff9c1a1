//! Waits of librdkafka that take as long as they should while the clock is set.
//!
//! librdkafka waits with `cnd_timedwait` of C11, whose deadline is a time of day: of a wait that is under way, setting the
//! clock back by five minutes makes one of five minutes. Heartbeats stop, and lost connections are not made again. C11
//! knows no other wait, so this is one: the linker takes it instead of the C library's.

use std::ffi::c_int;

use libc::{CLOCK_MONOTONIC, CLOCK_REALTIME, clockid_t, pthread_cond_t, pthread_mutex_t, timespec};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Results of C11's `threads.h`, as the C library numbers them.
const THRD_SUCCESS: c_int = 0;
const THRD_ERROR: c_int = 2;
const THRD_TIMEDOUT: c_int = 4;

unsafe extern "C" {
    fn pthread_cond_clockwait(
        condition: *mut pthread_cond_t,
        mutex: *mut pthread_mutex_t,
        clock: clockid_t,
        deadline: *const timespec,
    ) -> c_int;
}

/// Waits for `condition` until `deadline`, a time of day, as the clock stands now.
///
/// # Safety
/// As C11 has it: the condition and the mutex were made by `cnd_init` and `mtx_init`, the mutex is held by this thread, and
/// the deadline can be read. The C library makes both as those of POSIX threads, so these take them.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn cnd_timedwait(
    condition: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    deadline: *const timespec,
) -> c_int {
    // SAFETY: the caller's deadline can be read.
    let left = nanos(unsafe { &*deadline }) - now(CLOCK_REALTIME);
    let deadline = now(CLOCK_MONOTONIC) + left.max(0);
    let deadline = timespec {
        tv_sec: deadline / NANOS_PER_SECOND,
        tv_nsec: deadline % NANOS_PER_SECOND,
    };
    // SAFETY: the caller vouches for the condition and the mutex.
    match unsafe { pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &raw const deadline) } {
        0 => THRD_SUCCESS,
        libc::ETIMEDOUT => THRD_TIMEDOUT,
        _ => THRD_ERROR,
    }
}

fn now(clock: clockid_t) -> i64 {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is ours to write to.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    debug_assert_eq!(failed, 0, "both clocks are on every machine");
    nanos(&time)
}

/// Good for 292 years.
fn nanos(time: &timespec) -> i64 {
    time.tv_sec
        .saturating_mul(NANOS_PER_SECOND)
        .saturating_add(time.tv_nsec)
}
