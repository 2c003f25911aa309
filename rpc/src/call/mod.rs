//! One call of a method: its messages, its deadline, its memory, and the threads that work on it.

mod deadline;
mod held;
mod method;
mod patience;
mod threads;

pub(crate) use deadline::Deadline;
pub(crate) use method::{Answers, server_streaming, unary, unknown};
pub(crate) use threads::{Threads, drive};
