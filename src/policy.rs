//! Everything an author may decide, with a default and the reason for it.

use std::time::Duration;

use crate::auth_method::AuthMethods;
use crate::jose::Algorithms;

/// The decisions of an [`Authority`](crate::Authority): plain data, built once.
///
/// The default is what the specifications ask for, in the strictest reading that real clients pass. To
/// stand in for a system that clients already call, start from a [`profile`](crate::profile).
///
/// ```
/// use annul::{Cascade, LogoutSuccess, Policy};
///
/// let mut policy = Policy::default();
/// policy.cascade.access_token = Cascade::Token;
/// policy.logout.success = LogoutSuccess::NoContent204;
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// How far revoking one token reaches. Default: the whole grant, from either kind.
    pub cascade: CascadePolicy,
    /// What happens when a client presents another client's token. Default: confidential clients are told
    /// so, public clients are not.
    pub foreign_token: ForeignTokenPolicy,
    /// How logout answers.
    pub logout: LogoutPolicy,
    /// The answer for an unknown token, or for one that is no longer known. Default: an empty 200, byte for byte
    /// what a live token gets.
    pub unknown_token: UnknownToken,
    /// Whether the token parameter or the client is looked at first. Default: the client, so that nobody
    /// without credentials can probe.
    pub order: CheckOrder,
    /// Which repeated parameters are refused. Default: those that this crate knows, as OAuth 2.1
    /// section 3.2 says.
    pub duplicates: Duplicates,
    /// What a query string on a POST means. Default: nothing; its parameters are never read.
    pub query: QueryString,
    /// The answer to a body that is not a form. Default: 400, the only status RFC 6749 section 5.2 knows
    /// for a malformed request.
    pub media_type: MediaTypeMismatch,
    /// How the two halves of Basic credentials are decoded. Default: as RFC 6749 section 2.3.1 says.
    pub basic: BasicDecoding,
    /// Whether a client may authenticate by a method other than the one it registered. Default: no, so that
    /// a leaked secret opens no side door.
    pub methods: MethodMatch,
    /// Which methods a client may authenticate by at all. Default: every one; what a client registered decides.
    pub auth_methods: AuthMethods,
    /// What an assertion (`private_key_jwt`, `client_secret_jwt`) must be like.
    pub assertions: AssertionPolicy,
    /// The status when client authentication in the form fails. Default: 401, which always carries a
    /// challenge.
    pub body_authentication_failure: BodyAuthenticationFailure,
    /// The wording of errors. Default: our own; two profiles speak as the systems they stand for.
    pub wording: Wording,
    /// The realm of the `Basic` challenge. Default: `oauth2`.
    pub realm: &'static str,
    /// Headers of every answer. Default: [`HARDENED_HEADERS`].
    pub headers: &'static [(&'static str, &'static str)],
    /// Headers of answers without an error only; a profile names its media type here. Default: none.
    pub success_headers: &'static [(&'static str, &'static str)],
    /// Whether a successful revocation names tokens and user in WSO2's response headers. Default: no. Headers
    /// are logged by every proxy on the way: switch it on only for clients that cannot live without.
    pub revoked_token_headers: bool,
    /// Limits on what a request may contain.
    pub limits: Limits,
    /// What `Retry-After` says when the store does not say. Default: 5 seconds.
    pub retry_after: Duration,
}

/// The headers every answer carries by default.
///
/// `no-store`, and `no-cache` for HTTP/1.0 caches, because introspection answers and errors must be seen
/// fresh; `nosniff` and `no-referrer` because they cost nothing.
pub const HARDENED_HEADERS: &[(&str, &str)] = &[
    ("cache-control", "no-store"),
    ("pragma", "no-cache"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
];

impl Default for Policy {
    fn default() -> Self {
        Self {
            cascade: CascadePolicy::default(),
            foreign_token: ForeignTokenPolicy::default(),
            logout: LogoutPolicy::default(),
            unknown_token: UnknownToken::Empty,
            order: CheckOrder::ClientFirst,
            duplicates: Duplicates::RefuseKnown,
            query: QueryString::Ignore,
            media_type: MediaTypeMismatch::BadRequest400,
            basic: BasicDecoding::Form,
            methods: MethodMatch::Registered,
            auth_methods: AuthMethods::ALL,
            assertions: AssertionPolicy::default(),
            body_authentication_failure: BodyAuthenticationFailure::Unauthorized401,
            wording: Wording::Standard,
            realm: "oauth2",
            headers: HARDENED_HEADERS,
            success_headers: &[],
            revoked_token_headers: false,
            limits: Limits::default(),
            retry_after: Duration::from_secs(5),
        }
    }
}

/// How far revoking one token reaches, by the kind of the presented token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CascadePolicy {
    /// From an access token. RFC 7009 section 2.1 lets it reach the refresh token; without that, the
    /// refresh token mints the next access token at once. Default: the grant.
    pub access_token: Cascade,
    /// From a refresh token. RFC 7009 section 2.1: access tokens of the same grant SHOULD go too.
    /// Default: the grant.
    pub refresh_token: Cascade,
}

impl CascadePolicy {
    /// The same reach from either kind.
    pub const fn both(cascade: Cascade) -> Self {
        Self { access_token: cascade, refresh_token: cascade }
    }
}

impl Default for CascadePolicy {
    fn default() -> Self {
        Self::both(Cascade::Grant)
    }
}

/// How far one revocation reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Cascade {
    /// The whole grant: every token, of either kind, issued from the same authorization.
    Grant,
    /// The presented token alone.
    Token,
}

/// What a client gets that presents another client's token, by what kind of client it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ForeignTokenPolicy {
    /// A client that proved who it is. Default: [`ForeignToken::Refuse`], as RFC 7009 section 2.1 says.
    pub confidential: ForeignToken,
    /// A client anybody can claim to be. Default: [`ForeignToken::Ignore`]: an error would tell anybody
    /// who asks that the token is alive.
    pub public: ForeignToken,
}

impl ForeignTokenPolicy {
    /// The same answer for either kind of client.
    pub const fn both(foreign: ForeignToken) -> Self {
        Self { confidential: foreign, public: foreign }
    }
}

impl Default for ForeignTokenPolicy {
    fn default() -> Self {
        Self { confidential: ForeignToken::Refuse, public: ForeignToken::Ignore }
    }
}

/// What happens to another client's token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ForeignToken {
    /// Nothing, and the answer is that of an unknown token.
    Ignore,
    /// It is revoked, and at logout its session ended: who holds a token may destroy it. The Matrix profile of RFC 7009 wants this, so that
    /// secret scanners can disarm what they find.
    ProofByPossession,
    /// Nothing, and the answer is 400 `invalid_grant`.
    Refuse,
}

/// How logout answers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct LogoutPolicy {
    /// The status of a logout that is done. Default: 200.
    pub success: LogoutSuccess,
    /// What a token that no store knows is answered. Default: success, since a token that is gone long
    /// enough to be forgotten has no session left to end.
    pub unknown_token: LogoutUnknown,
}

/// The status of a logout that is done; the body is empty either way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the two that deployed servers answer")]
pub enum LogoutSuccess {
    /// 204, as Keycloak answers.
    NoContent204,
    /// 200, as HyperID documents.
    #[default]
    Ok200,
}

/// What logout answers for a token that no store knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it either is an error or is not")]
pub enum LogoutUnknown {
    /// 400 `invalid_grant`, as Keycloak answers for a token that it cannot verify.
    InvalidGrant,
    /// The success status: repeating a logout is not an error.
    #[default]
    Succeed,
}

/// What revocation answers for a token that no store knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "Keycloak is the one deviation known")]
pub enum UnknownToken {
    /// An empty 200 (RFC 7009 section 2.2).
    Empty,
    /// 200 with an `invalid_token` error object, as Keycloak answers.
    InvalidTokenBody,
}

/// Whether the token parameter or the client is looked at first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are two of them to order")]
pub enum CheckOrder {
    /// The client first.
    ClientFirst,
    /// A missing token is reported before the client is looked at, as oauthlib does.
    TokenFirst,
}

/// Which repeated parameters are refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "known names or all names: there is no third")]
pub enum Duplicates {
    /// Any parameter, known or not, as Keycloak and WSO2 do.
    RefuseAny,
    /// Those that this crate reads.
    RefuseKnown,
}

/// What a query string on a POST means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "reading it is not an option")]
pub enum QueryString {
    /// Its parameters are not looked at (RFC 6749 section 3.1 lets an endpoint URL carry one).
    Ignore,
    /// 400, as oauthlib answers: tokens in URLs end up in logs.
    Refuse,
}

/// The answer to a body that is not a form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the two that deployed servers answer")]
pub enum MediaTypeMismatch {
    /// 400 `invalid_request`.
    BadRequest400,
    /// 415 `invalid_request`.
    UnsupportedMediaType415,
}

/// How the two halves of Basic credentials are decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "as specified, or as clients get it wrong")]
pub enum BasicDecoding {
    /// Each half is form-urlencoded (RFC 6749 section 2.3.1).
    Form,
    /// As [`Form`](Self::Form); and where that does not authenticate, once more with both halves as they
    /// stand, for clients that skip the encoding.
    Lenient,
}

/// Whether a client may authenticate by a method it did not register.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the methods that may stand for each other are two")]
pub enum MethodMatch {
    /// `client_secret_basic` and `client_secret_post` stand for each other; every other method must be the
    /// registered one.
    EitherSecret,
    /// The method must be the registered one (RFC 7591 `token_endpoint_auth_method`).
    Registered,
}

/// What an assertion must be like (RFC 7523 section 3; OpenID Connect Core section 9).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AssertionPolicy {
    /// Whom it must be addressed to. Default: the issuer, and nobody else.
    pub audience: AudiencePolicy,
    /// What it may be signed with, where the client registered no `token_endpoint_auth_signing_alg`; what it
    /// registered must be one of these too. Default: everything this crate verifies.
    pub algorithms: Algorithms,
    /// How far the client's clock may be from ours. Default: 30 seconds; more than 60 counts as 60
    /// (FAPI 2.0 section 5.3.2.1: "not greater than 60 seconds").
    pub clock_skew: Duration,
    /// How far ahead `exp` may lie. A replay has to be remembered for so long. Default: one hour.
    pub max_lifetime: Duration,
    /// How old `iat` may be; an assertion without one is then refused. Default: no limit, `exp` is enough.
    pub max_age: Option<Duration>,
    /// Whether it must have a `jti`, and so can be used once. Default: yes, as OpenID Connect Core section 9 says; RFC 7523
    /// section 3 leaves it open. One that has a `jti` can be used once in any case.
    pub require_jti: bool,
    /// Whether its header must say `typ: client-authentication+jwt`. Default: no; the `typ` of another kind of JWT is
    /// refused in any case.
    pub require_typ: bool,
}

impl Default for AssertionPolicy {
    fn default() -> Self {
        Self {
            audience: AudiencePolicy::IssuerOnly,
            algorithms: Algorithms::ALL,
            clock_skew: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(3_600),
            max_age: None,
            require_jti: true,
            require_typ: false,
        }
    }
}

/// Whom an assertion must be addressed to (`aud`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AudiencePolicy {
    /// The issuer identifier, alone: a string, or an array of that one string (rfc7523bis section 4).
    IssuerOnly,
    /// The issuer identifier as a string (FAPI 2.0 section 5.3.2.1).
    IssuerStringOnly,
    /// The issuer or one of the server's endpoint URLs, perhaps among others, as RFC 7523 section 3 had it.
    ///
    /// # Security
    ///
    /// A client that talks to several servers can be tricked by one of them into addressing an assertion to another
    /// one's endpoint, which that one then accepts from the trickster. Only for clients that cannot be changed.
    Legacy,
}

/// The status when client authentication in the form fails.
///
/// Where the `Authorization` header was used the status is 401 in any case (RFC 6749 section 5.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 6749 section 5.2 allows these two")]
pub enum BodyAuthenticationFailure {
    /// 400.
    BadRequest400,
    /// 401, with a challenge (RFC 9110 section 15.5.2).
    Unauthorized401,
}

/// Whose words errors use. The codes are from one closed list in any case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Wording {
    /// Keycloak's, for clients that match on them.
    Keycloak,
    /// Our own.
    Standard,
    /// WSO2's, for clients that match on them.
    Wso2,
}

/// Limits on what a request may contain. A request beyond one of them costs no look-up.
///
/// How long a token may be is no setting: [`PresentedToken::MAX_BYTES`](crate::PresentedToken::MAX_BYTES) holds for what is
/// issued and for what is looked up, so that nothing is issued that cannot be revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest body, in bytes; longer is 413. Default: 131 072, room for a token of 64 KiB whose every
    /// byte is plain.
    pub body_bytes: usize,
    /// The most parameters, known or not; more is 400. Default: 64.
    pub pairs: usize,
    /// The longest decoded name or value other than a token's, in bytes; longer is 400. Default: 8 192.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 131_072, pairs: 64, value_bytes: 8_192 }
    }
}
