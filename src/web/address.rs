//! Where to listen, as an operator types it.

use std::fmt;
use std::str::FromStr;

/// One value of `--web.listen-address`: `:PORT`, `host:port` or `[v6]:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// A host name or IP address without brackets; `None` means every address of the machine.
    pub host: Option<String>,
    /// 0 asks the system for a free port.
    pub port: u16,
}

/// Why a listen address was refused, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("listen address {given:?}: {problem}; write :PORT, host:port or [ipv6]:port, for example :10530")]
pub struct AddressError {
    given: String,
    problem: &'static str,
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let refuse = |problem| AddressError {
            given: given.to_owned(),
            problem,
        };
        let (host, port) = if let Some(rest) = given.strip_prefix('[') {
            let (host, after) = rest
                .split_once(']')
                .ok_or_else(|| refuse("the bracket is not closed"))?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(refuse("what stands in brackets is no IPv6 address"));
            }
            (
                host,
                after
                    .strip_prefix(':')
                    .ok_or_else(|| refuse("the port is missing"))?,
            )
        } else {
            let (host, port) = given
                .rsplit_once(':')
                .ok_or_else(|| refuse("the port is missing"))?;
            if host.contains(':') {
                return Err(refuse("an IPv6 address needs brackets"));
            }
            if host
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || c == '/' || c == '@')
            {
                return Err(refuse("the host has a character that no host name has"));
            }
            (host, port)
        };
        // u16's own parser would take a leading plus sign.
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse("the port is no number"));
        }
        let port = port.parse().map_err(|_| refuse("the port is above 65535"))?;
        let host = (!host.is_empty()).then(|| host.to_owned());
        Ok(Self { host, port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_forms() {
        for (given, host, port) in [
            (":10530", None, 10530),
            (":0", None, 0),
            ("localhost:80", Some("localhost"), 80),
            ("127.0.0.1:65535", Some("127.0.0.1"), 65535),
            ("[::1]:9100", Some("::1"), 9100),
            ("[::]:9100", Some("::"), 9100),
        ] {
            let address: ListenAddress = given.parse().unwrap();
            assert_eq!((address.host.as_deref(), address.port), (host, port), "{given}");
            assert_eq!(address.to_string(), given);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (given, problem) in [
            ("", "the port is missing"),
            ("10530", "the port is missing"),
            ("localhost", "the port is missing"),
            ("localhost:", "the port is no number"),
            (":+80", "the port is no number"),
            (":65536", "the port is above 65535"),
            ("::1:9100", "an IPv6 address needs brackets"),
            ("[::1]", "the port is missing"),
            ("[::1:9100", "the bracket is not closed"),
            ("[localhost]:80", "what stands in brackets is no IPv6 address"),
            ("http://host:80", "an IPv6 address needs brackets"),
            ("my host:80", "the host has a character that no host name has"),
        ] {
            let error = given.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(problem), "{given}: {error}");
        }
    }
}
