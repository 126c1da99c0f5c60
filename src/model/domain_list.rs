//! The provider's list of an account's domains: the pages that it comes in, and the whole.

use std::fmt;

use super::domain::Domain;
use super::failure::Reason;

/// The path of the list below the base URL (the public page of `queryDomains`).
pub const LIST_PATH: &str = "api/queryDomains";

/// Which page of the list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPageWanted {
    /// From 1.
    pub number: usize,
    /// The most rows of a page.
    pub size: usize,
    /// The most rows that are kept; the provider may send more than a page.
    pub keep: usize,
}

/// One page as it stands in a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// How long the whole list is, if the reply says it.
    pub total: Option<u64>,
    /// The rows that were kept, in the order of the reply.
    pub rows: Vec<ListRow>,
    /// How many rows there were beyond those.
    pub left_out: usize,
}

/// One row of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRow {
    /// The name in lower case, without the blanks around it; not checked to be a host name, and empty
    /// where the row has none.
    pub name: String,
    /// What kind of acceleration it is, in the provider's own words, without the blanks around them;
    /// empty where the row has none.
    pub kind: String,
}

/// A domain that the provider lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDomain {
    /// The host name.
    pub name: Domain,
    /// As in [`ListRow::kind`].
    pub kind: String,
}

/// The whole list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainList {
    /// Each once, in the order of their names.
    pub domains: Vec<ListedDomain>,
    /// How many rows were passed over, since what they name (`*.example.com`) is no host name.
    pub passed_over: usize,
    /// The first few of those names.
    pub examples: Vec<String>,
}

impl DomainList {
    /// Whether every domain of another list is in this one.
    #[must_use]
    pub fn has_all_of(&self, other: &Self) -> bool {
        let mut here = self.domains.iter();
        // Both are in the order of their names, so each is looked for behind the one before.
        let mut has = |wanted: &ListedDomain| here.any(|listed| listed.name == wanted.name);
        other.domains.iter().all(&mut has)
    }
}

/// The closed set of reasons for which a new list is not taken over, the only text about it that becomes
/// a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DiscoveryReason {
    /// A call for a page failed.
    Call(Reason),
    /// What came is not what the list says of itself, or is another at every look.
    Incomplete,
    /// Not one domain, where there were some.
    Empty,
    /// More than `max_domains`.
    TooManyDomains,
}

impl DiscoveryReason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        Reason::ALL
            .into_iter()
            .map(Self::Call)
            .chain([Self::Incomplete, Self::Empty, Self::TooManyDomains])
    }

    /// The value of the `reason` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call(reason) => reason.name(),
            Self::Incomplete => "incomplete",
            Self::Empty => "empty_list",
            Self::TooManyDomains => "too_many_domains",
        }
    }
}

impl fmt::Display for DiscoveryReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> DomainList {
        let listed = |name: &&str| ListedDomain {
            name: Domain::parse(name).unwrap(),
            kind: String::new(),
        };
        DomainList {
            domains: names.iter().map(listed).collect(),
            ..DomainList::default()
        }
    }

    #[test]
    fn a_list_has_all_of_another_or_lacks_some() {
        let known = list(&["b.com", "d.com", "f.com"]);
        for (names, has) in [
            (vec!["b.com", "d.com", "f.com"], true),
            (
                vec!["a.com", "b.com", "c.com", "d.com", "e.com", "f.com", "g.com"],
                true,
            ),
            (vec!["d.com", "f.com"], false),
            (vec!["b.com", "c.com", "f.com"], false),
            (vec!["b.com", "d.com"], false),
            (vec![], false),
        ] {
            assert_eq!(list(&names).has_all_of(&known), has, "{names:?}");
        }
        assert!(list(&[]).has_all_of(&list(&[])));
        assert!(known.has_all_of(&list(&[])));
    }
}
