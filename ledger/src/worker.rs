//! A thread that does one thing at a time for the thread that commits.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// The committing thread's end. When this is dropped, the thread finishes what it has begun and ends.
#[derive(Debug)]
pub(crate) struct Worker<J, D> {
    name: &'static str,
    /// `None` once the thread has been told to end.
    jobs: Option<SyncSender<J>>,
    done: Receiver<D>,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static, D: Send + 'static> Worker<J, D> {
    /// Starts a thread that does `work` with every job.
    pub(crate) fn start(
        name: &'static str,
        mut work: impl FnMut(J) -> D + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, to_do) = sync_channel::<J>(1);
        let (tell, done) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for job in to_do {
                    if tell.send(work(job)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            name,
            jobs: Some(jobs),
            done,
            thread: Some(thread),
        })
    }

    /// Hands a job over, after [`Self::wait`] returned the one before. Returns whether there is a thread for
    /// it: after a panic there is none.
    #[must_use]
    pub(crate) fn begin(&self, job: J) -> bool {
        let jobs = self.jobs.as_ref();
        jobs.is_some_and(|jobs| jobs.send(job).is_ok())
    }

    /// Waits for the result of the job that was handed over; `None` if the thread panicked.
    pub(crate) fn wait(&self) -> Option<D> {
        self.done.recv().ok()
    }
}

impl<J, D> Drop for Worker<J, D> {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(thread = self.name, "a thread of a ledger panicked");
        }
    }
}
