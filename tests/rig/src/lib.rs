//! Starts the real daemons that tests run against.
