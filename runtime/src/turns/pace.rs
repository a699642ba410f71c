//! One call at its pace: each poll of the guest is a tick at most, since a guest stops at each of them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

use super::{Seat, Turns, Whose};
use crate::limits::FIRST_SLICE;

/// How a guest computes.
pub(super) struct Pace<'a> {
    turns: &'a Turns,
    whose: Whose<'a>,
    /// Whether the guest can go on. It is not polled before, for that would take a turn for nothing.
    woken: Arc<Woken>,
    waker: Waker,
    /// For how long it has computed.
    used: Duration,
    /// Once it takes turns.
    seat: Option<Seat>,
    /// Whether it has waited for the turn that comes.
    waited: bool,
    /// Goes on when its thread has nothing else to do.
    aside: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<'a> Pace<'a> {
    pub(super) fn new(turns: &'a Turns, whose: Whose<'a>) -> Self {
        let woken = Arc::new(Woken {
            set: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            turns,
            whose,
            waker: Waker::from(Arc::clone(&woken)),
            woken,
            used: Duration::ZERO,
            seat: None,
            waited: false,
            aside: None,
        }
    }

    pub(super) fn poll<F: Future>(
        &mut self,
        guest: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        if let Some(aside) = &mut self.aside {
            ready!(aside.as_mut().poll(context));
            self.aside = None;
        }
        if !self.woken.is_set(context) {
            return Poll::Pending;
        }
        if self.used >= FIRST_SLICE {
            let seat = self
                .seat
                .get_or_insert_with(|| self.turns.join(self.whose, self.used));
            if !seat.want(context.waker()) {
                self.waited = true;
                return Poll::Pending;
            }
            // Whoever hands a turn over wakes the next one on its own thread, before all that waits there.
            if std::mem::take(&mut self.waited) {
                ready!(self.step_aside(context));
            }
        }
        self.woken.clear();
        let began = Instant::now();
        let polled = guest.poll(&mut Context::from_waker(&self.waker));
        let took = began.elapsed();
        self.used = self.used.saturating_add(took);
        // A guest that stopped at a tick has woken itself.
        let goes_on = polled.is_pending() && self.woken.is_set(context);
        if let Some(seat) = &self.seat {
            seat.end(took, goes_on.then(|| context.waker()));
        }
        if goes_on && self.step_aside(context).is_ready() {
            context.waker().wake_by_ref();
        }
        polled
    }

    /// Lets all others of this thread by.
    fn step_aside(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut aside: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(tokio::task::yield_now());
        if aside.as_mut().poll(context).is_pending() {
            self.aside = Some(aside);
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Drop for Pace<'_> {
    fn drop(&mut self) {
        // Whoever still could wake the guest keeps its task no longer.
        self.woken.task.take();
    }
}

/// Wakes the task of a guest, and knows that the guest was meant.
struct Woken {
    set: AtomicBool,
    task: AtomicWaker,
}

impl Woken {
    /// Whether the guest was woken. If not, this task is woken when it is.
    fn is_set(&self, context: &Context<'_>) -> bool {
        self.task.register(context.waker());
        self.set.load(Ordering::Acquire)
    }

    /// Before the guest is polled: what it wakes then is itself, and its task runs already.
    fn clear(&self) {
        self.task.take();
        self.set.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set.store(true, Ordering::Release);
        self.task.wake();
    }
}
