//! The HTTP side: health, queries, live stream, web dashboard.
