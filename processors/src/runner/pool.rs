//! The workers of an instance, each behind a bounded queue, on threads of their own or on the runtime.

use std::{sync::Arc, thread};

use tokio::sync::mpsc;

use super::{
    ProcessError, RowSink,
    worker::{Command, Pressure, Worker},
};
use crate::{config::Workers, limits};

/// Number of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WorkerId(pub(super) usize);

/// All workers. They end when it is dropped, after what was sent to them.
pub(super) struct WorkerPool<E> {
    queues: Vec<mpsc::Sender<Command<E>>>,
    threads: Vec<thread::JoinHandle<()>>,
    pressure: Arc<Pressure>,
}

impl<E: Send + 'static> WorkerPool<E> {
    pub(super) fn start<S: RowSink<Encoded = E>>(workers: Workers, sink: &Arc<S>) -> Result<Self, ProcessError> {
        let pressure = Arc::new(Pressure::default());
        let mut pool = Self {
            queues: Vec::new(),
            threads: Vec::new(),
            pressure: pressure.clone(),
        };
        for number in 0..workers.count() {
            let (queue, mut commands) = mpsc::channel(limits::WORKER_QUEUE_BATCHES);
            let mut worker = Worker::new(sink.clone(), pressure.clone());
            match workers {
                Workers::Threads(_) => {
                    let thread = thread::Builder::new()
                        .name(format!("process-{number}"))
                        .spawn(move || {
                            while let Some(command) = commands.blocking_recv() {
                                worker.handle(command);
                            }
                        })
                        .map_err(ProcessError::Thread)?;
                    pool.threads.push(thread);
                }
                Workers::Runtime(_) => {
                    tokio::spawn(async move {
                        while let Some(command) = commands.recv().await {
                            worker.handle(command);
                        }
                    });
                }
            }
            pool.queues.push(queue);
        }
        Ok(pool)
    }

    pub(super) fn worker_ids(&self) -> impl Iterator<Item = WorkerId> + use<E> {
        (0..self.queues.len()).map(WorkerId)
    }

    pub(super) fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// Queues a command. Waits while the queue is full, which a worker always empties.
    pub(super) async fn send(&self, worker: WorkerId, command: Command<E>) -> Result<(), ProcessError> {
        let queue = &self.queues[worker.0];
        queue.send(command).await.map_err(|_| ProcessError::WorkerLost)
    }

    /// Lets the workers finish what they have, and waits for their threads.
    pub(super) async fn stop(self) -> Result<(), ProcessError> {
        drop(self.queues);
        if self.threads.is_empty() {
            return Ok(());
        }
        let joined =
            tokio::task::spawn_blocking(move || self.threads.into_iter().try_for_each(thread::JoinHandle::join));
        match joined.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ProcessError::WorkerLost),
        }
    }
}
