//! A block of lines for each account and endpoint, and for each list of domains.

use std::fmt::{self, Write as _};

use super::judge::{Judgement, names};
use crate::model::{AccountName, Domain, Endpoint};

/// Displays what is told of one account and endpoint, without a final line break.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) account: AccountName,
    /// `None` for the account's list of domains.
    pub(super) endpoint: Option<Endpoint>,
    /// How many domains of the account are read at the endpoint.
    pub(super) listed: usize,
    pub(super) asked: Vec<Domain>,
    pub(super) calls: usize,
    pub(super) judgement: Judgement,
}

impl Block {
    /// Whether nothing grave was found.
    pub(super) fn is_good(&self) -> bool {
        !self.judgement.findings.iter().any(|finding| finding.grave)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_good() { "good" } else { "NOT GOOD" };
        write!(
            f,
            "account {}, {}: {verdict}",
            Printable(self.account.as_str()),
            self.endpoint.map_or("queryDomains", Endpoint::name)
        )?;
        let calls = if self.calls == 1 { "call" } else { "calls" };
        let asked = match self.endpoint {
            Some(_) => format!(
                "{} of {} domains in {} {calls}: {}",
                self.asked.len(),
                self.listed,
                self.calls,
                names(&self.asked)
            ),
            None => format!("the first page of the list in {} {calls}", self.calls),
        };
        line(f, "asked", &asked)?;
        for (label, text) in &self.judgement.seen {
            line(f, label, text)?;
        }
        for finding in &self.judgement.findings {
            line(f, if finding.grave { "problem" } else { "note" }, &finding.what)?;
            line(f, "remedy", &finding.remedy)?;
            if let Some(detail) = &finding.detail {
                line(f, "detail", detail)?;
            }
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    write!(f, "\n  {label:<9}{}", Printable(text))
}

/// Words of the provider are among these: they must not steer a terminal, nor pass for lines of ours.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() {
                write!(f, "{}", c.escape_default())
            } else {
                f.write_char(c)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::Finding;
    use super::*;

    #[test]
    fn a_block_reads_from_top_to_bottom_and_cannot_be_forged() {
        let mut block = Block {
            account: AccountName::new("jcloud_00"),
            endpoint: Some(Endpoint::OriginRatio),
            listed: 45,
            asked: ["www.a.com", "www.b.com"]
                .map(|name| Domain::parse(name).unwrap())
                .to_vec(),
            calls: 1,
            judgement: Judgement {
                seen: vec![("answered", "2 of 2 domains".to_owned())],
                findings: vec![Finding::note("a", "b")],
            },
        };
        assert!(block.is_good());
        block.judgement.findings.push(Finding {
            detail: Some("status 99 (the provider says: \u{1b}[2J\nall good)".to_owned()),
            ..Finding::problem("what is wrong", "what to do")
        });
        assert!(!block.is_good());
        assert_eq!(
            block.to_string(),
            "account jcloud_00, origin_ratio: NOT GOOD\n  \
             asked    2 of 45 domains in 1 call: www.a.com, www.b.com\n  \
             answered 2 of 2 domains\n  \
             note     a\n  \
             remedy   b\n  \
             problem  what is wrong\n  \
             remedy   what to do\n  \
             detail   status 99 (the provider says: \\u{1b}[2J\\nall good)"
        );
    }
}
