//! PURE: chooses format and coding of the metrics page from the request's headers (RFC 9110,
//! sections 12.4.2, 12.5.1 and 12.5.3).

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName};

use crate::exposition::Format;

/// How the body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// Compressed by gzip.
    Gzip,
}

/// The format to answer with. There always is one: text 0.0.4 unless OpenMetrics 1.0 is asked for
/// by name and not less than text.
#[must_use]
pub fn format(headers: &HeaderMap) -> Format {
    let ranges: Vec<Part> = parts(headers, &ACCEPT).collect();
    let open_metrics = quality(&ranges, |range| {
        (range.name == "application/openmetrics-text")
            .then(|| range.parameters_matched("1.0.0"))
            .flatten()
    });
    let text = quality(&ranges, |range| match range.name.as_str() {
        "text/plain" => range.parameters_matched("0.0.4").map(|matched| matched + 2),
        "text/*" => Some(1),
        "*/*" => Some(0),
        _ => None,
    });
    match (open_metrics.unwrap_or(0), text.unwrap_or(0)) {
        (1.., text) if open_metrics >= Some(text) => Format::OpenMetrics,
        _ => Format::Text,
    }
}

/// The coding to answer with; `None` when the client refuses both (406).
#[must_use]
pub fn coding(headers: &HeaderMap) -> Option<Coding> {
    let codings: Vec<Part> = parts(headers, &ACCEPT_ENCODING).collect();
    let named = |name: &str| quality(&codings, |part| (part.name == name).then_some(0));
    let any = named("*");
    let gzip = named("gzip").max(named("x-gzip")).or(any).unwrap_or(0);
    let identity = named("identity");
    if gzip > 0 && identity.is_none_or(|identity| gzip >= identity) {
        Some(Coding::Gzip)
    } else if identity.or(any) == Some(0) {
        None
    } else {
        Some(Coding::Identity)
    }
}

/// The elements of a weighted list, in lower case, each with its weight in thousandths.
pub(super) fn weighted<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = (String, u16)> + use<'a> {
    parts(headers, name).map(|part| (part.name, part.quality))
}

/// The weight of the most specific part that matches, the highest among equals; `None` if none does.
fn quality(parts: &[Part], specificity: impl Fn(&Part) -> Option<usize>) -> Option<u16> {
    parts
        .iter()
        .filter_map(|part| Some((specificity(part)?, part.quality)))
        .max()
        .map(|(_, quality)| quality)
}

/// One element of a weighted list.
struct Part {
    /// In lower case.
    name: String,
    /// Without `q`; names in lower case, values unquoted.
    parameters: Vec<(String, String)>,
    /// In thousandths.
    quality: u16,
}

impl Part {
    /// How many parameters match a representation of this version; `None` if one does not.
    fn parameters_matched(&self, version: &str) -> Option<usize> {
        let matches = |(name, value): &(String, String)| match name.as_str() {
            "version" => value == version,
            // Every page is UTF-8, of which the names in it only use ASCII, so no client's choice differs.
            "charset" | "escaping" => true,
            _ => false,
        };
        self.parameters
            .iter()
            .all(matches)
            .then_some(self.parameters.len())
    }
}

/// Every well-formed part of all lines of a header.
fn parts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Part> + use<'a> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| split(line, ','))
        .filter_map(part)
}

fn part(text: &str) -> Option<Part> {
    let mut fields = split(text, ';');
    let name = fields.next()?.trim().to_ascii_lowercase();
    if name.is_empty() {
        return None;
    }
    let mut part = Part {
        name,
        parameters: Vec::new(),
        quality: 1_000,
    };
    // An empty field is allowed: parameters = *( OWS ";" OWS [ parameter ] ).
    for field in fields.filter(|field| !field.trim().is_empty()) {
        let (name, value) = field.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        let value = unquote(value.trim())?;
        if name == "q" {
            part.quality = weight(&value)?;
        } else {
            part.parameters.push((name, value));
        }
    }
    Some(part)
}

/// A weight in thousandths: `0` or `1` with at most three decimals, at most 1.
fn weight(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1")
        || decimals.len() > 3
        || !decimals.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    format!("{whole}{decimals:0<3}")
        .parse()
        .ok()
        .filter(|&weight| weight <= 1_000)
}

/// A token as it is, a quoted string without its quotes; `None` if the quotes do not match.
fn unquote(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let inner = inner.strip_suffix('"')?;
    let mut out = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        out.push(if character == '\\' {
            characters.next()?
        } else {
            character
        });
    }
    Some(out)
}

/// Splits at a separator that stands outside of quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let literal = std::mem::take(&mut escaped);
        if quoted && !literal && character == '\\' {
            escaped = true;
        } else if character == '"' && !literal {
            quoted = !quoted;
        }
        character == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TEXT: Format = Format::Text;
    const OPEN: Format = Format::OpenMetrics;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn formats_that_real_clients_get() {
        for (client, accept, expected) in [
            (
                "Prometheus 2.42",
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OPEN,
            ),
            (
                "Prometheus 2.53",
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OPEN,
            ),
            (
                "Prometheus 2.53 with native histograms",
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                OPEN,
            ),
            (
                "Prometheus 3",
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OPEN,
            ),
            (
                "Prometheus 3 with scrape_protocols: [PrometheusText1.0.0, PrometheusText0.0.4]",
                "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4",
                TEXT,
            ),
            ("vmagent", "text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT),
            ("curl", "*/*", TEXT),
            (
                "a browser",
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
                TEXT,
            ),
            ("a JSON client", "application/json", TEXT),
        ] {
            assert_eq!(format(&headers(&ACCEPT, &[accept])), expected, "{client}");
        }
        assert_eq!(format(&HeaderMap::new()), TEXT, "no header");
    }

    #[test]
    fn formats_by_the_rules() {
        let cases: Vec<(&[&str], Format)> = vec![
            (&["application/openmetrics-text"], OPEN),
            (
                &["application/openmetrics-text; version=1.0.0; charset=utf-8"],
                OPEN,
            ),
            (&["APPLICATION/OpenMetrics-Text; Version=\"1.0.0\""], OPEN),
            (&["application/openmetrics-text;version=0.0.1"], TEXT),
            (&["application/openmetrics-text;version=2.0.0"], TEXT),
            (&["application/openmetrics-text;unknown=1"], TEXT),
            (&["application/*"], TEXT),
            (&["application/openmetrics-text;q=0"], TEXT),
            (&["application/openmetrics-text;q=0.000, */*;q=0"], TEXT),
            (&["application/openmetrics-text;q=0.5, text/plain;q=0.5"], OPEN),
            (&["application/openmetrics-text;q=0.499, text/plain;q=0.5"], TEXT),
            (&["application/openmetrics-text;q=0.4, text/*;q=0.5"], TEXT),
            (&["application/openmetrics-text;q=0.4, */*;q=0.5"], TEXT),
            // The more specific range decides, whatever stands in the less specific one.
            (
                &["application/openmetrics-text;q=0.4, text/*;q=0.9, text/plain;q=0.1"],
                OPEN,
            ),
            (
                &["text/plain;q=0.9, application/openmetrics-text;q=0.4, text/plain;version=0.0.4;q=0.3"],
                OPEN,
            ),
            (
                &["application/openmetrics-text, application/openmetrics-text;version=1.0.0;q=0"],
                TEXT,
            ),
            // This version of text is another format.
            (
                &["text/plain;version=1.0.0;q=0.9, application/openmetrics-text;q=0.4"],
                OPEN,
            ),
            (&["text/plain;q=0.3", "application/openmetrics-text;q=0.4"], OPEN),
            (
                &["text/plain ; q=0.3 ,\tapplication/openmetrics-text ; q=0.4"],
                OPEN,
            ),
            (&["application/openmetrics-text;;q=0.4;"], OPEN),
            (&["application/openmetrics-text;q=0.4;version=1.0.0"], OPEN),
            (&["application/openmetrics-text;q=1.001"], TEXT),
            (&["application/openmetrics-text;q=high"], TEXT),
            (&["application/openmetrics-text;q=-1"], TEXT),
            (&["application/openmetrics-text;version=\"1.0.0"], TEXT),
            (&["x;y=\"a,application/openmetrics-text,b\""], TEXT),
            (&["x;y=\"a\\\",b\", application/openmetrics-text"], OPEN),
            (&[",,;q=1,application/openmetrics-text"], OPEN),
            (&[""], TEXT),
        ];
        for (lines, expected) in cases {
            assert_eq!(format(&headers(&ACCEPT, lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn codings_by_the_rules() {
        use Coding::{Gzip, Identity};
        let cases: Vec<(&[&str], Option<Coding>)> = vec![
            (&[], Some(Identity)),
            (&[""], Some(Identity)),
            (&["gzip"], Some(Gzip)),
            (&["GZip ; Q=0.5"], Some(Gzip)),
            (&["x-gzip"], Some(Gzip)),
            (&["gzip, deflate, br, zstd"], Some(Gzip)),
            (&["deflate", "gzip"], Some(Gzip)),
            (&["*"], Some(Gzip)),
            (&["*;q=0.1, identity;q=0.5"], Some(Identity)),
            (&["gzip;q=0"], Some(Identity)),
            (&["gzip;q=0, *"], Some(Identity)),
            (&["gzip;q=0.5, identity"], Some(Identity)),
            (&["gzip;q=0.5, identity;q=0.5"], Some(Gzip)),
            (&["identity"], Some(Identity)),
            (&["br"], Some(Identity)),
            (&["identity;q=0"], None),
            (&["identity;q=0, br"], None),
            (&["identity;q=0, gzip"], Some(Gzip)),
            (&["identity;q=0, gzip;q=0, *"], None),
            (&["*;q=0"], None),
            (&["*;q=0, identity"], Some(Identity)),
            (&["*;q=0, gzip"], Some(Gzip)),
            (&["gzip;q=nonsense"], Some(Identity)),
            (&["gzip;q=0.0001"], Some(Identity)),
        ];
        for (lines, expected) in cases {
            assert_eq!(coding(&headers(&ACCEPT_ENCODING, lines)), expected, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_has_an_outcome(line in "[ -~\t]{0,80}") {
            // With the format named at full weight beside it, no other part can take it away,
            // unless a quote swallows it or it is about the format itself.
            prop_assume!(!line.contains('"') && !line.to_lowercase().contains("openmetrics"));
            let with = format!("{line},application/openmetrics-text");
            prop_assert_eq!(format(&headers(&ACCEPT, &[&with])), OPEN);
            let _ = coding(&headers(&ACCEPT_ENCODING, &[&line]));
        }
    }
}
