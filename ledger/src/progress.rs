//! How far a long job has come, for whoever shows it.

/// One step of a long job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done, for people: `replaying blocks`.
    pub stage: &'a str,
    /// The channel or folder it is done to.
    pub subject: &'a str,
    /// Blocks done.
    pub done: u64,
    /// Blocks in all; the job ends with `done == total`.
    pub total: u64,
}

/// Called now and then by a long job, often enough for a progress bar.
pub type ProgressFn<'a> = dyn FnMut(Progress<'_>) + 'a;
