//! Checkpoints of the log as text: signed notes in the form of C2SP `tlog-checkpoint`, and the keys that sign them.
//!
//! A checkpoint says how many records the log has, the root of the tree over them, the digest of the last and when that
//! was. Everybody with the public key can check one without us.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::ids::Digest;

/// What the name of every log begins with; its id stands behind.
const ORIGIN: &str = "bailiwick/audit/";
/// The type of an Ed25519 key in a signed note.
const ED25519_TYPE: u8 = 1;
/// What begins a line with a signature.
const SIGNATURE: &str = "\u{2014} ";
/// Bytes of a signature: that of Ed25519, and those of witnesses are no shorter. A torn line has fewer.
const SIGNATURE_BYTES_MIN: usize = 64;
/// Bytes of a note: five lines and few signatures. A longer text is no checkpoint.
pub const NOTE_BYTES_MAX: usize = 4_096;

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Of which log.
    pub log_id: Uuid,
    /// How many records it has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Digest,
    /// When that was.
    pub at: Timestamp,
    /// The digest of the last record, to which the next one is chained.
    pub head: Digest,
}

impl Checkpoint {
    /// What is signed.
    fn body(&self) -> String {
        let root = STANDARD.encode(self.root.as_bytes());
        format!(
            "{}\n{}\n{root}\nat {}\nhead {}\n",
            origin(self.log_id),
            self.size,
            self.at.0,
            self.head
        )
    }
}

/// The name of a log, which is also that of its key.
fn origin(log_id: Uuid) -> String {
    format!("{ORIGIN}{log_id}")
}

/// A text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no checkpoint of an audit log: {0}")]
pub struct NoteError(&'static str);

/// A checkpoint with its signatures. That it was parsed does not say that one of them holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    checkpoint: Checkpoint,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    key: [u8; 4],
    bytes: Vec<u8>,
}

impl Note {
    /// What it says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &LogKey) -> bool {
        let body = self.checkpoint.body();
        self.signatures.iter().any(|one| {
            one.name == key.name
                && one.key == key.id()
                && UnparsedPublicKey::new(&ED25519, &key.public)
                    .verify(body.as_bytes(), &one.bytes)
                    .is_ok()
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.checkpoint.body())?;
        for one in &self.signatures {
            let bytes = [&one.key[..], &one.bytes].concat();
            writeln!(out, "{SIGNATURE}{} {}", one.name, STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(NoteError("it is too long"));
        }
        let (body, signatures) = text
            .split_once("\n\n")
            .ok_or(NoteError("it has no signature"))?;
        let mut lines = body.lines();
        let mut line = |what| lines.next().ok_or(NoteError(what));
        let log_id = line("it names no log")?
            .strip_prefix(ORIGIN)
            .and_then(|id| id.parse().ok())
            .ok_or(NoteError("it names no log of ours"))?;
        let size = line("it has no size")?
            .parse()
            .map_err(|_| NoteError("its size is no number"))?;
        let root = line("it has no root")?;
        let root = STANDARD
            .decode(root)
            .ok()
            .and_then(|root| root.try_into().ok());
        let root: [u8; 32] = root.ok_or(NoteError("its root is no digest"))?;
        let at = line("it has no time")?
            .strip_prefix("at ")
            .and_then(|at| at.parse().ok())
            .ok_or(NoteError("its time is no number"))?;
        let head = line("it names no last record")?
            .strip_prefix("head ")
            .and_then(|head| head.parse().ok())
            .ok_or(NoteError("its last record is no digest"))?;
        let checkpoint = Checkpoint {
            log_id,
            size,
            root: Digest::from(root),
            at: Timestamp(at),
            head,
        };
        // One text for one checkpoint: what is signed is made from what was read, so nothing else may stand here.
        if checkpoint.body().strip_suffix('\n') != Some(body) {
            return Err(NoteError("it is not in its one form"));
        }
        let signatures: Vec<_> = signatures
            .lines()
            .map(signature)
            .collect::<Result<_, _>>()?;
        match signatures.is_empty() {
            true => Err(NoteError("it has no signature")),
            false => Ok(Self {
                checkpoint,
                signatures,
            }),
        }
    }
}

fn signature(line: &str) -> Result<Signature, NoteError> {
    let wrong = NoteError("a line is no signature");
    let (name, rest) = line
        .strip_prefix(SIGNATURE)
        .and_then(|line| line.split_once(' '))
        .ok_or_else(|| wrong.clone())?;
    let bytes = STANDARD.decode(rest).map_err(|_| wrong.clone())?;
    let (key, bytes) = bytes
        .split_first_chunk::<4>()
        .filter(|(_, bytes)| bytes.len() >= SIGNATURE_BYTES_MIN)
        .ok_or(wrong)?;
    Ok(Signature {
        name: name.to_owned(),
        key: *key,
        bytes: bytes.to_vec(),
    })
}

/// Every checkpoint of a file that holds one behind the other, and how many entries are torn: a machine that lost power
/// while it wrote leaves such a one, and the same checkpoint again behind it.
pub fn notes(text: &str) -> (Vec<Note>, usize) {
    let mut notes = Vec::new();
    let mut torn = 0;
    let mut body: Option<&str> = None;
    for part in text.split("\n\n").map(|part| part.trim_matches('\n')) {
        if part.is_empty() {
            continue;
        }
        if !part.starts_with(SIGNATURE) {
            torn += usize::from(body.replace(part).is_some());
            continue;
        }
        let parsed = body
            .take()
            .map(|body| format!("{body}\n\n{part}\n").parse());
        match parsed {
            Some(Ok(note)) => notes.push(note),
            Some(Err(_)) | None => torn += 1,
        }
    }
    (notes, torn + usize::from(body.is_some()))
}

/// The public key of a log, in the form in which signed notes write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    public: [u8; 32],
}

impl LogKey {
    /// SHA-256 of name, line feed, type and key, of which four bytes tell keys apart.
    fn id(&self) -> [u8; 4] {
        let bytes = [self.name.as_bytes(), b"\n", &[ED25519_TYPE], &self.public].concat();
        let digest = Digest::of(&bytes);
        let [a, b, c, d, ..] = *digest.as_bytes();
        [a, b, c, d]
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[ED25519_TYPE][..], &self.public].concat());
        write!(out, "{}+{}+{key}", self.name, hex::encode(self.id()))
    }
}

/// A text is no key of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no public key of an audit log; `bailiwick audit key` prints it")]
pub struct LogKeyError;

impl FromStr for LogKey {
    type Err = LogKeyError;

    fn from_str(text: &str) -> Result<Self, LogKeyError> {
        let mut parts = text.trim().splitn(3, '+');
        let mut part = || parts.next().ok_or(LogKeyError);
        let (name, id, key) = (part()?, part()?, part()?);
        let bytes = STANDARD.decode(key).map_err(|_| LogKeyError)?;
        let public = match bytes.split_first() {
            Some((&ED25519_TYPE, key)) => key.try_into().map_err(|_| LogKeyError)?,
            Some(_) | None => return Err(LogKeyError),
        };
        let key = Self {
            name: name.to_owned(),
            public,
        };
        let is_named = name.starts_with(ORIGIN) && hex::encode(key.id()) == id;
        is_named.then_some(key).ok_or(LogKeyError)
    }
}

/// Signs checkpoints of one log.
pub struct Signer {
    pair: Ed25519KeyPair,
    key: LogKey,
}

impl Signer {
    /// With the key of this seed (RFC 8032 §5.1.5); none if the library does not take it.
    pub fn new(log_id: Uuid, seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        let name = origin(log_id);
        let key = LogKey { name, public };
        Some(Self { pair, key })
    }

    /// The public half.
    pub fn key(&self) -> &LogKey {
        &self.key
    }

    /// Signs.
    pub fn sign(&self, checkpoint: Checkpoint) -> Note {
        let bytes = self
            .pair
            .sign(checkpoint.body().as_bytes())
            .as_ref()
            .to_vec();
        let signature = Signature {
            name: self.key.name.clone(),
            key: self.key.id(),
            bytes,
        };
        Note {
            checkpoint,
            signatures: vec![signature],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new(Uuid::from_u128(7), &[9; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            log_id: Uuid::from_u128(7),
            size: 12,
            root: Digest::of(b"root"),
            at: Timestamp(1_800_000_000_000),
            head: Digest::of(b"head"),
        }
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written_and_by_its_key_alone() {
        let note = signer().sign(checkpoint());
        let text = note.to_string();
        let read: Note = text.parse().unwrap();
        assert_eq!(read, note);
        assert_eq!(read.to_string(), text);
        assert!(read.is_signed_by(signer().key()));
        let key = signer().key().to_string();
        assert_eq!(&key.parse::<LogKey>().unwrap(), signer().key());
        // The same seed under another name, and another seed under the same name.
        let other = Signer::new(Uuid::from_u128(8), &[9; 32]).unwrap();
        assert!(!read.is_signed_by(other.key()));
        let other = Signer::new(Uuid::from_u128(7), &[8; 32]).unwrap();
        assert!(!read.is_signed_by(other.key()));
    }

    #[test]
    fn what_is_changed_is_not_signed_or_no_checkpoint() {
        let text = signer().sign(checkpoint()).to_string();
        for (from, to) in [
            ("\n12\n", "\n13\n"),
            ("at 1800000000000", "at 1800000000001"),
            ("head ", "head 0"),
            ("\n12\n", "\n012\n"),
            ("\n12\n", "\n+12\n"),
            ("\n12\n", "\n-12\n"),
            ("bailiwick/audit/", "other/"),
            ("\nat ", "\nmore\nat "),
            ("\n\n", "\nmore\n\n"),
            ("\n\n", "\n"),
            ("\u{2014} ", "- "),
        ] {
            assert!(text.contains(from), "{from}");
            let changed = text.replacen(from, to, 1).parse::<Note>();
            assert!(
                !changed.is_ok_and(|note| note.is_signed_by(signer().key())),
                "{from} {to}"
            );
        }
        assert!("".parse::<Note>().is_err());
        assert!("x".repeat(NOTE_BYTES_MAX + 1).parse::<Note>().is_err());
        for wrong in ["", "a+b+c", "bailiwick/audit/x+00000000+AQ==", "++"] {
            assert_eq!(wrong.parse::<LogKey>(), Err(LogKeyError), "{wrong}");
        }
    }

    #[test]
    fn a_file_of_checkpoints_is_read_past_a_torn_one() {
        let (one, two) = (
            signer().sign(checkpoint()),
            signer().sign(Checkpoint {
                size: 20,
                ..checkpoint()
            }),
        );
        let text = format!("{one}\n{two}\n");
        assert_eq!(notes(&text), (vec![one.clone(), two.clone()], 0));
        assert_eq!(notes(&one.to_string()), (vec![one.clone()], 0));
        let half = &one.to_string()[..40];
        assert_eq!(
            notes(&format!("{half}\n\n{one}\n{two}\n")),
            (vec![one.clone(), two.clone()], 1)
        );
        let whole = one.to_string();
        let cut = &whole[..whole.len() - 9];
        assert_eq!(notes(&format!("{cut}\n\n{two}\n")), (vec![two], 1));
        assert_eq!(notes("hello\n"), (vec![], 1));
        assert_eq!(notes(""), (vec![], 0));
    }
}
