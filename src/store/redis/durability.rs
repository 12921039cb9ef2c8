//! What a server keeps when it is killed.

use std::fmt;

use redis::Value;

/// What an acknowledged revocation survives when the server is killed, weakest first.
///
/// Its `Display` is one sentence for an operator. See *What an acknowledged revocation survives* at
/// [`RedisStore`](crate::store::redis::RedisStore).
///
/// ```
/// use annul::store::redis::Durability;
///
/// assert!(Durability::SnapshotsOrNothing < Durability::EverySecond);
/// assert!(Durability::EverySecond < Durability::EveryWrite);
/// ```
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Durability {
    /// No append-only file: what the last snapshot has, or nothing. Tokens and their revocations are lost since then, and
    /// tokens from before then are good again.
    SnapshotsOrNothing,
    /// The server does not tell. Assume the worst.
    Unknown,
    /// `appendfsync no`: what the operating system has written by then, usually all but half a minute.
    OperatingSystem,
    /// `appendfsync everysec`: all but the last second.
    EverySecond,
    /// `appendfsync always`: everything.
    EveryWrite,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SnapshotsOrNothing => {
                "Redis has no append-only file: if it is killed, revocations since its last snapshot are lost, and revoked \
                 tokens are good again; set `appendonly yes` and `appendfsync always`"
            }
            Self::Unknown => {
                "Redis does not tell whether a revocation survives when it is killed: see to it that it has `appendonly yes` \
                 and `appendfsync always`"
            }
            Self::OperatingSystem => {
                "Redis has `appendfsync no`: if the machine fails, revocations of the last half minute may be lost; set \
                 `appendfsync always`"
            }
            Self::EverySecond => {
                "Redis has `appendfsync everysec`: if it is killed, revocations of the last second may be lost; set \
                 `appendfsync always`"
            }
            Self::EveryWrite => "Redis writes every revocation to the disk before it answers",
        })
    }
}

/// The weakest of several servers: what `INFO` says of each, and the values of `appendfsync` that were told.
pub(super) fn weakest(infos: &[String], policies: &[String]) -> Durability {
    let appends = |info: &String| match field(info, "aof_enabled") {
        Some("1") => Durability::EveryWrite,
        Some(_) => Durability::SnapshotsOrNothing,
        None => Durability::Unknown,
    };
    let syncs = |policy: &String| match policy.as_str() {
        "always" => Durability::EveryWrite,
        "everysec" => Durability::EverySecond,
        "no" => Durability::OperatingSystem,
        _ => Durability::Unknown,
    };
    let untold = (policies.len() < infos.len() || infos.is_empty()).then_some(Durability::Unknown);
    let all = infos.iter().map(appends).chain(policies.iter().map(syncs)).chain(untold);
    all.min().unwrap_or(Durability::Unknown)
}

/// The value that `CONFIG GET` answers for one setting.
#[expect(clippy::wildcard_enum_match_arm, reason = "any other answer tells nothing")]
pub(super) fn append_policy(answer: Value) -> Option<String> {
    let value = match answer {
        Value::Map(settings) => settings.into_iter().next()?.1,
        Value::Array(settings) => settings.into_iter().nth(1)?,
        _ => return None,
    };
    redis::from_redis_value(value).ok()
}

/// A field of what a server says of itself.
pub(super) fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_server_decides() {
        let weakest = |infos: &[&str], policies: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let (infos, policies): (Vec<String>, Vec<String>) = (owned(infos), owned(policies));
            weakest(&infos, &policies)
        };
        let (on, off) = ("a:b\r\naof_enabled:1\r\n", "aof_enabled:0\r\n");
        assert_eq!(weakest(&[on, on], &["always", "always"]), Durability::EveryWrite);
        assert_eq!(weakest(&[on, on], &["always", "everysec"]), Durability::EverySecond);
        assert_eq!(weakest(&[on, on], &["no", "everysec"]), Durability::OperatingSystem);
        assert_eq!(weakest(&[on, on], &["always"]), Durability::Unknown);
        assert_eq!(weakest(&[on, off], &["always", "always"]), Durability::SnapshotsOrNothing);
        assert_eq!(weakest(&[off], &[]), Durability::SnapshotsOrNothing);
        assert_eq!(weakest(&["", ""], &["always", "always"]), Durability::Unknown);
        assert_eq!(weakest(&[], &[]), Durability::Unknown);
    }
}
