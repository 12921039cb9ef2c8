//! The same work written straight down, without this crate: the yardstick.
//!
//! Base64, the form, the digest of the secret and its comparison, the digest of the token, and one probe,
//! client check and removal in a sharded table. No policy, no errors worth the name, no cascade, no answer but
//! a status.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hashbrown::HashTable;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::support::{CLIENT_ID, CLIENT_SECRET};

const SHARDS: usize = 64;
const CLIENT: u32 = 7;

/// 48 bytes: what a token table cannot do without.
struct Row {
    digest: [u8; 32],
    client: u32,
    _expires_at: u32,
    _grant: u64,
}

#[repr(align(64))]
#[derive(Default)]
struct Shard(Mutex<HashTable<Row>>);

pub(crate) struct Straight {
    shards: Box<[Shard]>,
    secret: [u8; 32],
}

impl Straight {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            secret: Sha256::digest(CLIENT_SECRET).into(),
        }
    }

    pub(crate) fn issue(&self, token: &str, grant: u64) {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let row = Row { digest, client: CLIENT, _expires_at: u32::MAX, _grant: grant };
        let mut rows = self.shard(&digest).lock().unwrap_or_else(PoisonError::into_inner);
        rows.insert_unique(hash_of(&digest), row, |row| hash_of(&row.digest));
    }

    pub(crate) fn revoke(&self, authorization: &[u8], body: &[u8]) -> u16 {
        let Some(encoded) = authorization.strip_prefix(b"Basic ") else {
            return 401;
        };
        let mut room = [0; 192];
        let Ok(len) = STANDARD.decode_slice(encoded, &mut room) else {
            return 401;
        };
        let Ok(text) = std::str::from_utf8(&room[..len]) else {
            return 401;
        };
        let Some((client_id, secret)) = text.split_once(':') else {
            return 401;
        };
        let decode = |half: &'_ str| {
            let bytes = percent_encoding::percent_decode_str(half);
            bytes.decode_utf8().is_ok_and(|decoded| decoded == half)
        };
        // No escapes in either half, or it would have to be decoded.
        if !decode(client_id) || !decode(secret) {
            return 401;
        }
        let (mut token, mut hint) = (None::<Cow<'_, str>>, None::<Cow<'_, str>>);
        for (name, value) in form_urlencoded::parse(body) {
            let slot = match name.as_ref() {
                "token" => &mut token,
                "token_type_hint" => &mut hint,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return 400;
            }
        }
        let presented: [u8; 32] = Sha256::digest(secret).into();
        let secret_matches: bool = presented.ct_eq(&self.secret).into();
        if client_id != CLIENT_ID || !secret_matches {
            return 401;
        }
        let Some(token) = token else {
            return 400;
        };
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut rows = self.shard(&digest).lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(row) = rows.find_entry(hash_of(&digest), |row| row.digest == digest) {
            if row.get().client != CLIENT {
                return 400;
            }
            row.remove();
        }
        200
    }

    pub(crate) fn len(&self) -> usize {
        let len = |shard: &Shard| shard.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.shards.iter().map(len).sum()
    }

    fn shard(&self, digest: &[u8; 32]) -> &Mutex<HashTable<Row>> {
        &self.shards[usize::from(digest[8]) % SHARDS].0
    }
}

fn hash_of(digest: &[u8; 32]) -> u64 {
    digest.first_chunk().copied().map_or(0, u64::from_le_bytes)
}
