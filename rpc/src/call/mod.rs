//! One call of a method: its messages, its deadline, its memory, and the threads that work on it.

mod deadline;
mod held;
mod method;
mod patience;
mod raw;
mod threads;

pub(crate) use method::{
    Answers, Caller, Requests, open, server_streaming, streaming, unary, unknown,
};
pub(crate) use threads::{Threads, by_size, drive};
