//! The executors of a server: made ahead, kept for one tenant and one package, ended when they were idle or did wrong.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::maker::Maker;
use super::reins::Held;
use super::wire::{HEAD, Kind, Message, length, open, send_with};
use crate::catalog::Native;
use crate::ids::{Digest, Tenant};
use crate::limits::{
    EXECUTOR_AGE_MAX, EXECUTOR_CALLS_MAX, EXECUTOR_IDLE_MAX, EXECUTOR_START_MAX, EXECUTORS_MAX,
    EXECUTORS_WARM,
};

/// How often those that idle are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Why there is no executor for a call.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// All that there may be are at work.
    #[error("every executor is at work")]
    Taken,
    /// None can be made.
    #[error("an executor cannot be made: {0}")]
    Make(#[source] io::Error),
    /// It did not begin.
    #[error("an executor did not begin within {} s", EXECUTOR_START_MAX.as_secs())]
    Slow,
    /// It said something else than it should.
    #[error("an executor did not begin as it should: {0}")]
    Odd(String),
}

/// One executor. It ends with this.
pub(super) struct Executor {
    number: u64,
    /// The number of its process.
    pid: u32,
    stream: UnixStream,
    maker: Arc<Maker>,
    absent: Vec<String>,
    /// None where another took it over.
    place: Option<OwnedSemaphorePermit>,
    /// When it was given its code, and how many of its calls ended as they should.
    since: Instant,
    calls: u32,
}

impl Drop for Executor {
    fn drop(&mut self) {
        let (number, place) = (self.number, self.place.take());
        match self.maker.end(number, SendFlags::DONTWAIT) {
            Ok(()) => {}
            // So many orders wait. It has its place until it was told, and nobody waits for that here.
            Err(Errno::AGAIN) => {
                let maker = Arc::clone(&self.maker);
                let places = place.map(|place| {
                    let places = Arc::clone(place.semaphore());
                    place.forget();
                    places
                });
                let ends = move || {
                    if let Err(error) = maker.end(number, SendFlags::empty()) {
                        tracing::error!(%error, "an executor could not be ended");
                    }
                    if let Some(places) = places {
                        places.add_permits(1);
                    }
                };
                if let Err(error) = std::thread::Builder::new().spawn(ends) {
                    tracing::error!(%error, "an executor could not be ended, and keeps its place");
                }
            }
            Err(error) => tracing::error!(%error, "an executor could not be ended"),
        }
    }
}

impl Executor {
    async fn start(maker: Arc<Maker>, place: OwnedSemaphorePermit) -> Result<Self, ExecutorError> {
        let (number, stream) = maker.make().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => ExecutorError::Taken,
            _ => ExecutorError::Make(error),
        })?;
        let mut executor = Self {
            number,
            pid: 0,
            stream,
            maker,
            absent: Vec::new(),
            place: Some(place),
            since: Instant::now(),
            calls: 0,
        };
        let odd = |error: super::shape::WireError| ExecutorError::Odd(error.to_string());
        // One word of who made it and one of its own, of which either may be faster.
        let (mut born, mut ready) = (false, false);
        while !(born && ready) {
            let said = executor.begun().await?;
            match open(&said).map_err(odd)? {
                (Kind::Born, mut rest) if !born => {
                    executor.pid = rest.u32().map_err(odd)?;
                    born = true;
                }
                (Kind::Ready, mut rest) if !ready => {
                    for _ in 0..rest.u32().map_err(odd)? {
                        let one = rest.text().map_err(odd)?;
                        executor.absent.push(one.to_owned());
                    }
                    ready = true;
                }
                _ => return Err(ExecutorError::Odd("it is not ready".to_owned())),
            }
        }
        Ok(executor)
    }

    /// What it says next of its own beginning.
    async fn begun(&mut self) -> Result<Vec<u8>, ExecutorError> {
        tokio::time::timeout(EXECUTOR_START_MAX, self.receive())
            .await
            .map_err(|_| ExecutorError::Slow)?
            .map_err(ExecutorError::Make)
    }

    /// Gives it the code that it is for.
    async fn load(&mut self, code: &Native) -> Result<(), ExecutorError> {
        let length = rustix::fs::fstat(code).map_err(|error| ExecutorError::Make(error.into()))?;
        let length = u64::try_from(length.st_size).unwrap_or_default();
        let message = Message::new(Kind::Load).u64(length).finish();
        message
            .and_then(|message| send_with(self.stream.as_fd(), &message, code.as_fd()))
            .map_err(ExecutorError::Make)?;
        let answer = self.begun().await?;
        match open(&answer) {
            Ok((Kind::Loaded, _)) => {
                self.since = Instant::now();
                Ok(())
            }
            Ok((Kind::Unloadable, mut rest)) => Err(ExecutorError::Odd(
                rest.text().unwrap_or_default().to_owned(),
            )),
            _ => Err(ExecutorError::Odd("it did not load its code".to_owned())),
        }
    }

    /// Whether it served for so long, or so often, that it makes no other call.
    fn is_spent(&self) -> bool {
        self.since.elapsed() >= EXECUTOR_AGE_MAX || self.calls >= EXECUTOR_CALLS_MAX
    }

    /// As if it had been given its code so much earlier.
    #[cfg(test)]
    pub(super) fn aged(&mut self, by: Duration) {
        self.since = self.since.checked_sub(by).unwrap();
    }

    /// By which its maker knows it.
    #[cfg(test)]
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What halts it and lets it go on.
    pub(super) fn reins(&self) -> Held {
        Held {
            maker: Arc::clone(&self.maker),
            number: self.number,
            pid: self.pid,
        }
    }

    pub(super) async fn send(&mut self, message: Message) -> io::Result<()> {
        self.stream.write_all(&message.finish()?).await
    }

    /// Whether it lives and is silent, as one that waits should be.
    fn is_there(&self) -> bool {
        matches!(self.look(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// How much there is to read: nothing at all where its process has ended.
    fn look(&self) -> io::Result<usize> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let seen = rustix::net::recv(&self.stream, &mut [0], flags);
        Ok(seen.map(|(seen, _)| seen)?)
    }

    /// Returns when its process has ended, or speaks while it should listen.
    pub(super) async fn breaks_off(&self) -> io::Error {
        loop {
            if let Err(error) = self.stream.readable().await {
                return error;
            }
            match self.stream.try_io(Interest::READABLE, || self.look()) {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => return io::Error::other("it speaks while it should listen"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return error,
            }
        }
    }

    pub(super) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head).await?;
        let length = length(head).map_err(io::Error::other)?;
        // As it comes, so that a length alone takes no memory.
        let mut message = Vec::new();
        let bound = u64::try_from(length).unwrap_or(u64::MAX);
        let read = (&mut self.stream)
            .take(bound)
            .read_to_end(&mut message)
            .await?;
        match read == length {
            true => Ok(message),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

struct Idle {
    tenant: Tenant,
    package: Digest,
    since: Instant,
    executor: Executor,
}

#[derive(Default)]
struct Waiting {
    /// Without code yet.
    warm: Vec<Executor>,
    /// With it; the last is the one that idles for the shortest time.
    idle: Vec<Idle>,
}

impl Waiting {
    /// The one that fits and idles for the shortest time.
    fn known(&mut self, fits: impl Fn(&Idle) -> bool) -> Option<Executor> {
        let at = self.idle.iter().rposition(fits)?;
        Some(self.idle.remove(at).executor)
    }
}

/// All executors.
pub struct Executors {
    maker: Arc<Maker>,
    places: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    /// Held by whoever makes them ahead, and for a moment by who waited for that.
    filling: tokio::sync::Mutex<()>,
    absent: OnceLock<Vec<String>>,
}

impl Executors {
    /// Makes the first ones.
    pub async fn open(maker: Maker) -> Result<Arc<Self>, ExecutorError> {
        let all = Arc::new(Self {
            maker: Arc::new(maker),
            places: Arc::new(Semaphore::new(EXECUTORS_MAX)),
            waiting: Mutex::default(),
            filling: tokio::sync::Mutex::default(),
            absent: OnceLock::new(),
        });
        let first = all.fresh().await?;
        all.absent.get_or_init(|| first.absent.clone());
        all.waiting().warm.push(first);
        all.refill();
        let weak = Arc::downgrade(&all);
        tokio::spawn(sweep(weak));
        Ok(all)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one of them says after it is ready; none where it ends before.
    #[cfg(test)]
    pub(super) async fn said(&self) -> Option<String> {
        let mut executor = self.fresh().await.unwrap();
        let said = executor.receive().await.ok()?;
        let (_, mut rest) = open(&said).unwrap();
        Some(rest.text().unwrap().to_owned())
    }

    /// What they could not let go of: nothing, where the kernel has what it takes.
    pub fn absent(&self) -> &[String] {
        self.absent.get().map_or(&[], Vec::as_slice)
    }

    /// Whether more of them can be made.
    pub fn are_made(&self) -> bool {
        self.maker.lives()
    }

    /// The number of the process that makes them.
    pub fn maker(&self) -> Option<u32> {
        self.maker.pid()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        EXECUTORS_MAX.saturating_sub(self.places.available_permits())
    }

    /// One in this place. What the first one gave up each gives up: less is no executor.
    async fn start(&self, place: OwnedSemaphorePermit) -> Result<Executor, ExecutorError> {
        let executor = Executor::start(Arc::clone(&self.maker), place).await?;
        let known = self.absent.get().map_or(&[][..], Vec::as_slice);
        let kept = executor.absent.iter().find(|one| !known.contains(one));
        match kept.filter(|_| self.absent.get().is_some()) {
            Some(kept) => Err(ExecutorError::Odd(format!("it did not give up {kept}"))),
            None => Ok(executor),
        }
    }

    /// One that was just made.
    async fn fresh(&self) -> Result<Executor, ExecutorError> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                // Whoever idles for the longest time makes room.
                let mut waiting = self.waiting();
                let oldest = (!waiting.idle.is_empty()).then(|| waiting.idle.remove(0));
                drop(waiting);
                let mut oldest = oldest.ok_or(ExecutorError::Taken)?;
                oldest.executor.place.take().ok_or(ExecutorError::Taken)?
            }
        };
        self.start(place).await
    }

    /// One that was made ahead.
    fn warm(&self) -> Option<Executor> {
        loop {
            let one = self.waiting().warm.pop()?;
            if one.is_there() {
                return Some(one);
            }
        }
    }

    /// One that served nobody.
    async fn another(&self) -> Result<Executor, ExecutorError> {
        match self.warm() {
            Some(warm) => Ok(warm),
            None => self.fresh().await,
        }
    }

    /// Returns when nobody makes one ahead, which has its place already, or when that took too long.
    async fn filled(&self) {
        // Either way the one who waited looks once more.
        let _ = tokio::time::timeout(EXECUTOR_START_MAX, self.filling.lock()).await;
    }

    /// Whether fewer are made ahead than there should be.
    pub(super) fn are_few(&self) -> bool {
        self.waiting().warm.len() < EXECUTORS_WARM
    }

    /// Makes ahead what was taken.
    fn refill(self: &Arc<Self>) {
        let all = Arc::clone(self);
        tokio::spawn(async move {
            // One that fills goes on until there are enough, whoever takes some meanwhile. It looks once more when it has let
            // go: who took one before that relied on it.
            while all.are_few() {
                let Ok(alone) = all.filling.try_lock() else {
                    return;
                };
                while all.are_few() {
                    let Ok(place) = Arc::clone(&all.places).try_acquire_owned() else {
                        return;
                    };
                    match all.start(place).await {
                        Ok(executor) => all.waiting().warm.push(executor),
                        Err(error) => {
                            tracing::error!(%error, "executors cannot be made ahead");
                            return;
                        }
                    }
                }
                drop(alone);
            }
        });
    }

    /// An executor for one call of this package for this tenant: the one of the call before, or one that served nobody.
    pub(super) async fn lease(
        self: &Arc<Self>,
        tenant: &Tenant,
        package: Digest,
        code: &Native,
    ) -> Result<Lease, ExecutorError> {
        let lease = |executor| Lease {
            executor,
            tenant: tenant.clone(),
            package,
            executors: Arc::clone(self),
        };
        let fits = |one: &Idle| one.package == package && one.tenant == *tenant;
        // One that ended while it waited is no call's loss. Nothing is waited for while what waits is held.
        let mut known = self.waiting().known(fits);
        while let Some(one) = known {
            if one.is_there() {
                return Ok(lease(one));
            }
            drop(one);
            known = self.waiting().known(fits);
        }
        let mut executor = match self.another().await {
            Err(ExecutorError::Taken) => {
                self.filled().await;
                self.another().await?
            }
            made => made?,
        };
        self.refill();
        executor.load(code).await?;
        Ok(lease(executor))
    }
}

/// Ends those that idle for long, for as long as there are any.
async fn sweep(all: Weak<Executors>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(all) = all.upgrade() else {
            return;
        };
        let old = |one: &mut Idle| one.since.elapsed() >= EXECUTOR_IDLE_MAX;
        let gone: Vec<_> = all.waiting().idle.extract_if(.., old).collect();
        drop(gone);
    }
}

/// An executor that makes a call. Unless it is kept it ends: whatever was left undone in it is left for nobody.
pub(super) struct Lease {
    pub(super) executor: Executor,
    tenant: Tenant,
    package: Digest,
    executors: Arc<Executors>,
}

impl Lease {
    /// Its call ended as it should: the next call of the same tenant and package may have it, unless it made enough of them.
    pub(super) fn keep(mut self) {
        self.executor.calls = self.executor.calls.saturating_add(1);
        if self.executor.is_spent() {
            return;
        }
        let idle = Idle {
            tenant: self.tenant,
            package: self.package,
            since: Instant::now(),
            executor: self.executor,
        };
        self.executors.waiting().idle.push(idle);
    }
}
