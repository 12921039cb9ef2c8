//! `&T`, `Box<T>` and `Arc<T>` are stores where `T` is one.
//!
//! Each method hands the inner future on as it is, so a store behind three pointers costs no more
//! allocations than a bare one. `missing_trait_methods` makes a method that is added to a trait and forgotten
//! here an error.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::revocation::{Revocation, Revoked};
use crate::store::{
    Changes, FeedCursor, Issued, RevocationFeed, Rotated, Rotation, Session, Sweep, SweepBudget,
    Swept, TokenLedger, TokenStore,
};
use crate::token::{Grant, NewToken, PresentedToken, TokenRecord, TokenTypeHint};

type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'f>>;

macro_rules! forward {
    ($($Pointer:ty),+) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl<T: TokenStore + ?Sized> TokenStore for $Pointer {
            fn find<'s, 't, 'h, 'f>(
                &'s self,
                token: PresentedToken<'t>,
                hint: Option<TokenTypeHint<'h>>,
            ) -> Answer<'f, Option<TokenRecord>>
            where
                's: 'f,
                't: 'f,
                'h: 'f,
                Self: 'f,
            {
                (**self).find(token, hint)
            }

            fn revoke<'s, 'r, 'f>(&'s self, revocation: &'r Revocation) -> Answer<'f, Revoked>
            where
                's: 'f,
                'r: 'f,
                Self: 'f,
            {
                (**self).revoke(revocation)
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<T: TokenLedger + ?Sized> TokenLedger for $Pointer {
            fn issue<'s, 'n, 't, 'f>(
                &'s self,
                grant: Grant,
                tokens: &'n [NewToken<'t>],
                now: Timestamp,
            ) -> Answer<'f, Issued>
            where
                's: 'f,
                'n: 'f,
                't: 'f,
                Self: 'f,
            {
                (**self).issue(grant, tokens, now)
            }

            fn rotate<'s, 'r, 't, 'f>(
                &'s self,
                rotation: &'r Rotation<'t>,
            ) -> Answer<'f, Rotated>
            where
                's: 'f,
                'r: 'f,
                't: 'f,
                Self: 'f,
            {
                (**self).rotate(rotation)
            }

            fn open_session<'s, 'f>(&'s self, session: Session) -> Answer<'f, ()>
            where
                's: 'f,
                Self: 'f,
            {
                (**self).open_session(session)
            }

            fn session<'s, 'i, 'f>(&'s self, id: &'i SessionId) -> Answer<'f, Option<Session>>
            where
                's: 'f,
                'i: 'f,
                Self: 'f,
            {
                (**self).session(id)
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<T: Sweep + ?Sized> Sweep for $Pointer {
            fn sweep<'s, 'f>(&'s self, now: Timestamp, budget: SweepBudget) -> Answer<'f, Swept>
            where
                's: 'f,
                Self: 'f,
            {
                (**self).sweep(now, budget)
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<T: RevocationFeed + ?Sized> RevocationFeed for $Pointer {
            fn changes<'s, 'c, 'f>(
                &'s self,
                after: Option<&'c FeedCursor>,
                limit: usize,
            ) -> Answer<'f, Changes>
            where
                's: 'f,
                'c: 'f,
                Self: 'f,
            {
                (**self).changes(after, limit)
            }

            fn changed<'s, 'c, 'f>(&'s self, after: &'c FeedCursor) -> Answer<'f, ()>
            where
                's: 'f,
                'c: 'f,
                Self: 'f,
            {
                (**self).changed(after)
            }
        }
    )+};
}

forward!(&T, Box<T>, Arc<T>);
