//! Simulated fleets, replays and the oracles that check every rollup cell.
