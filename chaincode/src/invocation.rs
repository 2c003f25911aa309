//! A call that was begun: done, or waiting for somebody else, and then no thread waits with it.
//!
//! ```text
//! begin --> Done(..)
//!       --> Waiting --- ready ---> Piece --- run ---> Done(..)
//!              ^                               |
//!              +-------------------------------+
//! ```
//!
//! A chaincode of this process is done when it returns, and nothing is put on the heap for it. One of another
//! process asks for something, is answered, and asks again: between two such pieces of work its call is a
//! future that anything may wake. Whoever drives it decides on which thread a [`Piece`] runs, by what that
//! says it [costs](Weight). To drop a call is to end it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quire_ledger::Halt;

/// How far a call has come.
#[must_use = "a call that is dropped is ended"]
pub enum Invocation<T> {
    /// To its end.
    Done(T),
    /// It waits for somebody else.
    Waiting(Waiting<T>),
}

/// What a call waits for. A future that costs nothing while it is not ready.
pub struct Waiting<T>(Pin<Box<dyn Future<Output = Piece<T>> + Send>>);

/// Work on a call, to be done at one go.
pub struct Piece<T> {
    weight: Weight,
    work: Box<dyn FnOnce(Patience) -> Invocation<T> + Send>,
}

/// Ends the queries of a piece of work when nobody waits for them any more; none where all have time.
pub type Patience = Option<Arc<dyn Halt>>;

/// What work on a call costs, and so which threads are for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A few keys, and little to parse: some microseconds on the embedded engine.
    Brief,
    /// The keys that it names, and no more.
    Keys,
    /// It may read more than the keys that it names.
    Scan,
}

impl<T: 'static> Invocation<T> {
    /// A call that waits.
    pub fn wait(until: impl Future<Output = Piece<T>> + Send + 'static) -> Self {
        Self::Waiting(Waiting(Box::pin(until)))
    }

    /// What the call came to; none where it waits.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(done) => Some(done),
            Self::Waiting(_) => None,
        }
    }

    /// Goes on with what the call comes to, at once where it is done.
    pub fn map<U: 'static>(self, f: impl FnOnce(T) -> U + Send + 'static) -> Invocation<U> {
        self.then(|done| Invocation::Done(f(done)))
    }

    /// The same with work that may wait again, as a call of another chaincode does.
    pub fn then<U: 'static>(
        self,
        f: impl FnOnce(T) -> Invocation<U> + Send + 'static,
    ) -> Invocation<U> {
        match self {
            Self::Done(done) => f(done),
            Self::Waiting(Waiting(until)) => Invocation::wait(async move {
                let Piece { weight, work } = until.await;
                Piece::new(weight, move |patience| work(patience).then(f))
            }),
        }
    }
}

impl<T> Piece<T> {
    /// Work that costs so much. What scans in it ends when its [`Patience`] does.
    pub fn new(
        weight: Weight,
        work: impl FnOnce(Patience) -> Invocation<T> + Send + 'static,
    ) -> Self {
        let work = Box::new(work);
        Self { weight, work }
    }

    /// What it costs.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// Does it. Blocks for as long as its weight says.
    pub fn run(self, patience: Patience) -> Invocation<T> {
        (self.work)(patience)
    }
}

impl<T> Future for Waiting<T> {
    type Output = Piece<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Piece<T>> {
        self.0.as_mut().poll(context)
    }
}

impl<T: fmt::Debug> fmt::Debug for Invocation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(done) => f.debug_tuple("Done").field(done).finish(),
            Self::Waiting(_) => f.write_str("Waiting(..)"),
        }
    }
}

impl<T> fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting(..)")
    }
}

impl<T> fmt::Debug for Piece<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece")
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::task::Waker;

    use super::*;

    /// Runs the next piece of a call whose wait is over.
    fn go_on<T: fmt::Debug>(call: Invocation<T>, weight: Weight) -> Invocation<T> {
        let Invocation::Waiting(mut waiting) = call else {
            panic!("{call:?} is done");
        };
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(piece) = Pin::new(&mut waiting).poll(&mut context) else {
            panic!("the wait is not over");
        };
        assert_eq!(piece.weight(), weight);
        piece.run(None)
    }

    #[test]
    fn what_follows_a_call_follows_its_last_piece() {
        let last = |n| Piece::new(Weight::Scan, move |_| Invocation::Done(n + 1));
        let first = Piece::new(Weight::Brief, move |_| Invocation::wait(ready(last(1))));
        let call = Invocation::wait(ready(first))
            .then(|n| {
                Invocation::wait(ready(Piece::new(Weight::Keys, move |_| {
                    Invocation::Done(n * 10)
                })))
            })
            .map(|n: i32| n.to_string());
        let call = go_on(call, Weight::Brief);
        let call = go_on(call, Weight::Scan);
        let call = go_on(call, Weight::Keys);
        assert_eq!(call.done().as_deref(), Some("20"));
    }

    #[test]
    fn what_follows_a_call_that_is_done_waits_for_nothing() {
        let call = Invocation::Done(1)
            .then(|n| Invocation::Done(n + 1))
            .map(|n| n * 10);
        assert_eq!(call.done(), Some(20));
    }
}
