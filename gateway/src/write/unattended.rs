//! Work that goes on when the request that began it is gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Work that its awaiter does, without a change of task. If this is dropped, the rest goes on in a task of
/// its own. As in a task, a panic ends only the work.
pub(crate) struct Unattended(Option<Work>);

impl Unattended {
    pub(crate) fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl Future for Unattended {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // The work is not kept after a panic: nobody may poll it again.
        let Some(mut work) = self.0.take() else {
            return Poll::Ready(());
        };
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        if let Ok(Poll::Pending) = polled {
            self.0 = Some(work);
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Drop for Unattended {
    fn drop(&mut self) {
        // Without a runtime nothing can go on: the process ends.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Work in two steps, of which the second waits for a signal, and a channel that reports the steps.
    fn work() -> (Unattended, oneshot::Sender<()>, mpsc::UnboundedReceiver<u8>) {
        let (go_on, told) = oneshot::channel();
        let (done, steps) = mpsc::unbounded_channel();
        let work = Unattended::new(async move {
            done.send(1).unwrap();
            told.await.unwrap();
            done.send(2).unwrap();
        });
        (work, go_on, steps)
    }

    #[tokio::test]
    async fn work_goes_on_where_it_was_when_nobody_awaits_it_any_more() {
        for is_begun in [true, false] {
            let (mut work, go_on, mut steps) = work();
            if is_begun {
                poll_fn(|context| {
                    assert!(Pin::new(&mut work).poll(context).is_pending());
                    Poll::Ready(())
                })
                .await;
                assert_eq!(steps.try_recv(), Ok(1));
            }
            drop(work);
            if !is_begun {
                assert_eq!(steps.recv().await, Some(1));
            }
            go_on.send(()).unwrap();
            assert_eq!(steps.recv().await, Some(2));
            assert_eq!(steps.recv().await, None);
        }
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_who_awaits_it() {
        let (done, mut steps) = mpsc::unbounded_channel::<u8>();
        Unattended::new(async move {
            let _done = done;
            panic!("as a bug would");
        })
        .await;
        // It was dropped with all that it held, and not begun again.
        assert_eq!(steps.recv().await, None);
    }
}
