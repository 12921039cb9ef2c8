//! The scripts. One call of one of them is one operation on one shard: it happens as a whole or not at all.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script as Hashed};

use crate::clock::Timestamp;
use crate::error::StoreError;

/// The latest instant that scripts compute with: `FAR` in `lua/common.lua`.
pub(super) const FAR: u64 = 9_000_000_000_000_000;

/// One script.
pub(super) struct Script {
    source: &'static str,
    hash: LazyLock<String>,
    /// Whether it writes what must not be lost.
    writes: bool,
}

/// A call of a script with its keys and arguments.
pub(super) struct Call {
    script: &'static Script,
    keys: Parts,
    arguments: Parts,
}

/// Some byte strings, in one piece.
#[derive(Default)]
struct Parts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Parts {
    fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end))
    }
}

impl Call {
    /// The first key says which shard it is.
    pub(super) fn new(script: &'static Script, key: impl AsRef<[u8]>) -> Self {
        Self { script, keys: Parts::default(), arguments: Parts::default() }.key(key)
    }

    pub(super) fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.keys.push(key.as_ref());
        self
    }

    pub(super) fn argument(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.arguments.push(argument.as_ref());
        self
    }

    pub(super) fn number(self, number: u64) -> Self {
        self.argument(number.to_string())
    }

    pub(super) const fn writes(&self) -> bool {
        self.script.writes
    }

    /// Of the keys that decide where the call goes, the first.
    pub(super) fn slot_key(&self) -> &[u8] {
        self.keys.iter().next().unwrap_or_default()
    }

    /// By its hash, which is short.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// With its source, for a server that has not seen it yet; it keeps it.
    pub(super) fn by_source(&self) -> Cmd {
        self.command("EVAL", self.script.source)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.ends.len());
        for part in self.keys.iter().chain(self.arguments.iter()) {
            command.arg(part);
        }
        command
    }
}

/// As a number for the scripts, which compute with doubles.
pub(super) fn millis(instant: Timestamp) -> u64 {
    instant.as_unix_millis().min(FAR)
}

/// A length of time as a number for the scripts. Longer than any instant is late, so that nothing is beyond [`Duration::MAX`].
pub(super) fn length(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(2 * FAR)
}

/// Bytes that were not chosen before.
pub(super) fn random() -> Result<[u8; 16], StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::unavailable(format!("no randomness: {error}")))?;
    Ok(bytes)
}

/// Each begins with what Redis has to know: a script without `allow-oom` is refused as a whole where memory is full, and
/// one without `no-writes`, which is all of them, is refused by a replica.
macro_rules! scripts {
    ($($(#[$docs:meta])* $NAME:ident = $flags:literal, [$($part:literal),+];)+) => {
        $(
            $(#[$docs])*
            pub(super) static $NAME: Script = Script {
                source: concat!("#!lua", $flags, "\n", $(include_str!(concat!("lua/", $part, ".lua"))),+),
                hash: LazyLock::new(|| Hashed::new($NAME.source).get_hash().to_owned()),
                writes: $flags.is_empty(),
            };
        )+

        #[cfg(test)]
        pub(super) static ALL: &[(&str, &Script)] = &[$((stringify!($NAME), &$NAME)),+];
    };
}

scripts! {
    ADVANCE = "", ["common", "grant", "rotation", "advance"];
    CLOCK = " flags=allow-oom", ["common", "clock"];
    CONSUME = "", ["common", "horizon", "entry", "token", "consume"];
    DUE = " flags=allow-oom", ["common", "token", "due"];
    FEED = " flags=allow-oom", ["common", "feed"];
    FIND = " flags=allow-oom", ["common", "entry", "token", "find"];
    ISSUE = "", ["common", "horizon", "entry", "token", "put", "grant", "issue"];
    OPEN = "", ["open"];
    WITHDRAW = " flags=allow-oom", ["withdraw"];
    READ = " flags=allow-oom", ["read"];
    REVOKE = "", ["common", "entry", "token", "revoke"];
    ROTATE = "", ["common", "horizon", "entry", "token", "put", "grant", "rotation", "rotate"];
    SESSION = "", ["common", "horizon", "entry", "logins", "session"];
    SWEEP = " flags=allow-oom", ["common", "entry", "token", "logins", "sweep"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_says_first_what_it_is() {
        for (name, script) in ALL {
            assert!(script.source.starts_with("#!lua"), "{name}");
            assert_eq!(script.hash.len(), 40, "{name}");
        }
    }
}
