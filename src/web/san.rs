//! PURE: the names in a certificate (subjectAltName, RFC 5280 section 4.2.1.6), which rustls does
//! not hand out. Reads just enough DER to find them; anything unexpected gives no names.

use std::net::{Ipv4Addr, Ipv6Addr};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
/// `[3] EXPLICIT` of a `TBSCertificate`.
const EXTENSIONS: u8 = 0xa3;
/// id-ce-subjectAltName, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The DNS names, e-mail addresses, URIs and IP addresses of a certificate, as text; `None` if it
/// cannot be read.
pub(super) fn names(certificate: &[u8]) -> Option<Vec<String>> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (to_be_signed, _) = expect(SEQUENCE, certificate)?;
    let mut names = Vec::new();
    for (tag, content) in elements(to_be_signed)? {
        if tag != EXTENSIONS {
            continue;
        }
        let (extensions, _) = expect(SEQUENCE, content)?;
        for (_, extension) in elements(extensions)? {
            let (identifier, mut rest) = expect(OBJECT_IDENTIFIER, extension)?;
            if identifier != SUBJECT_ALT_NAME {
                continue;
            }
            // Whether it is critical.
            if let Some((_, after)) = expect(BOOLEAN, rest) {
                rest = after;
            }
            let (value, _) = expect(OCTET_STRING, rest)?;
            let (general_names, _) = expect(SEQUENCE, value)?;
            names.extend(
                elements(general_names)?
                    .into_iter()
                    .filter_map(|(tag, content)| name(tag, content)),
            );
        }
    }
    Some(names)
}

fn name(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        // rfc822Name, dNSName, uniformResourceIdentifier: IA5String.
        0x81 | 0x82 | 0x86 => std::str::from_utf8(content).ok().map(str::to_owned),
        0x87 => <[u8; 4]>::try_from(content)
            .map(|octets| Ipv4Addr::from(octets).to_string())
            .or_else(|_| <[u8; 16]>::try_from(content).map(|octets| Ipv6Addr::from(octets).to_string()))
            .ok(),
        _ => None,
    }
}

/// Every element of a constructed value.
fn elements(mut input: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    while !input.is_empty() {
        let (tag, content, rest) = element(input)?;
        found.push((tag, content));
        input = rest;
    }
    Some(found)
}

/// The first element's content and what follows, if it has this tag.
fn expect(wanted: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    element(input).and_then(|(tag, content, rest)| (tag == wanted).then_some((content, rest)))
}

/// Tag, content and what follows. Lengths of more than three bytes do not occur in certificates.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, input) = input.split_first()?;
    let (&first, input) = input.split_first()?;
    let (length, input) = match first {
        0..=0x7f => (usize::from(first), input),
        0x81..=0x83 => {
            let (bytes, input) = input.split_at_checked(usize::from(first & 0x7f))?;
            (
                bytes
                    .iter()
                    .fold(0, |length, &byte| length << 8 | usize::from(byte)),
                input,
            )
        }
        _ => return None,
    };
    let (content, rest) = input.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(sans: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = sans;
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn reads_the_four_kinds_of_names() {
        let der = certificate(vec![
            SanType::DnsName("scraper.example".try_into().unwrap()),
            SanType::Rfc822Name("ops@scraper.example".try_into().unwrap()),
            SanType::URI("spiffe://scraper.example/prometheus".try_into().unwrap()),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
        ]);
        let expected = [
            "scraper.example",
            "ops@scraper.example",
            "spiffe://scraper.example/prometheus",
            "192.0.2.7",
            "2001:db8::7",
        ];
        assert_eq!(names(&der).unwrap(), expected);
        assert_eq!(names(&certificate(Vec::new())).unwrap(), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn a_broken_certificate_never_gains_a_name(cut in 0_usize..400, flip in 0_usize..400, mask in 1_u8..) {
            let der = certificate(vec![SanType::DnsName("scraper.example".try_into().unwrap())]);
            let cut = cut.min(der.len() - 1);
            prop_assert_eq!(names(&der[..cut]), None);
            let mut broken = der.clone();
            let at = flip.min(der.len() - 1);
            broken[at] ^= mask;
            prop_assert!(names(&broken).unwrap_or_default().len() <= 1);
        }
    }
}
