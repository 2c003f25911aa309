//! The progress of a long job, for display.

/// One step of a long job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done, for people, such as `replaying blocks`.
    pub stage: &'a str,
    /// The channel or folder of the job.
    pub subject: &'a str,
    /// Blocks done.
    pub done: u64,
    /// Blocks in all; the job ends with `done == total`.
    pub total: u64,
}

/// A long job calls this often enough for a progress bar.
pub type ProgressFn<'a> = dyn FnMut(Progress<'_>) + 'a;
