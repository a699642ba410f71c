//! What one store holds: made for a call, gone with it.

use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use super::bindings::bailiwick::tool::{ask, log, progress, secrets, types};
use super::ending::RunEnded;
use super::glue::files::FilesView;
use super::glue::http::Closed;
use super::limits::Limits;
use crate::dialogue::Answer;
use crate::host::ask::{AskError, Asker, RunEnds, Unanswered};
use crate::host::caller::Teller;
use crate::host::files::begun::Begun;
use crate::host::files::desk::Desk;
use crate::host::kv::Session;
use crate::host::log::{Level, Log};
use crate::host::meter::Meter;
use crate::host::progress::{Progress, ProgressError, Reporter};
use crate::host::reveal::Opener;
use crate::host::secret::Lender;
use crate::host::tools::Calls;
use crate::limits::{HTTP_FIELDS_BYTES_MAX, RESOURCES_MAX};
use crate::revocation::Standing;

/// The data of one store.
pub(super) struct State {
    pub(super) wasi: WasiCtx,
    pub(super) table: ResourceTable,
    pub(super) limits: Limits,
    pub(super) log: Log,
    pub(super) reporter: Reporter,
    pub(super) asker: Asker,
    /// With what question the run ended, if it did.
    pub(super) run_ends: Option<RunEnds>,
    /// What is done in stores; none without the grant.
    pub(super) kv: Option<Session>,
    /// The secrets that requests carry.
    lender: Lender,
    /// How other tools are called; none without the grant.
    pub(super) calls: Option<Calls>,
    /// What is told of the user; none without the grant.
    pub(super) teller: Option<Teller>,
    /// What opens encrypted values; none without the grant.
    pub(super) opener: Option<Opener>,
    /// What the operator set, as far as it is granted.
    settings: WasiConfigVariables,
    standing: Standing,
    /// What notices when the guest touches a folder in which it may write; none where there is no such folder.
    writes: Option<Meter>,
    /// What it has open of files.
    desk: Desk,
    /// What a guest finds its handles in once it must stop: nothing, and no room.
    nothing: ResourceTable,
    http: WasiHttpCtx,
    /// How requests leave; none without the grant.
    hooks: Option<Box<dyn WasiHttpHooks>>,
    closed: Closed,
    #[cfg(test)]
    fault: super::fault::Fault,
}

impl State {
    pub(super) fn new(
        wasi: WasiCtx,
        hooks: Option<Box<dyn WasiHttpHooks>>,
        limits: Limits,
        log: Log,
        (reporter, asker): (Reporter, Asker),
        standing: Standing,
        writes: Option<Meter>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let mut nothing = ResourceTable::new();
        nothing.set_max_capacity(0);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HTTP_FIELDS_BYTES_MAX);
        Self {
            wasi,
            table,
            limits,
            log,
            reporter,
            asker,
            run_ends: None,
            kv: None,
            lender: Lender::default(),
            calls: None,
            teller: None,
            opener: None,
            settings: WasiConfigVariables::new(),
            standing,
            writes,
            desk: Desk::default(),
            nothing,
            http,
            hooks,
            closed: Closed,
            #[cfg(test)]
            fault: super::fault::Fault::default(),
        }
    }

    /// With a host function that panics.
    #[cfg(test)]
    pub(super) fn with_fault(mut self, fault: super::fault::Fault) -> Self {
        self.fault = fault;
        self
    }

    /// Where every host function comes in first, whether it is one of ours or stands in for one. A test has it panic here.
    pub(super) fn entered(&mut self) -> &mut Self {
        #[cfg(test)]
        self.fault.strike();
        self
    }

    /// Likewise, for what needs nothing of the store.
    pub(super) fn instead<T>(&mut self, stand_in: T) -> T {
        self.entered();
        stand_in
    }

    /// With the stores and settings of a call.
    pub(super) fn with_values(
        mut self,
        kv: Option<Session>,
        settings: Vec<(String, String)>,
    ) -> Self {
        self.kv = kv;
        self.settings = settings.into_iter().collect();
        self
    }

    /// With the secrets of a call.
    pub(super) fn with_secrets(mut self, lender: Lender) -> Self {
        self.lender = lender;
        self
    }

    /// With the way to other tools, and what is told of the user.
    pub(super) fn with_callers(mut self, calls: Option<Calls>, teller: Option<Teller>) -> Self {
        self.calls = calls;
        self.teller = teller;
        self
    }

    /// With what opens encrypted values.
    pub(super) fn with_opener(mut self, opener: Option<Opener>) -> Self {
        self.opener = opener;
        self
    }

    /// With the folders of a call.
    pub(super) fn with_files(mut self, desk: Desk) -> Self {
        self.desk = desk;
        self
    }

    /// Linked where `config` is granted.
    pub(super) fn settings(&mut self) -> WasiConfig<'_> {
        WasiConfig::new(&self.entered().settings)
    }
}

impl State {
    /// Where every function on files and folders comes through, those of looking around among them: which of them writes is not
    /// told apart, so that none is forgotten.
    pub(super) fn files(&mut self) -> FilesView<'_> {
        if let Some(meter) = &self.writes {
            meter.act();
        }
        self.folders()
    }

    /// What the call has begun in its folders.
    pub(super) fn begun(&self) -> Begun {
        self.desk.begun()
    }

    /// What is linked for finding the granted folders.
    pub(super) fn folders(&mut self) -> FilesView<'_> {
        self.entered();
        let table = match self.standing.is_lost() {
            true => &mut self.nothing,
            false => &mut self.table,
        };
        let ctx = self.wasi.filesystem();
        FilesView {
            inner: WasiFilesystemCtxView { ctx, table },
            desk: &mut self.desk,
        }
    }
}

impl WasiView for State {
    /// Every function of WASI comes here first. A call that lost what it stands on finds none of its handles any more, open
    /// files among them, until it is dropped: at its next step, which is on another thread perhaps.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.entered();
        WasiCtxView {
            table: match self.standing.is_lost() {
                true => &mut self.nothing,
                false => &mut self.table,
            },
            ctx: &mut self.wasi,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.entered();
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: match &mut self.hooks {
                Some(hooks) => hooks.as_mut(),
                None => &mut self.closed,
            },
        }
    }
}

impl types::Host for State {}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.line(level, &message);
    }
}

/// Linked where `progress` is granted.
impl progress::Host for State {
    fn report(
        &mut self,
        progress: f64,
        total: Option<f64>,
        message: Option<String>,
    ) -> Result<(), progress::ProgressError> {
        let report = Progress {
            progress,
            total,
            message,
        };
        self.reporter
            .report(report, Instant::now())
            .map_err(|error| match error {
                ProgressError::Invalid(why) => progress::ProgressError::Invalid(why.to_owned()),
                ProgressError::TooMany => progress::ProgressError::TooMany,
            })
    }
}

/// Linked where `ask` is granted.
impl ask::Host for State {
    fn form(
        &mut self,
        message: String,
        schema: String,
    ) -> wasmtime::Result<Result<ask::Answer, ask::AskError>> {
        match self.asker.ask(&message, &schema) {
            Ok(Answer::Submitted(text)) => Ok(Ok(ask::Answer::Submitted(text))),
            Ok(Answer::Declined) => Ok(Ok(ask::Answer::Declined)),
            Ok(Answer::Cancelled) => Ok(Ok(ask::Answer::Cancelled)),
            Err(Unanswered::Refused(error)) => Ok(Err(match error {
                AskError::Unavailable => ask::AskError::Unavailable,
                AskError::Invalid(why) => ask::AskError::Invalid(why),
                AskError::TooMany => ask::AskError::TooMany,
            })),
            Err(Unanswered::Ends(ends)) => {
                self.run_ends = Some(ends);
                Err(RunEnded.into())
            }
        }
    }
}

/// Linked where `secret` is granted.
impl secrets::Host for State {
    fn exists(&mut self, name: String) -> bool {
        self.lender.exists(&name)
    }
}
