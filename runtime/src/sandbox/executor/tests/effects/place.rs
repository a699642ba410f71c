//! What a liar says for effects, and the surroundings of its calls.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use tempfile::TempDir;

use super::super::super::maker::Maker;
use super::super::super::pool::Executors;
use super::super::super::wire::{Channel, How, Kind, Message, open};
use super::super::Guest;
use super::super::lies::{Fate, liars_that};
use crate::capability::Capability;
use crate::clock::{SharedClock, SystemClock};
use crate::config::{KvStore, Mount, Quota, SecretBinding, SecretSource, Share};
use crate::egress::testing::{Upstream, bound};
use crate::egress::{Egress, NoNames};
use crate::grant::Holder;
use crate::host::files::Mounts;
use crate::host::kv::{Session, Stores};
use crate::host::meter::Meter;
use crate::host::secret::Secrets;
use crate::revocation::Live;
use crate::sandbox::testing::{guest_bytes, holder};
use crate::sandbox::{Outcome, RunContext, Sandbox, Services};
use crate::store::SqliteKeyValues;
use crate::store::kv::SharedKeyValues;

pub(super) const OPEN: &str = "open";
pub(super) const GET: &str = "[method]bucket.get";
pub(super) const SET: &str = "[method]bucket.set";
pub(super) const INCREMENT: &str = "increment";
pub(super) const EXISTS: &str = "exists";
pub(super) const FIELDS: &str = "[constructor]fields";
pub(super) const REQUEST: &str = "[constructor]outgoing-request";
pub(super) const AUTHORITY: &str = "[method]outgoing-request.set-authority";
pub(super) const PATH: &str = "[method]outgoing-request.set-path-with-query";
pub(super) const SCHEME: &str = "[method]outgoing-request.set-scheme";
pub(super) const HANDLE: &str = "handle";
pub(super) const ANSWERED: &str = "[method]future-incoming-response.subscribe";
pub(super) const FOLDERS: &str = "get-directories";
pub(super) const MAKE: &str = "[method]descriptor.create-directory-at";
pub(super) const AFTER: &str = "subscribe-duration";
pub(super) const WAIT: &str = "[method]pollable.block";

/// What the guest imports: interface, function, and what it takes and gives.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    (
        "wasi:keyvalue/store@0.2.0-draft2",
        OPEN,
        "(param i32 i32 i32)",
    ),
    (
        "wasi:keyvalue/store@0.2.0-draft2",
        GET,
        "(param i32 i32 i32 i32)",
    ),
    (
        "wasi:keyvalue/store@0.2.0-draft2",
        SET,
        "(param i32 i32 i32 i32 i32 i32)",
    ),
    (
        "wasi:keyvalue/atomics@0.2.0-draft2",
        INCREMENT,
        "(param i32 i32 i32 i64 i32)",
    ),
    (
        "bailiwick:tool/secrets@0.1.0",
        EXISTS,
        "(param i32 i32) (result i32)",
    ),
    ("wasi:http/types@0.2.6", FIELDS, "(result i32)"),
    ("wasi:http/types@0.2.6", REQUEST, "(param i32) (result i32)"),
    (
        "wasi:http/types@0.2.6",
        AUTHORITY,
        "(param i32 i32 i32 i32) (result i32)",
    ),
    (
        "wasi:http/types@0.2.6",
        PATH,
        "(param i32 i32 i32 i32) (result i32)",
    ),
    (
        "wasi:http/types@0.2.6",
        SCHEME,
        "(param i32 i32 i32 i32 i32) (result i32)",
    ),
    (
        "wasi:http/types@0.2.6",
        ANSWERED,
        "(param i32) (result i32)",
    ),
    (
        "wasi:http/outgoing-handler@0.2.6",
        HANDLE,
        "(param i32 i32 i32 i32)",
    ),
    ("wasi:filesystem/preopens@0.2.6", FOLDERS, "(param i32)"),
    (
        "wasi:filesystem/types@0.2.6",
        MAKE,
        "(param i32 i32 i32 i32)",
    ),
    (
        "wasi:clocks/monotonic-clock@0.2.6",
        AFTER,
        "(param i64) (result i32)",
    ),
    ("wasi:io/poll@0.2.6", WAIT, "(param i32)"),
];

/// All that the surroundings of a call have.
pub(super) const ALL: [&str; 4] = [
    "http GET api.test /",
    "files write notes",
    "kv write memory",
    "secret token other.test bearer",
];

/// Numbers of errors in their interfaces.
pub(super) const ACCESS_DENIED: u32 = 1;
pub(super) const HTTP_REQUEST_DENIED: u32 = 15;

type Numbers = BTreeMap<&'static str, u32>;

pub(super) fn number(one: u32) -> Vec<u8> {
    one.to_le_bytes().to_vec()
}

pub(super) fn text(one: &str) -> Vec<u8> {
    [number(one.len().try_into().unwrap()), one.into()].concat()
}

/// Something that is there.
pub(super) fn some(one: Vec<u8>) -> Vec<u8> {
    [vec![1], one].concat()
}

pub(super) fn failed(error: u32) -> Vec<u8> {
    some(number(error))
}

/// An answer: bytes, and the values beside them.
pub(super) struct Heard {
    pub(super) bytes: Vec<u8>,
    pub(super) values: Vec<u8>,
}

impl Heard {
    /// The handle that stands there behind so many bytes.
    pub(super) fn handle(&self, behind: usize) -> u32 {
        let handle = self.values[behind..behind + 4].try_into().unwrap();
        u32::from_le_bytes(handle)
    }
}

/// What says what a guest would have its executor say.
pub(super) struct Mouth<'a> {
    numbers: &'a Numbers,
    pub(super) channel: &'a mut Channel,
}

impl Mouth<'_> {
    fn message(&self, what: &str, bytes: &[u8], values: &[u8]) -> Message {
        let number = self.numbers[what];
        Message::new(Kind::Import)
            .u32(number)
            .part(bytes)
            .bytes(values)
    }

    pub(super) fn say(&mut self, what: &str, bytes: &[u8], values: &[u8]) -> io::Result<()> {
        let message = self.message(what, bytes, values);
        self.channel.send(message)
    }

    pub(super) fn hear(&mut self) -> io::Result<Heard> {
        let answer = self.channel.receive()?;
        let (Kind::Return, mut rest) = open(&answer).map_err(io::Error::other)? else {
            return Err(io::Error::other("no answer"));
        };
        let length = rest.length().map_err(io::Error::other)?;
        let bytes = rest.take(length).map_err(io::Error::other)?.to_vec();
        let values = rest.bytes().to_vec();
        Ok(Heard { bytes, values })
    }

    pub(super) fn ask(&mut self, what: &str, values: &[u8]) -> io::Result<Heard> {
        self.say(what, &[], values)?;
        self.hear()
    }

    /// Opens the store that there is.
    pub(super) fn store(&mut self) -> io::Result<u32> {
        Ok(self.ask(OPEN, &text("memory"))?.handle(1))
    }

    /// What puts a value into an open store.
    pub(super) fn set(&self, store: u32, key: &str, value: &str) -> Message {
        let place = [number(0), number(value.len().try_into().unwrap())].concat();
        let values = [number(store), text(key), place].concat();
        self.message(SET, value.as_bytes(), &values)
    }

    /// What comes of a request, of which the answer is waited for.
    pub(super) fn request(&mut self) -> io::Result<Vec<u8>> {
        let fields = self.ask(FIELDS, &[])?.handle(0);
        let request = self.ask(REQUEST, &number(fields))?.handle(0);
        let http = some(number(0));
        for (what, value) in [
            (SCHEME, http),
            (AUTHORITY, some(text("api.test"))),
            (PATH, some(text("/"))),
        ] {
            let set = self.ask(what, &[number(request), value].concat())?;
            assert_eq!(set.values, [0], "{what}");
        }
        let sent = self.ask(HANDLE, &[number(request), vec![0]].concat())?;
        if sent.values[0] == 0 {
            let answered = self.ask(ANSWERED, &number(sent.handle(1)))?.handle(0);
            self.ask(WAIT, &number(answered))?;
        }
        Ok(sent.values)
    }

    /// Ends the call as that of a guest that trapped.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.channel.send(ended())
    }
}

pub(super) fn ended() -> Message {
    Message::new(Kind::Broke).u64(0).u8(How::Trapped as u8)
}

/// The surroundings of calls: a guest, a store, a folder for each user, a secret, and a server that answers requests.
pub(super) struct Place {
    pub(super) root: TempDir,
    stores: Stores,
    secrets: Secrets,
    pub(super) upstream: Upstream,
    guest: Guest,
}

impl Place {
    pub(super) async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let values = SqliteKeyValues::open(&root.path().join("kv")).await;
        let values: SharedKeyValues = Arc::new(values.unwrap());
        let store = KvStore {
            name: "memory".parse().unwrap(),
            share: Share::User,
            bytes_max: 1_000_000,
            keys_max: 600,
            ttl: None,
        };
        let file = root.path().join("token");
        std::fs::write(&file, "canary").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let secret = SecretBinding {
            name: "token".parse().unwrap(),
            source: SecretSource::File(file.display().to_string()),
            hosts: vec!["other.test".parse().unwrap()],
            form: "bearer".parse().unwrap(),
            user: String::new(),
            aws: None,
        };
        let clock: SharedClock = Arc::new(SystemClock);
        let import = |(interface, name, types): &(&str, &str, &str)| {
            format!(r#"(import "{interface}" "{name}" (func {types}))"#)
        };
        let imports: String = FUNCTIONS.iter().map(import).collect();
        let echo = "(call $text (local.get $at) (local.get $len))";
        Self {
            stores: Stores::new(&[store], &values),
            secrets: Secrets::new(&[secret], None, &clock),
            upstream: Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await,
            guest: Guest::of(&guest_bytes(&imports, echo)).await,
            root,
        }
    }

    fn numbers(&self) -> Numbers {
        let numbered = |(_, name, _): &(_, &'static str, _)| {
            let number = self.guest.function(name);
            (*name, number.unwrap())
        };
        FUNCTIONS.iter().map(numbered).collect()
    }

    /// Executors that say this in their first call, and what they brought back; and what became of them.
    pub(super) fn liars<T: Send + 'static>(
        &self,
        say: impl Fn(&mut Mouth<'_>) -> io::Result<T> + Send + Sync + 'static,
    ) -> (Maker, Fate, Receiver<io::Result<T>>) {
        let numbers = self.numbers();
        let (brings, brought) = channel();
        let (maker, fate) = liars_that(Arc::default(), move |channel| {
            let said = say(&mut Mouth {
                numbers: &numbers,
                channel,
            });
            let ends = said.as_ref().map(drop).map_err(|error| error.kind());
            // Not every test asks.
            let _ = brings.send(said);
            Ok(ends?)
        });
        (maker, fate, brought)
    }

    pub(super) async fn sandbox(&self, maker: Maker) -> Sandbox {
        let mount = Mount {
            name: "notes".parse().unwrap(),
            path: self.notes("{tenant}", "{sub}").display().to_string(),
            quota: Quota::default(),
        };
        let hosts = vec![bound("api.test", self.upstream.address, false)];
        let egress = Egress::new(hosts, Vec::new(), Arc::new(NoNames)).unwrap();
        let services = Services {
            http: Arc::new(Arc::new(egress)),
            mounts: Mounts::new(&[mount], 1).unwrap(),
            stores: self.stores.clone(),
            secrets: self.secrets.clone(),
            ..Services::none()
        };
        let executors = Executors::open(maker).await.unwrap();
        Sandbox::new(crate::engine::testing::engine(), services).with_executors(Some(executors))
    }

    pub(super) async fn call(
        &self,
        sandbox: &Sandbox,
        holder: &Holder,
        granted: &[&str],
        context: RunContext,
    ) -> Outcome {
        self.guest.call_for(sandbox, holder, granted, context).await
    }

    /// The store as the host has it.
    fn session(&self, holder: &Holder) -> Session {
        let Capability::Kv(scope) = "kv write memory".parse().unwrap() else {
            panic!("no store");
        };
        let scopes = vec![(scope, Live::free())];
        self.stores
            .session(scopes, holder, Meter::default(), Arc::new(SystemClock))
    }

    pub(super) async fn put(&self, holder: &Holder, key: &str, value: &str) {
        let mut session = self.session(holder);
        let store = session.open("memory").unwrap();
        session.set(&store, key, value.as_bytes()).await.unwrap();
    }

    pub(super) async fn value(&self, holder: &Holder, key: &str) -> Option<String> {
        let mut session = self.session(holder);
        let store = session.open("memory").unwrap();
        let value = session.get(&store, key).await.unwrap();
        value.map(|value| String::from_utf8(value).unwrap())
    }

    /// The folder of a user.
    pub(super) fn notes(&self, tenant: &str, user: &str) -> PathBuf {
        self.root.path().join("notes").join(tenant).join(user)
    }
}

pub(super) fn of(tenant: &str, user: &str) -> Holder {
    let mut holder = holder();
    holder.tenant = tenant.parse().unwrap();
    holder.user.subject = user.parse().unwrap();
    holder
}

/// How many files and folders there are, with all in them.
pub(super) fn count(folder: &Path) -> usize {
    let Ok(all) = std::fs::read_dir(folder) else {
        return 0;
    };
    all.map(|one| 1 + count(&one.unwrap().path())).sum()
}
