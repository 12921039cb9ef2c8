//! What every store decides, decided once: pure functions, without input, output or waiting.
//!
//! The shipped stores carry these rules out, each in the way of its engine: the memory and the embedded store call them, the
//! scripts of the Redis store and the statements of the PostgreSQL store are held to them by the same
//! vectors (`tests/vectors`). A store of your own may call them as well.
//!
//! | question | where |
//! |---|---|
//! | which entries cover a token, or the login of a session? does a new cutoff move an old one? | [`covering`] |
//! | is this rotation the first, a repetition within the grace window, or reuse? | [`rotation`] |
//! | may these tokens be issued under this grant? | [`issuing`] |
//! | until when is a token, a grant, a session, an entry kept? | [`Lifetimes`](crate::store::Lifetimes), [`OpenLogins`] |
//! | what may a sweep take for the time? | [`SweepClock`] |
//! | under which name is a target kept, so that no key tells a name? | [`keys`] |
//! | which number, letter or name stands for a kind, a reason, an actor? | [`codes`] |
//! | how far has a reader of the feed come, and when has it lost something? | [`cursor`] |

pub mod codes;
pub mod covering;
pub mod cursor;
pub mod issuing;
pub mod keys;
pub(in crate::store) mod lifetime;
pub mod rotation;

pub use lifetime::{LeapWatch, OpenLogins, SweepClock, is_due};
