//! The parts of a process that run side by side, and how they end together: each part depends on those started before
//! it, so the last one started is stopped first, each within its own deadline. The one place that spawns them.

use std::{future::Future, pin::pin, time::Duration};

use futures::future::select_all;
use platform::shutdown::{Drain, Shutdown, ShutdownTrigger};
use tokio::task::{JoinError, JoinHandle};

use crate::failure::Failure;

/// Parts that run, in the order in which they were started.
#[derive(Default)]
pub(crate) struct Stages {
    stages: Vec<Stage>,
}

struct Stage {
    name: &'static str,
    deadline: Duration,
    trigger: ShutdownTrigger,
    task: JoinHandle<Result<(), Failure>>,
}

type Ended = Result<Result<(), Failure>, JoinError>;

impl Stages {
    /// Starts a part. It is stopped before those that were added earlier.
    pub(crate) fn add<F>(&mut self, name: &'static str, deadline: Duration, start: impl FnOnce(Shutdown) -> F)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (trigger, shutdown) = Shutdown::new();
        let task = tokio::spawn(start(shutdown));
        self.stages.push(Stage {
            name,
            deadline,
            trigger,
            task,
        });
    }

    /// Runs until shutdown is requested, a part ends, or `ready` fails; then stops everything. What `ready` returns is
    /// dropped as soon as stopping begins.
    ///
    /// # Errors
    /// The first failure; else the parts that did not stop in time.
    pub(crate) async fn run<R>(
        mut self,
        shutdown: &Shutdown,
        ready: impl Future<Output = Result<R, Failure>>,
    ) -> Result<(), Failure> {
        let mut ready = pin!(ready);
        let mut promise = None;
        let cause = loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => break Ok(()),
                (index, ended) = self.first_ended() => break Err(self.remove(index, ended)),
                outcome = &mut ready, if promise.is_none() => match outcome {
                    Ok(made) => promise = Some(made),
                    Err(failure) => break Err(failure),
                },
            }
        };
        drop(promise);
        if let Err(failure) = &cause {
            tracing::error!(error = %failure, "stopping everything, since a part failed");
        }
        let stopped = self.stop().await;
        cause.and(stopped)
    }

    async fn first_ended(&mut self) -> (usize, Ended) {
        if self.stages.is_empty() {
            return std::future::pending().await;
        }
        let (ended, index, _) = select_all(self.stages.iter_mut().map(|stage| &mut stage.task)).await;
        (index, ended)
    }

    /// Takes out a part that ended before it was asked to.
    fn remove(&mut self, index: usize, ended: Ended) -> Failure {
        let name = self.stages.remove(index).name;
        match ended {
            Ok(Err(failure)) => failure,
            Ok(Ok(())) => Failure::runtime(format!("`{name}` ended on its own")),
            Err(panic) => Failure::runtime(format!("`{name}` ended unexpectedly, a defect: {panic}")),
        }
    }

    /// Stops everything, the newest part first.
    ///
    /// # Errors
    /// The first failure of a part; else the parts that did not stop in time.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let mut drain = Drain::new();
        let mut first_failure = Ok(());
        for mut stage in self.stages.into_iter().rev() {
            stage.trigger.request();
            let outcome = match drain.stage(stage.name, stage.deadline, &mut stage.task).await {
                Some(Ok(outcome)) => outcome,
                Some(Err(panic)) => {
                    let name = stage.name;
                    Err(Failure::runtime(format!(
                        "`{name}` ended unexpectedly, a defect: {panic}"
                    )))
                }
                None => {
                    stage.task.abort();
                    Ok(())
                }
            };
            first_failure = first_failure.and(outcome);
        }
        first_failure.and(drain.finish().map_err(Failure::runtime))
    }
}
