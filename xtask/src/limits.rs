//! Every bound of the tasks, with its reason.

/// Above this a source file needs an entry, with a reason, in tidy's allow list: a reader keeps about one such file in
/// mind.
pub(crate) const SOURCE_LINES_MAX: usize = 500;

/// Slowest part of `setup` without new output: Maven and npm print nothing while they download.
pub(crate) const QUIET_HINT: &str = "this can take some minutes";

/// Bytes of the unpacked engine library and its archive together, told before the download starts.
pub(crate) const LIBCHDB_DOWNLOAD_MIB: u32 = 170;
