//! Which files and ports a configuration speaks of.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::config::{
    AuditCopy, ClientProof, ClientSecret, Config, KeySource, SecretSource, SyslogAddress,
    VaultToken,
};

/// What a running server reads beside its configuration: how names are resolved, its own process, and how many mappings it may have.
const SYSTEM: [&str; 7] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/ld.so.cache",
    "/proc/self",
    "/proc/sys/vm/max_map_count",
    "/sys/fs/cgroup",
];
/// Libraries of the program that compiles packages, which is this one.
const LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/// What loads it.
const LOADERS: [&str; 3] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-riscv64-lp64d.so.1",
];
const DEVICES: [&str; 3] = ["/dev/null", "/dev/urandom", "/dev/random"];

/// What stays reachable. What is not here is not there for the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Folders whose files it reads and writes.
    pub write: Vec<PathBuf>,
    /// Files and folders that it reads.
    pub read: Vec<PathBuf>,
    /// Programs that it starts.
    pub run: Vec<PathBuf>,
    /// Devices.
    pub devices: Vec<PathBuf>,
    /// TCP ports on which it listens.
    pub ports: Vec<u16>,
    /// Whether it may open sockets.
    pub network: Network,
}

/// Whether a process has to do with the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// No socket at all.
    #[default]
    None,
    /// Those of the internet and of files.
    Internet,
}

impl Places {
    /// One folder and nothing else: for a process that turns files into others.
    pub fn only(folder: &Path) -> Self {
        Self {
            write: vec![folder.to_owned()],
            ..Self::default()
        }
    }

    /// Those of a configuration from this file, with further addresses to listen on.
    pub fn of(config: &Config, file: Option<&Path>, also: &[SocketAddr]) -> std::io::Result<Self> {
        // Every field is named, so that a new one stops the build until somebody says which files it speaks of.
        let Config {
            server,
            issuers,
            sign_in,
            tools,
            policy_dir,
            anonymous_discovery: _,
            admin_scope: _,
            state_file,
            mounts,
            kv_stores: _,
            secrets,
            egress_hosts: _,
            retry: _,
            rates: _,
            limits: _,
            data: _,
            clients: _,
            client_metadata,
            seal,
            hardening: _,
            isolation: _,
            telemetry,
            log: _,
            audit,
        } = config;
        let mut places = Self {
            read: SYSTEM.iter().chain(&LIBRARIES).map(PathBuf::from).collect(),
            run: LOADERS.iter().map(PathBuf::from).collect(),
            devices: DEVICES.map(PathBuf::from).to_vec(),
            ports: also
                .iter()
                .chain([&server.listen])
                .chain(&telemetry.listen)
                .map(SocketAddr::port)
                .collect(),
            write: Vec::new(),
            network: Network::Internet,
        };
        let program = std::env::current_exe()?;
        places.read.push(program.clone());
        places.run.push(program);
        for folder in [
            Some(tools.dir.as_path()),
            Some(&tools.cache_dir),
            state_file.parent(),
        ] {
            places.writes(folder.into_iter().map(Path::to_owned))?;
        }
        let mounts = mounts.iter().map(|mount| PathBuf::from(fixed(&mount.path)));
        places.writes(mounts)?;

        let tokens = secrets.iter().filter_map(|secret| match &secret.source {
            // One for each tenant lies in the folder that all of them have in common.
            SecretSource::File(file) if file.contains('{') => {
                places.read.push(PathBuf::from(fixed(file)));
                None
            }
            SecretSource::File(file) => Some(file.as_str()),
            SecretSource::Env(_) => None,
            SecretSource::Vault(vault) => of_token(&vault.token),
        });
        let mut files: Vec<PathBuf> = tokens.map(PathBuf::from).collect();
        files.extend(secrets.iter().filter_map(|secret| match &secret.source {
            SecretSource::Vault(vault) => vault.ca_file.clone(),
            SecretSource::File(_) | SecretSource::Env(_) => None,
        }));
        files.extend(issuers.iter().filter_map(|issuer| match &issuer.keys {
            KeySource::File(file) => Some(file.clone()),
            KeySource::Url(_) | KeySource::Discovery => None,
        }));
        files.extend(
            sign_in
                .iter()
                .filter_map(|one| one.client_secret_file.clone()),
        );
        let asked = issuers
            .iter()
            .filter_map(|issuer| issuer.introspection.as_ref());
        files.extend(asked.filter_map(|asked| match &asked.proof {
            ClientProof::Secret(ClientSecret::File(file)) => Some(PathBuf::from(file)),
            ClientProof::Secret(ClientSecret::Env(_)) => None,
            ClientProof::Key(key) => Some(key.file.clone()),
        }));
        for copy in &audit.copies {
            match copy {
                AuditCopy::File(path) => places.writes(folder_of(path).into_iter())?,
                AuditCopy::Http {
                    token_file,
                    ca_file,
                    ..
                } => files.extend(token_file.iter().chain(ca_file).cloned()),
                AuditCopy::Syslog(SyslogAddress::Unix(path)) => files.push(path.clone()),
                AuditCopy::Syslog(SyslogAddress::Udp(_) | SyslogAddress::Tcp(_)) => {}
            }
        }
        files.extend(client_metadata.ca_file.clone());
        let collector = telemetry.otlp.as_ref();
        files.extend(collector.and_then(|collector| collector.ca_file.clone()));
        if let Some(tls) = &server.front.tls {
            files.extend([tls.certificate_file.clone(), tls.key_file.clone()]);
            files.extend(tls.clients.iter().map(|clients| clients.ca_file.clone()));
        }
        if let Some(seal) = seal {
            files.extend(seal.key_file.clone());
            let vault = seal.vault.as_ref();
            files.extend(
                vault
                    .and_then(|vault| of_token(&vault.token))
                    .map(PathBuf::from),
            );
            files.extend(vault.and_then(|vault| vault.ca_file.clone()));
        }
        files.extend(file.map(Path::to_owned));
        // By folder: a file that is replaced is another file, and who replaces it may do so by a link.
        for file in files {
            let real = std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
            places
                .read
                .extend([&file, &real].into_iter().map(|file| around(file)));
        }
        // A folder of rules may come later.
        if let Some(dir) = policy_dir {
            // With the one around it, by which another may take its place.
            places.read.push(around(dir));
            places.read.push(dir.clone());
        }
        Ok(places)
    }

    fn writes(&mut self, folders: impl Iterator<Item = PathBuf>) -> std::io::Result<()> {
        for folder in folders {
            let folder = match folder.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => folder,
            };
            // What is not there when the rules are made stays out of reach.
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)?;
            self.write.push(folder);
        }
        Ok(())
    }
}

fn of_token(token: &VaultToken) -> Option<&str> {
    match token {
        VaultToken::File(file) => Some(file),
        VaultToken::Env(_) => None,
    }
}

/// What lets a file be read also after it was replaced: its folder, or itself where that would be everything.
fn around(file: &Path) -> PathBuf {
    match folder_of(file) {
        Some(folder) if folder != Path::new("/") => folder,
        _ => file.to_owned(),
    }
}

/// The folder of a file, `.` where only its name is given.
fn folder_of(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    Some(match folder.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => folder.to_owned(),
    })
}

/// The part of a template that is the same for every caller: up to the segment with its first placeholder.
fn fixed(template: &str) -> &str {
    match template.split_once('{') {
        None => template,
        Some((before, _)) => before
            .rsplit_once('/')
            .map_or(".", |(folder, _)| match folder {
                "" => "/",
                folder => folder,
            }),
    }
}
