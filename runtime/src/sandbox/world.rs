//! The data of one call's store: how far everything that is linked reaches.

use std::time::Instant;

use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use super::glue::stdio::Lines;
use super::limits::Limits;
use super::outcome::Ending;
use super::state::State;
use super::{RunContext, Sandbox, Target};
use crate::capability::{Access, Capability, CapabilitySet, Kind};
use crate::dialogue::Asking;
use crate::egress::Whose;
use crate::grant::Holder;
use crate::host::ask::Asker;
use crate::host::caller::Teller;
use crate::host::clock::CallClock;
use crate::host::deliver::Courier;
use crate::host::files::desk::Desk;
use crate::host::files::{BindError, Bound};
use crate::host::kv::Session;
use crate::host::log::{Log, Source};
use crate::host::meter::Meter;
use crate::host::progress::Reporter;
use crate::host::reveal::Opener;
use crate::host::secret::Lender;
use crate::host::tools::Calls;
use crate::limits::RANDOM_BYTES_MAX;
use crate::protect::Hush;
use crate::revocation::{Live, Standing};

/// What one call is made of.
pub(super) struct World<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) target: &'a Target<'a>,
    pub(super) granted: &'a CapabilitySet,
    pub(super) standing: &'a Standing,
    pub(super) holder: &'a Holder,
    pub(super) context: &'a RunContext,
    pub(super) meter: &'a Meter,
    pub(super) deadline: Instant,
}

impl World<'_> {
    /// What is granted of one kind, each with the consent behind it.
    fn scopes<T: Clone>(&self, of: fn(&Capability) -> Option<&T>) -> Vec<(T, Live)> {
        let scope = |one| Some((of(one)?.clone(), self.standing.of(one)));
        self.granted.iter().filter_map(scope).collect()
    }

    /// What requests of the call carry beside what the guest wrote.
    pub(super) fn lender(&self) -> Lender {
        let scopes = self.scopes(Capability::as_secret);
        let lender = self.sandbox.secrets.lender(scopes, self.holder, self.meter);
        let scopes = self.scopes(Capability::as_deliver);
        let kept = self
            .context
            .given
            .kept
            .clone()
            .filter(|_| !scopes.is_empty());
        let meter = self.meter.clone();
        let clock = self.context.clock.clone();
        let courier = kept.map(|kept| Courier::new(scopes, kept, meter, clock));
        lender.delivering(courier)
    }

    /// Opens the directories that are granted.
    async fn bind(&self) -> Result<Vec<Bound>, Ending> {
        let files = self.granted.iter().filter_map(Capability::as_files);
        let files: Vec<_> = files.cloned().collect();
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let mounts = self.sandbox.mounts.clone();
        let (holder, standing) = (self.holder.clone(), self.standing.clone());
        let meter = self.meter.clone();
        tokio::task::spawn_blocking(move || mounts.bind(&files, &holder, &standing, &meter))
            .await
            .map_err(|error| Ending::Fault(format!("binding a mount: {error}")))?
            .map_err(|error: BindError| {
                if error.is_refusal() {
                    Ending::Denied(error.to_string())
                } else {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    Ending::Fault(format!("{error}: {}", source.unwrap_or_default()))
                }
            })
    }

    /// What the call may do in stores of keys and values; none without the grant.
    fn session(&self) -> Option<Session> {
        let scopes = self.scopes(Capability::as_kv);
        let (meter, clock) = (self.meter.clone(), self.context.clock.clone());
        let stores = &self.sandbox.stores;
        (!scopes.is_empty()).then(|| stores.session(scopes, self.holder, meter, clock))
    }

    /// The way to other tools and what is told of the user, each where it is granted.
    fn callers(&self, lender: &Lender) -> (Option<Calls>, Option<Teller>) {
        let tools = self.scopes(Capability::as_call);
        let claims = self.scopes(Capability::as_claim);
        let (given, meter) = (&self.context.given, self.meter);
        let calls =
            (!tools.is_empty()).then(|| Calls::new(tools, given.desk.clone(), meter.clone()));
        let calls = calls.map(|calls| calls.before(lender.courier().cloned()));
        let teller =
            (!claims.is_empty()).then(|| Teller::new(claims, given.told.clone(), meter.clone()));
        (calls, teller)
    }

    /// What opens encrypted values; none without the grant.
    fn opener(&self, hush: Hush) -> Option<Opener> {
        let scopes = self.scopes(Capability::as_reveal);
        let kept = self.context.given.kept.clone()?;
        let (meter, clock) = (self.meter.clone(), self.context.clock.clone());
        (!scopes.is_empty()).then(|| Opener::new(scopes, kept, hush, meter, clock))
    }

    /// The data of the store, with the open directories. What data says of arguments and replies is kept outside of it.
    pub(super) async fn state(&self, lender: &Lender) -> Result<State, Ending> {
        let (sandbox, context, meter) = (self.sandbox, self.context, self.meter);
        #[cfg(test)]
        let fault = sandbox.faults.next();
        let has = |kind| self.granted.has(kind);
        let listener = has(Kind::Progress).then(|| context.progress.clone());
        let asking = match has(Kind::Ask) {
            true => context.asking.clone(),
            false => Asking::default(),
        };
        let writes = |one: &Capability| one.as_files().is_some_and(|f| f.access == Access::Write);
        let writes = self.granted.iter().any(writes).then(|| meter.clone());
        let clock = match has(Kind::Clock) {
            true => CallClock::running(context.clock.clone()),
            false => CallClock::frozen(context.clock.now()),
        };
        let hush = context.given.hush.clone();
        let safeguard = sandbox.safeguard.clone();
        let safeguard = safeguard
            .lending(lender.lent().clone())
            .hushed_by(hush.clone());
        let log = Log::new(self.target.tool, safeguard.clone());
        let mut wasi = wasi(&log, clock);
        let mut desk = Desk::default();
        for one in self.bind().await? {
            preopen(&mut wasi, &one).map_err(|error| {
                Ending::Fault(format!("a directory could not be given: {error:#}"))
            })?;
            desk.grant(one.guest_path, one.reach);
        }
        let scopes = self.scopes(Capability::as_http);
        let hooks = (!scopes.is_empty()).then(|| {
            let (whose, lender) = (whose(self.target, self.holder), lender.clone());
            let allowance = &context.given.allowance;
            sandbox.http.open(
                scopes,
                &whose,
                lender,
                meter.clone(),
                self.deadline,
                allowance,
            )
        });
        let state = State::new(
            wasi.build(),
            hooks,
            Limits::new(self.target.wishes),
            log,
            (
                Reporter::new(listener.flatten(), meter.clone(), safeguard),
                Asker::new(asking, meter.clone()),
            ),
            self.standing.clone(),
            writes,
        );
        #[cfg(test)]
        let state = state.with_fault(fault);
        let values = sandbox.settings.granted(self.target.package, self.granted);
        let (calls, teller) = self.callers(lender);
        Ok(state
            .with_files(desk)
            .with_values(self.session(), values)
            .with_secrets(lender.clone())
            .with_callers(calls, teller)
            .with_opener(self.opener(hush)))
    }
}

/// A world with nothing in it but a log, chance and a clock.
pub(super) fn wasi(log: &Log, clock: CallClock) -> WasiCtxBuilder {
    let lines = |source| Lines {
        log: log.clone(),
        source,
    };
    let mut wasi = WasiCtx::builder();
    wasi.stdout(lines(Source::Stdout))
        .stderr(lines(Source::Stderr))
        .allow_blocking_current_thread(false)
        .allow_ip_name_lookup(false)
        .allow_tcp(false)
        .allow_udp(false)
        .max_random_size(RANDOM_BYTES_MAX)
        .wall_clock(clock.clone())
        .monotonic_clock(clock);
    wasi
}

/// Gives an open directory to the guest. It is opened again through its own descriptor, so it is the same directory.
pub(super) fn preopen(wasi: &mut WasiCtxBuilder, bound: &Bound) -> wasmtime::Result<()> {
    use std::os::fd::AsRawFd;

    let permissions = match bound.access {
        Access::Read => FsPerms::ReadOnly,
        Access::Write => FsPerms::ReadWrite,
    };
    let itself = format!("/proc/self/fd/{}", bound.directory.as_raw_fd());
    wasi.preopened_dir(itself, &bound.guest_path, permissions)
        .map(drop)
}

/// Whose connections a call may use: those of the same user, client and tool at this build.
fn whose(target: &Target<'_>, holder: &Holder) -> Whose {
    Whose::of([
        holder.tenant.as_str(),
        holder.user.issuer.as_str(),
        holder.user.subject.as_str(),
        holder.client.as_str(),
        &target.digest.to_string(),
        target.tool,
    ])
}
