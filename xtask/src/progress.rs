//! One line per step: what is done, and how long it took. Must never hide the output of a failing step.

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::time::{Duration, Instant};

/// The steps of one task, for the summary at its end.
pub(crate) struct Progress {
    started: Instant,
    done: Vec<(String, Duration)>,
    failed: Vec<String>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            done: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Announces a step, runs it and prints its time; an error names the step.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("==> {name}");
        let _ = std::io::stdout().flush();
        let started = Instant::now();
        let result = work().with_context(|| format!("`{name}` failed"))?;
        let took = started.elapsed();
        println!("    {name}: {}", seconds(took));
        self.done.push((name.to_owned(), took));
        Ok(result)
    }

    /// Like [`Progress::step`], but a failure only counts at the end: one run is to tell everything that is wrong.
    pub(crate) fn check(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        if let Err(error) = self.step(name, work) {
            println!("    error: {error:#}");
            self.failed.push(name.to_owned());
        }
    }

    /// Prints the summary. An error names every check that failed.
    pub(crate) fn finish_checked(&self, next: &str) -> Result<()> {
        if self.failed.is_empty() {
            self.finish(next);
            return Ok(());
        }
        self.finish("not everything passed; what failed is told above, at its step");
        bail!("failed: {}", self.failed.join(", "));
    }

    /// Prints every step with its time, and what to do next.
    pub(crate) fn finish(&self, next: &str) {
        println!();
        for (name, took) in &self.done {
            println!("  {:>9}  {name}", seconds(*took));
        }
        println!("  {:>9}  in total", seconds(self.started.elapsed()));
        println!("\n{next}");
    }
}

/// `1.2 s`, or `3 min 5 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::{Progress, seconds};
    use anyhow::bail;
    use std::time::Duration;

    #[test]
    fn short_and_long_times_are_readable() {
        assert_eq!(seconds(Duration::from_millis(1249)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 5 s");
    }
    #[test]
    fn every_check_runs_and_every_failure_is_named() {
        let mut progress = Progress::new();
        let mut ran = 0;
        for (name, passes) in [("first", false), ("second", true), ("third", false)] {
            progress.check(name, || {
                ran += 1;
                if passes { Ok(()) } else { bail!("broken") }
            });
        }
        let error = progress.finish_checked("next").expect_err("two failed");
        assert_eq!((ran, error.to_string().as_str()), (3, "failed: first, third"));
    }

    #[test]
    fn checks_that_passed_are_no_error() {
        let mut progress = Progress::new();
        progress.check("only", || Ok(()));
        assert!(progress.finish_checked("next").is_ok());
    }
}
