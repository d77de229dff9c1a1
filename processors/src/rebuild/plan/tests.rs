//! What becomes of snapshots, by the smallest examples.
