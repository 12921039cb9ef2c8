//! The names by which people, clients, grants and sessions are known.
//!
//! Each is its own type, so that a subject can never be passed where a client is meant. A name of
//! up to 38 bytes, a UUID included, is kept inline: it is cloned without an allocation and without a
//! counter that two processor cores would fight over, and a million of them cost no heap of their
//! own.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The longest name kept without a heap allocation.
const INLINE: usize = 38;

/// Text that is kept inline where it is short.
#[derive(Clone)]
pub(crate) enum Text {
    /// The first `len` bytes.
    Inline { len: u8, bytes: [u8; INLINE] },
    /// On the heap, shared.
    Shared(Arc<str>),
}

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(head), Ok(len)) => {
                head.copy_from_slice(text.as_bytes());
                Self::Inline { len, bytes }
            }
            _ => Self::Shared(text.into()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Shared(text) => text.as_bytes(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            // The bytes were copied from a `&str`, so they are valid UTF-8.
            Self::Inline { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Shared(text) => text,
        }
    }
}

impl Eq for Text {}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `str` does, so that a map can be asked with a `&str`.
        state.write(self.as_bytes());
        state.write_u8(0xff);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

macro_rules! name {
    ($(#[$docs:meta])* $Name:ident) => {
        $(#[$docs])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $Name(Text);

        impl $Name {
            /// Takes the name as it is: nothing is trimmed, folded or normalised.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(Text::new(text.as_ref()))
            }

            /// The name, byte for byte as it was given.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $Name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($Name)).field(&self.as_str()).finish()
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl From<&str> for $Name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $Name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }
    };
}

name! {
    /// A client identifier (`client_id`, RFC 6749 section 2.2).
    ///
    /// ```
    /// use annul::ClientId;
    ///
    /// let web = ClientId::new("s6BhdRkqt3");
    /// assert_eq!(web.as_str(), "s6BhdRkqt3");
    /// ```
    ClientId
}

name! {
    /// The authorization grant that a family of tokens descends from.
    ///
    /// Every token that is issued or rotated out of one authorization carries the same grant, so
    /// that one [`Target::Grant`](crate::Target::Grant) entry ends them all. Make it unguessable and
    /// never use one twice: a revoked grant stays revoked.
    ///
    /// ```
    /// use annul::GrantId;
    ///
    /// let grant = GrantId::new("0b1c8f0a-6a50-4f0e-9d52-6f2a0b8f9f10");
    /// assert_eq!(grant.to_string().len(), 36);
    /// ```
    GrantId
}

name! {
    /// A tenant: part of every key a shipped store writes, so that no call crosses from one to another.
    ///
    /// ```
    /// use annul::Namespace;
    ///
    /// assert_eq!(Namespace::new("tenant-a").as_str(), "tenant-a");
    /// assert_eq!(Namespace::default().as_str(), "");
    /// ```
    Namespace
}

name! {
    /// An OpenID Connect session identifier (`sid`, Back-Channel Logout section 2.1).
    ///
    /// Unguessable, and never used twice: a session that was logged out stays logged out.
    ///
    /// ```
    /// use annul::SessionId;
    ///
    /// assert_eq!(SessionId::new("s1"), SessionId::from("s1"));
    /// ```
    SessionId
}

name! {
    /// The end user, by the server's own internal identifier.
    ///
    /// Use the internal identifier even where clients see pairwise `sub` values: locking an account
    /// must reach the tokens of every client.
    ///
    /// ```
    /// use annul::Subject;
    ///
    /// assert_eq!(Subject::new("alice").as_str(), "alice");
    /// ```
    Subject
}

impl Default for Namespace {
    /// The one namespace of a server without tenants.
    fn default() -> Self {
        Self::new("")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_name_of_any_length_comes_back_byte_for_byte() {
        for len in 0..100 {
            let text = "é".repeat(len);
            assert_eq!(ClientId::new(&text).as_str(), text);
        }
    }

    #[test]
    fn a_map_keyed_by_name_can_be_asked_with_a_str() {
        let long = "x".repeat(60);
        let map = HashMap::from([(ClientId::new("web"), 1), (ClientId::new(&long), 2)]);
        assert_eq!(map.get("web"), Some(&1));
        assert_eq!(map.get(long.as_str()), Some(&2));
    }

    #[test]
    fn a_uuid_needs_no_heap_and_the_type_stays_forty_bytes() {
        let uuid = Text::new("0b1c8f0a-6a50-4f0e-9d52-6f2a0b8f9f10");
        assert!(matches!(uuid, Text::Inline { .. }));
        assert_eq!(size_of::<Option<GrantId>>(), 40);
    }
}
