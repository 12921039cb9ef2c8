//! The one subject that a client of `tls_client_auth` registered, and whether a certificate has it.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::client::ClientMetadata;
use crate::client::certificate::name::DistinguishedName;

/// No certificate that a client needs is longer, and parsing is not free.
const LONGEST: usize = 32 * 1024;

/// What a certificate says about whom it was issued to.
#[derive(Debug)]
pub(super) struct Holder<'c> {
    name: DistinguishedName,
    alternatives: Vec<GeneralName<'c>>,
}

impl<'c> Holder<'c> {
    /// Reads a certificate in DER. None for anything else.
    pub(super) fn read(der: &'c [u8]) -> Option<Self> {
        if der.len() > LONGEST {
            return None;
        }
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        // Two such extensions, or one that cannot be read, spoil the certificate.
        let alternatives = certificate.subject_alternative_name().ok()?;
        let alternatives =
            alternatives.map(|extension| extension.value.general_names.clone()).unwrap_or_default();
        Some(Self { name: DistinguishedName::of(certificate.subject()), alternatives })
    }

    /// Whether it is the one whom the client registered.
    pub(super) fn is(&self, expected: &Expected<'_>) -> bool {
        match *expected {
            Expected::Dn(text) => {
                DistinguishedName::parse(text).is_some_and(|name| name == self.name)
            }
            Expected::Dns(expected) => self.has(|alternative| {
                matches!(alternative, GeneralName::DNSName(name) if name.eq_ignore_ascii_case(expected))
            }),
            Expected::Email(expected) => self.has(|alternative| {
                matches!(alternative, GeneralName::RFC822Name(mailbox) if same_mailbox(mailbox, expected))
            }),
            Expected::Ip(expected) => {
                let expected = expected.parse().map(octets).ok();
                self.has(|alternative| {
                    matches!(alternative, GeneralName::IPAddress(ip) if expected.as_deref() == Some(*ip))
                })
            }
            Expected::Uri(expected) => self
                .has(|alternative| matches!(alternative, GeneralName::URI(uri) if *uri == expected)),
        }
    }

    fn has(&self, is_expected: impl Fn(&GeneralName<'c>) -> bool) -> bool {
        self.alternatives.iter().any(is_expected)
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The local part is the mail server's to interpret; the domain is in any case (RFC 5280 section 7.5).
fn same_mailbox(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((one, at)), Some((other, there))) => one == other && at.eq_ignore_ascii_case(there),
        _ => false,
    }
}

/// The subject that a client registered (RFC 8705 section 2.1.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expected<'m> {
    Dn(&'m str),
    Dns(&'m str),
    Email(&'m str),
    Ip(&'m str),
    Uri(&'m str),
}

impl<'m> Expected<'m> {
    /// "A client using the tls_client_auth authentication method MUST use exactly one of the below metadata
    /// parameters": none where there are more, or none, or nothing in it.
    pub(super) fn of(metadata: &'m ClientMetadata) -> Option<Self> {
        let registered = [
            metadata.tls_client_auth_subject_dn.as_deref().map(Self::Dn),
            metadata.tls_client_auth_san_dns.as_deref().map(Self::Dns),
            metadata.tls_client_auth_san_email.as_deref().map(Self::Email),
            metadata.tls_client_auth_san_ip.as_deref().map(Self::Ip),
            metadata.tls_client_auth_san_uri.as_deref().map(Self::Uri),
        ];
        let mut registered = registered.into_iter().flatten();
        let expected = registered.next()?;
        (registered.next().is_none() && !expected.text().is_empty()).then_some(expected)
    }

    const fn text(self) -> &'m str {
        match self {
            Self::Dn(text)
            | Self::Dns(text)
            | Self::Email(text)
            | Self::Ip(text)
            | Self::Uri(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair, SanType};

    use super::*;
    use crate::client::AuthMethod;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn with_alternatives(alternatives: Vec<SanType>) -> Vec<u8> {
        certificate(|params| params.subject_alt_names = alternatives)
    }

    fn ia5<T>(text: &str) -> T
    where
        T: for<'t> TryFrom<&'t str, Error = rcgen::Error>,
    {
        T::try_from(text).unwrap()
    }

    fn is(der: &[u8], expected: Expected<'_>) -> bool {
        Holder::read(der).unwrap().is(&expected)
    }

    #[test]
    fn tls_03_the_subject_is_compared_as_a_name() {
        let der = certificate(|params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CountryName, "DE");
            params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
            params.distinguished_name.push(DnType::CommonName, "web");
        });
        assert!(is(&der, Expected::Dn(r"CN=web,O=Example\, Inc.,C=DE")));
        assert!(is(&der, Expected::Dn(r"cn=WEB, o=example\2C inc., c=de")));
        assert!(!is(&der, Expected::Dn("CN=web")));
        assert!(!is(&der, Expected::Dn("CN=web,O=Example, Inc.,C=DE")));
        assert!(!is(&der, Expected::Dns("web")));
        assert!(!is(&der, Expected::Uri("web")));
    }

    #[test]
    fn tls_03_a_certificate_without_a_name_is_nobody() {
        let der = certificate(|params| params.distinguished_name = rcgen::DistinguishedName::new());
        assert!(Holder::read(&der).is_some());
        for text in ["", " ", "CN="] {
            assert!(!is(&der, Expected::Dn(text)), "{text:?}");
        }
    }

    #[test]
    fn tls_03_a_dns_name_is_in_any_case_and_no_pattern() {
        let der = with_alternatives(vec![
            SanType::DnsName(ia5("Web.Example")),
            SanType::DnsName(ia5("*.wild.example")),
        ]);
        assert!(is(&der, Expected::Dns("web.example")));
        assert!(is(&der, Expected::Dns("WEB.EXAMPLE")));
        for other in
            ["web.example.", "a.web.example", "example", "a.wild.example", "*.example", "*"]
        {
            assert!(!is(&der, Expected::Dns(other)), "{other}");
        }
        // It is the DNS name that was registered, and no other kind of name with the same letters.
        assert!(!is(&der, Expected::Uri("Web.Example")));
        assert!(!is(&der, Expected::Email("Web.Example")));
        assert!(!is(&der, Expected::Dn("CN=web.example")));
    }

    #[test]
    fn tls_03_a_uri_is_compared_byte_for_byte() {
        let der = with_alternatives(vec![SanType::URI(ia5("https://web.example/a"))]);
        assert!(is(&der, Expected::Uri("https://web.example/a")));
        for other in ["https://WEB.example/a", "https://web.example/A", "https://web.example/a/"] {
            assert!(!is(&der, Expected::Uri(other)), "{other}");
        }
    }

    #[test]
    fn tls_03_an_address_is_compared_in_binary() {
        let der = with_alternatives(vec![
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
        ]);
        for same in ["192.0.2.1", "2001:db8::1", "2001:0DB8:0:0:0:0:0:1", "2001:db8::0.0.0.1"] {
            assert!(is(&der, Expected::Ip(same)), "{same}");
        }
        for other in [
            "192.0.2.2",
            "192.0.2.01",
            "192.0.2",
            "::ffff:192.0.2.1",
            "2001:db8::2",
            "[2001:db8::1]",
            "192.0.2.0/24",
            "web.example",
        ] {
            assert!(!is(&der, Expected::Ip(other)), "{other}");
        }
    }

    #[test]
    fn tls_03_the_domain_of_a_mailbox_is_in_any_case_and_the_rest_exact() {
        let der = with_alternatives(vec![SanType::Rfc822Name(ia5("Web@Mail.example"))]);
        assert!(is(&der, Expected::Email("Web@mail.EXAMPLE")));
        for other in ["web@mail.example", "Web", "mail.example", "@mail.example", "Web@example"] {
            assert!(!is(&der, Expected::Email(other)), "{other}");
        }
        // A host name where a mailbox should be is none.
        let der = with_alternatives(vec![SanType::Rfc822Name(ia5("mail.example"))]);
        assert!(!is(&der, Expected::Email("mail.example")));
    }

    #[test]
    fn tls_03_just_one_subject_must_be_registered() {
        let mut metadata = ClientMetadata::new("web", AuthMethod::TlsClientAuth);
        assert_eq!(Expected::of(&metadata), None);
        metadata.tls_client_auth_san_dns = Some(String::new());
        assert_eq!(Expected::of(&metadata), None);
        metadata.tls_client_auth_san_dns = Some("web.example".to_owned());
        assert_eq!(Expected::of(&metadata), Some(Expected::Dns("web.example")));
        metadata.tls_client_auth_san_ip = Some("192.0.2.1".to_owned());
        assert_eq!(Expected::of(&metadata), None);
        metadata.tls_client_auth_san_dns = None;
        assert_eq!(Expected::of(&metadata), Some(Expected::Ip("192.0.2.1")));
    }

    #[test]
    fn what_is_not_one_certificate_is_not_read() {
        let der = certificate(|_| {});
        assert!(Holder::read(&der).is_some());
        for end in 0..der.len() {
            assert!(Holder::read(&der[..end]).is_none(), "{end} bytes");
        }
        assert!(Holder::read(&[&der[..], &[0]].concat()).is_none());
        assert!(Holder::read(&[&der[..], &der].concat()).is_none());
        assert!(Holder::read(b"-----BEGIN CERTIFICATE-----").is_none());
        let mut padding = CustomExtension::from_oid_content(&[1, 2, 3], vec![0; LONGEST]);
        padding.set_criticality(false);
        let long = certificate(|params| params.custom_extensions = vec![padding]);
        assert!(Holder::read(&long).is_none());
    }

    #[test]
    fn tls_03_two_extensions_of_names_or_a_broken_one_are_no_names() {
        const NAMES: &[u64] = &[2, 5, 29, 17];
        let good = b"\x30\x0d\x82\x0bweb.example".to_vec();
        let with = |contents: &[&[u8]]| {
            certificate(|params| {
                let extension =
                    |content: &&[u8]| CustomExtension::from_oid_content(NAMES, content.to_vec());
                params.custom_extensions = contents.iter().map(extension).collect();
            })
        };
        assert!(is(&with(&[&good]), Expected::Dns("web.example")));
        assert!(Holder::read(&with(&[&good, &good])).is_none());
        assert!(Holder::read(&with(&[b"\x04\x01x"])).is_none());
    }

    #[test]
    fn no_byte_of_a_certificate_can_be_changed_into_a_panic() {
        let der = with_alternatives(vec![
            SanType::DnsName(ia5("web.example")),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
        ]);
        for at in 0..der.len() {
            for value in [0, 1, 0x05, 0x1f, 0x30, 0x7f, 0x80, 0x81, 0x84, 0xff] {
                let mut changed = der.clone();
                changed[at] = value;
                if let Some(holder) = Holder::read(&changed) {
                    for expected in [
                        Expected::Dn("CN=web"),
                        Expected::Dns("web.example"),
                        Expected::Email("a@b"),
                        Expected::Ip("192.0.2.1"),
                        Expected::Uri("a:b"),
                    ] {
                        let _ = holder.is(&expected);
                    }
                }
            }
        }
    }
}
