//! Tokens in bulk, for load generators.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use annul::{Grant, NewToken, PresentedToken, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::task::JoinSet;

use crate::Failure;
use crate::options::Generate;
use crate::store::ServerStore;

const LIFETIME: Duration = Duration::from_secs(86_400);

/// How many tokens each user holds, all of them in one session and each of its own grant: revoking one leaves
/// the other nine alone, logging out ends all ten.
const TOKENS_PER_USER: u64 = 10;

/// How many are issued at once: a store that waits for a disk or a network does so for all of them together.
const AT_ONCE: usize = 512;

/// Issues live access tokens of `client` and writes them to the file, one per line.
pub(crate) async fn tokens(
    store: &Arc<dyn ServerStore>,
    client: &str,
    wanted: &Generate,
    now: Timestamp,
) -> Result<(), Failure> {
    let shown = wanted.file.display();
    let file =
        File::create(&wanted.file).map_err(|error| format!("cannot write {shown}: {error}"))?;
    let mut lines = BufWriter::new(file);
    let mut random = Random::default();
    let mut subject = String::new();
    let mut session = String::new();
    let mut issuing = JoinSet::new();
    for index in 0..wanted.count {
        if index % TOKENS_PER_USER == 0 {
            subject = random.uuid()?;
            session = random.uuid()?;
        }
        let token = random.token()?;
        let grant = Grant::new(random.uuid()?, client, now).subject(&*subject).session(&*session);
        lines.write_all(token.as_bytes())?;
        lines.write_all(b"\n")?;
        if issuing.len() == AT_ONCE
            && let Some(issued) = issuing.join_next().await
        {
            issued??;
        }
        let store = Arc::clone(store);
        issuing.spawn(async move {
            let access = NewToken::access(PresentedToken::new(&token), now + LIFETIME);
            store.issue(grant, &[access], now).await
        });
    }
    while let Some(issued) = issuing.join_next().await {
        issued??;
    }
    lines.flush()?;
    Ok(())
}

/// The operating system's randomness, fetched in pieces worth the call.
#[derive(Default)]
struct Random {
    bytes: Vec<u8>,
}

const PIECE: usize = 64 * 1024;

impl Random {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        if self.bytes.len() < N {
            self.bytes.resize(PIECE, 0);
            getrandom::fill(&mut self.bytes)?;
        }
        let rest = self.bytes.split_off(self.bytes.len().saturating_sub(N));
        Ok(rest
            .as_slice()
            .try_into()
            .map_err(|_| "the operating system gave too little randomness")?)
    }

    /// 256 random bits as 43 characters, as authorization servers make them.
    fn token(&mut self) -> Result<String, Failure> {
        Ok(URL_SAFE_NO_PAD.encode(self.take::<32>()?))
    }

    /// A random UUID (RFC 9562 section 5.4).
    fn uuid(&mut self) -> Result<String, Failure> {
        let bits = u128::from_be_bytes(self.take()?);
        let bits = bits & !(0xf000 << 64) | 0x4000 << 64;
        let bits = bits & !(0b11 << 62) | 0b10 << 62;
        let hex = format!("{bits:032x}");
        let mut uuid = String::with_capacity(36);
        for (index, digit) in hex.chars().enumerate() {
            if matches!(index, 8 | 12 | 16 | 20) {
                uuid.push('-');
            }
            uuid.push(digit);
        }
        Ok(uuid)
    }
}
