//! How a process stops: the first signal drains stage by stage, a second one ends it at once.
//!
//! `cargo run -p platform --example until_signalled -- 5` takes five seconds to drain.

use std::{error::Error, io::Write, time::Duration};

use platform::shutdown::{Drain, Shutdown, Signals};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let drain_seconds: u64 = std::env::args().nth(1).unwrap_or_default().parse().unwrap_or(1);
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(Signals::listen()?.drive(trigger));
    writeln!(std::io::stdout(), "ready")?;

    shutdown.requested().await;
    writeln!(std::io::stdout(), "draining")?;
    let mut drain = Drain::new();
    let work = tokio::time::sleep(Duration::from_secs(drain_seconds));
    drain.stage("work", Duration::from_secs(30), work).await;
    drain.finish()?;
    writeln!(std::io::stdout(), "drained")?;
    Ok(())
}
