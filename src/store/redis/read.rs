//! Reading one key.

use crate::error::StoreError;
use crate::store::redis::answer::bytes;
use crate::store::redis::keys::{Id, Part};
use crate::store::redis::script::{Call, READ};
use crate::store::redis::store::RedisStore;

/// The first bytes of what is kept under an id, all of them if that is 0; none if there is nothing.
pub(super) async fn read_value(
    store: &RedisStore,
    part: Part,
    id: &Id,
    count: u64,
) -> Result<Vec<u8>, StoreError> {
    let call = Call::new(&READ, store.keys.key(part, id)).number(count);
    bytes(store.shared.link.call(&call).await?)
}
