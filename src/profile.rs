//! Policies under which this crate stands in for systems that clients already call.
//!
//! Each profile follows what the system documents and what its clients can observe. Where a system leaks
//! or loses something, the profile does not: see each function.

use std::borrow::Cow;

use crate::auth_method::{AuthMethod, AuthMethods};
use crate::jose::Algorithms;
use crate::policy::{
    AssertionPolicy, AudiencePolicy, BasicDecoding, Cascade, CascadePolicy, CheckOrder, Duplicates,
    ForeignToken, ForeignTokenPolicy, LogoutPolicy, LogoutSuccess, LogoutUnknown, MethodMatch,
    Policy, QueryString, UnknownToken, Wording,
};

/// A policy, and the paths its system serves.
///
/// ```
/// use annul::profile;
///
/// let profile = profile::by_name("django_oauth_toolkit").unwrap();
/// assert_eq!(profile.paths.revoke, "/o/revoke_token/");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// What the endpoints do.
    pub policy: Policy,
    /// Where they are.
    pub paths: Paths,
}

impl From<Profile> for Policy {
    fn from(profile: Profile) -> Self {
        profile.policy
    }
}

/// The paths of the endpoints, each from the root.
///
/// ```
/// use annul::profile::Paths;
///
/// let mut paths = Paths::default();
/// paths.revoke = "/oauth2/v1/revoke".into();
/// assert_eq!(paths.logout, "/logout");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Paths {
    /// RFC 7009 token revocation. Default: `/revoke`.
    pub revoke: Cow<'static, str>,
    /// Logout with a refresh token. Default: `/logout`.
    pub logout: Cow<'static, str>,
    /// RFC 7662 token introspection. Default: `/introspect`.
    pub introspect: Cow<'static, str>,
}

impl Paths {
    const fn new(revoke: &'static str, logout: &'static str, introspect: &'static str) -> Self {
        Self {
            revoke: Cow::Borrowed(revoke),
            logout: Cow::Borrowed(logout),
            introspect: Cow::Borrowed(introspect),
        }
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self::new("/revoke", "/logout", "/introspect")
    }
}

/// The profile of this name; none if there is no such profile.
pub fn by_name(name: &str) -> Option<Profile> {
    Some(match name {
        "standard" => standard(),
        "asgardeo" => asgardeo(),
        "django_oauth_toolkit" => django_oauth_toolkit(),
        "fapi2" => fapi2(),
        "hyperid" => hyperid(),
        "keycloak" => keycloak(),
        "wso2" => wso2(),
        _ => return None,
    })
}

/// The specifications, nobody's deviations: [`Policy::default`].
pub fn standard() -> Profile {
    Profile { policy: Policy::default(), paths: Paths::default() }
}

/// HyperID: a Keycloak behind its own documentation.
///
/// Credentials come in the form. Revoking a refresh token ends its grant and leaves the session and the
/// user's other applications alone; logging out ends the session for all of them. Both answer 200. An
/// expired but genuine refresh token still logs out, and repeating either is not an error.
pub fn hyperid() -> Profile {
    let mut profile = keycloak();
    profile.policy.logout.success = LogoutSuccess::Ok200;
    profile.policy.unknown_token = UnknownToken::Empty;
    profile.paths = Paths::new(
        "/auth/realms/HyperID/protocol/openid-connect/revoke",
        "/auth/realms/HyperID/protocol/openid-connect/logout",
        "/auth/realms/HyperID/protocol/openid-connect/token/introspect",
    );
    profile
}

/// Keycloak, at the realm `master`.
///
/// As [`hyperid`], with Keycloak's own 204 for logout, its error body under a 200 for unknown tokens, and
/// its words. Not reproduced: different answers for an unknown client and a wrong secret, which would tell
/// strangers which clients exist; ending the client's other grants of the same session along with a refresh token's
/// own; and ending the whole session when the last application's token is revoked, which logs users out who only
/// removed one application.
pub fn keycloak() -> Profile {
    let policy = Policy {
        // An access token goes alone; a refresh token takes its grant along.
        cascade: CascadePolicy { access_token: Cascade::Token, refresh_token: Cascade::Grant },
        foreign_token: ForeignTokenPolicy::both(ForeignToken::Refuse),
        logout: LogoutPolicy {
            success: LogoutSuccess::NoContent204,
            unknown_token: LogoutUnknown::InvalidGrant,
        },
        unknown_token: UnknownToken::InvalidTokenBody,
        duplicates: Duplicates::RefuseAny,
        methods: MethodMatch::EitherSecret,
        wording: Wording::Keycloak,
        ..Policy::default()
    };
    let paths = Paths::new(
        "/realms/master/protocol/openid-connect/revoke",
        "/realms/master/protocol/openid-connect/logout",
        "/realms/master/protocol/openid-connect/token/introspect",
    );
    Profile { policy, paths }
}

/// WSO2 API Manager and Identity Server.
///
/// Either token takes the other along, and the answer names what was revoked, and whose it was, in three
/// headers that are absent when nothing was. Not reproduced: secrets with a colon failing, callbacks
/// (JSONP), tokens in the query string, revocation without any client, a 401 that tells a client of another
/// client's access token, store failures as 400, and the documented narrowing of the search to the hinted kind,
/// which its own source does not do either.
///
/// # Security
///
/// The headers put tokens where proxies log them. That is why they are a profile and not a default.
pub fn wso2() -> Profile {
    let policy = Policy {
        foreign_token: ForeignTokenPolicy::both(ForeignToken::Ignore),
        duplicates: Duplicates::RefuseAny,
        basic: BasicDecoding::Lenient,
        methods: MethodMatch::EitherSecret,
        wording: Wording::Wso2,
        headers: WSO2_HEADERS,
        success_headers: WSO2_SUCCESS_HEADERS,
        revoked_token_headers: true,
        ..Policy::default()
    };
    Profile { policy, paths: Paths::default() }
}

/// Asgardeo, for the organisation `bifrost` of its own examples.
///
/// The engine of [`wso2`], documented without cascade either way and without the three headers.
pub fn asgardeo() -> Profile {
    let policy = Policy {
        cascade: CascadePolicy::both(Cascade::Token),
        foreign_token: ForeignTokenPolicy::both(ForeignToken::Ignore),
        duplicates: Duplicates::RefuseAny,
        basic: BasicDecoding::Lenient,
        methods: MethodMatch::EitherSecret,
        wording: Wording::Wso2,
        ..Policy::default()
    };
    let paths = Paths::new(
        "/t/bifrost/oauth2/revoke",
        "/t/bifrost/oidc/logout",
        "/t/bifrost/oauth2/introspect",
    );
    Profile { policy, paths }
}

/// Django OAuth Toolkit, mounted at `/o/`.
///
/// Credentials in the form or by Basic; another client's token is a silent 200; a query string is refused;
/// a missing token is reported before the client is looked at. Not reproduced: the `Bearer` challenge for
/// failed Basic credentials, JSON bodies, and `unsupported_token_type` decided from the hint.
pub fn django_oauth_toolkit() -> Profile {
    let policy = Policy {
        foreign_token: ForeignTokenPolicy::both(ForeignToken::Ignore),
        order: CheckOrder::TokenFirst,
        query: QueryString::Refuse,
        methods: MethodMatch::EitherSecret,
        ..Policy::default()
    };
    let paths = Paths::new("/o/revoke_token/", "/o/logout/", "/o/introspect/");
    Profile { policy, paths }
}

/// FAPI 2.0 Security Profile (section 5.3.2.1): servers of banks, health services and governments.
///
/// Confidential clients only, by `private_key_jwt` or mutual TLS; assertions that are addressed to the issuer alone, as a
/// string, and signed with PS256, ES256 or EdDSA on Ed25519. RSA keys below 2048 bits are refused under any policy. The
/// rest is [`standard`]: FAPI 2.0 does not say how tokens are revoked.
pub fn fapi2() -> Profile {
    let policy = Policy {
        auth_methods: AuthMethods::of(&[
            AuthMethod::PrivateKeyJwt,
            AuthMethod::SelfSignedTlsClientAuth,
            AuthMethod::TlsClientAuth,
        ]),
        assertions: AssertionPolicy {
            audience: AudiencePolicy::IssuerStringOnly,
            algorithms: Algorithms::FAPI2,
            ..AssertionPolicy::default()
        },
        ..Policy::default()
    };
    Profile { policy, paths: Paths::default() }
}

const WSO2_HEADERS: &[(&str, &str)] = &[
    ("cache-control", "no-store"),
    ("pragma", "no-cache"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    ("access-control-allow-methods", "POST"),
    (
        "access-control-allow-headers",
        "authorization,Access-Control-Allow-Origin,Content-Type,SOAPAction,Authorization",
    ),
];

const WSO2_SUCCESS_HEADERS: &[(&str, &str)] = &[("content-type", "text/html")];
