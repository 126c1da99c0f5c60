//! PURE: puts the pages of a list together, and judges whether they are the whole of it.
//!
//! The provider's document names a `total` and says nothing of its reliability, so nothing is taken over
//! that does not add up. What ends the reading in any case: every page must bring something new, and the
//! rows may not be more than `max_domains` and [`SPARE_ROWS`].

use std::collections::HashSet;

use crate::model::{Domain, DomainList, ListPage, ListPageWanted, ListRow, ListedDomain};

/// Rows asked for in one call. The document gives no maximum.
pub const PAGE_SIZE: usize = 100;

/// Rows asked for where the provider refuses so many: the document's default.
pub const SMALL_PAGE_SIZE: usize = 10;

/// How many more rows than `max_domains` are read, whatever the size of pages: a filter may leave some
/// out, and names that stand there twice count once.
const SPARE_ROWS: usize = 100;

/// How many of the names that are no host names are told.
const EXAMPLES: usize = 3;

/// A list while its pages come in.
#[derive(Debug)]
pub(super) struct Paging {
    max_domains: usize,
    size: usize,
    /// The page that is wanted next.
    number: usize,
    /// Of the first page, which may be shorter than asked: the provider may have its own maximum.
    first_rows: usize,
    rows: usize,
    nameless: usize,
    /// A page was shorter than asked for.
    short: bool,
    total: Option<u64>,
    seen: HashSet<String>,
    list: DomainList,
}

/// What comes after a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Another page.
    Ask(ListPageWanted),
    /// Nothing: this is the list.
    Done(Whole),
}

/// A list of which every page was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) list: DomainList,
    /// It repeats names, which is what a list that shifts under the reader does too; or it is empty and
    /// has no total that says so. Another reading must say the same.
    pub(super) doubtful: bool,
}

/// Why what came is no list to take over; in words that follow "the list of domains".
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It does not add up; it may have changed while it was read.
    Incomplete(String),
    /// More than is read.
    TooMany(String),
}

impl Paging {
    /// The reading of a list in pages of `size` (at least 1).
    pub(super) fn new(size: usize, max_domains: usize) -> Self {
        Self {
            max_domains,
            size: size.max(1),
            number: 1,
            first_rows: 0,
            rows: 0,
            nameless: 0,
            short: false,
            total: None,
            seen: HashSet::new(),
            list: DomainList::default(),
        }
    }

    /// The page to ask for.
    pub(super) fn wanted(&self) -> ListPageWanted {
        ListPageWanted {
            number: self.number,
            size: self.size,
            keep: self.most_rows().saturating_sub(self.rows),
        }
    }

    /// The size of page to read the list in if it has to be read again: the provider's own, if it gave
    /// less than a page where there was more.
    pub(super) fn size_given(&self) -> usize {
        let known = self.total.unwrap_or(as_total(self.rows));
        let more = known > as_total(self.first_rows);
        if more && (1..self.size).contains(&self.first_rows) {
            self.first_rows
        } else {
            self.size
        }
    }

    fn most_rows(&self) -> usize {
        self.max_domains.saturating_add(SPARE_ROWS)
    }

    /// As many pages as that takes, in pages as long as the first one was, and an empty one at the end.
    fn most_pages(&self) -> usize {
        let size = self.first_rows.clamp(1, self.size);
        self.most_rows().div_ceil(size).saturating_add(1)
    }

    /// Takes the page that was asked for.
    pub(super) fn take(&mut self, page: ListPage) -> Result<Step, Unfit> {
        let came = page.rows.len().saturating_add(page.left_out);
        if let (Some(before), Some(now)) = (self.total, page.total)
            && before != now
        {
            return Err(Unfit::Incomplete(format!(
                "changed while it was read: its total was {before} and is {now} on page {}",
                self.number
            )));
        }
        self.total = self.total.or(page.total);
        self.rows = self.rows.saturating_add(came);
        if self.number == 1 {
            self.first_rows = came;
        }
        let most = self.most_rows();
        if let Some(total) = self.total
            && total > as_total(most)
        {
            return Err(self.too_many(&format!("has {total} rows")));
        }
        if self.rows > most {
            return Err(self.too_many(&format!("has more than {most} rows")));
        }
        let fresh = page.rows.into_iter().filter(|row| self.add(row)).count();
        self.next(came, fresh)
    }

    fn too_many(&self, what: &str) -> Unfit {
        Unfit::TooMany(format!(
            "{what}, more than max_domains {} lets be read: raise the account's max_domains",
            self.max_domains
        ))
    }

    /// Takes a row; says whether it brings anything new.
    fn add(&mut self, row: &ListRow) -> bool {
        if row.name.is_empty() {
            self.nameless += 1;
            self.list.passed_over += 1;
            return true;
        }
        if !self.seen.insert(row.name.clone()) {
            return false;
        }
        if let Ok(name) = Domain::parse(&row.name) {
            self.list.domains.push(ListedDomain {
                name,
                kind: row.kind.clone(),
            });
        } else {
            self.list.passed_over += 1;
            if self.list.examples.len() < EXAMPLES {
                self.list.examples.push(row.name.clone());
            }
        }
        true
    }

    fn next(&mut self, came: usize, fresh: usize) -> Result<Step, Unfit> {
        let distinct = self.seen.len() + self.nameless;
        match self.total {
            Some(total) if as_total(distinct) > total => Err(Unfit::Incomplete(format!(
                "does not add up: its total is {total}, and {distinct} domains came"
            ))),
            // The length of the list, or of the page: where they are the same, the next one tells.
            Some(total) if as_total(distinct) == total && self.number == 1 && came == self.size => {
                Ok(self.ask())
            }
            Some(total) if as_total(distinct) == total => self.done(false),
            // The last page has room left; a full one that repeats another may be any of them.
            Some(total) if as_total(self.rows) == total && came < self.size => self.done(true),
            Some(total) if fresh == 0 => Err(Unfit::Incomplete(format!(
                "does not add up: its total is {total}, and {distinct} domains came before page {} brought {}",
                self.number,
                if came == 0 {
                    "nothing"
                } else {
                    "only the same again"
                }
            ))),
            None if fresh == 0 => self.done(distinct == 0 || self.rows > distinct),
            // Who counts pages by what is asked for has left something out then.
            None if self.short => Err(Unfit::Incomplete(format!(
                "has no total, and page {} goes on behind one that was shorter than asked for",
                self.number
            ))),
            _ if self.number >= self.most_pages() => Err(Unfit::Incomplete(format!(
                "has no end after {} pages",
                self.number
            ))),
            _ => {
                self.short |= came < self.size;
                Ok(self.ask())
            }
        }
    }

    fn ask(&mut self) -> Step {
        self.number += 1;
        Step::Ask(self.wanted())
    }

    fn done(&mut self, doubtful: bool) -> Result<Step, Unfit> {
        if self.seen.is_empty() && self.nameless > 0 {
            return Err(Unfit::Incomplete(format!(
                "has {} rows, and none of them names a domain",
                self.nameless
            )));
        }
        let mut list = std::mem::take(&mut self.list);
        list.domains.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Step::Done(Whole { list, doubtful }))
    }
}

fn as_total(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page(total: Option<u64>, names: &[&str]) -> ListPage {
        ListPage {
            total,
            rows: names
                .iter()
                .map(|name| ListRow {
                    name: (*name).to_owned(),
                    kind: String::new(),
                })
                .collect(),
            left_out: 0,
        }
    }

    /// Gives pages of two one after the other, as long as they are asked for.
    fn read(pages: &[ListPage], max_domains: usize) -> Result<(Vec<String>, bool, usize), Unfit> {
        let mut paging = Paging::new(2, max_domains);
        for (index, page) in pages.iter().enumerate() {
            assert_eq!(paging.wanted().number, index + 1);
            assert_eq!(paging.wanted().size, 2);
            match paging.take(page.clone())? {
                Step::Ask(wanted) => assert_eq!(wanted, paging.wanted()),
                Step::Done(whole) => {
                    let names = whole.list.domains.iter().map(|listed| listed.name.to_string());
                    return Ok((names.collect(), whole.doubtful, index + 1));
                }
            }
        }
        panic!("page {} is wanted: {paging:?}", pages.len() + 1);
    }

    #[test]
    fn what_adds_up_is_the_list() {
        for (pages, names, doubtful, asked) in [
            (vec![page(Some(0), &[])], vec![], false, 1),
            (vec![page(Some(1), &["b.com"])], vec!["b.com"], false, 1),
            // As soon as the total has come, no more is asked.
            (
                vec![
                    page(Some(4), &["b.com", "a.com"]),
                    page(Some(4), &["d.com", "c.com"]),
                    page(Some(4), &["e.com"]),
                ],
                vec!["a.com", "b.com", "c.com", "d.com"],
                false,
                2,
            ),
            (
                vec![page(Some(3), &["b.com", "a.com"]), page(Some(3), &["c.com"])],
                vec!["a.com", "b.com", "c.com"],
                false,
                2,
            ),
            // Pages shorter and longer than asked.
            (
                vec![page(Some(2), &["b.com"]), page(Some(2), &["a.com"])],
                vec!["a.com", "b.com"],
                false,
                2,
            ),
            (
                vec![page(Some(3), &["b.com", "a.com", "c.com"])],
                vec!["a.com", "b.com", "c.com"],
                false,
                1,
            ),
            // A name twice, where the total counts names ...
            (
                vec![page(Some(2), &["a.com", "a.com"]), page(Some(2), &["b.com"])],
                vec!["a.com", "b.com"],
                false,
                2,
            ),
            // ... and where it counts rows.
            (
                vec![page(Some(3), &["a.com", "b.com"]), page(Some(3), &["b.com"])],
                vec!["a.com", "b.com"],
                true,
                2,
            ),
            (
                vec![
                    page(Some(4), &["a.com", "a.com"]),
                    page(Some(4), &["b.com", "b.com"]),
                    page(Some(4), &[]),
                ],
                vec!["a.com", "b.com"],
                true,
                3,
            ),
            (
                vec![page(Some(3), &["a.com", "a.com"]), page(Some(3), &["b.com"])],
                vec!["a.com", "b.com"],
                true,
                2,
            ),
            // A total that is the length of the page may be no more than that; the next page tells.
            (
                vec![page(Some(2), &["b.com", "a.com"]), page(Some(2), &[])],
                vec!["a.com", "b.com"],
                false,
                2,
            ),
            (
                vec![
                    page(Some(2), &["b.com", "a.com"]),
                    page(Some(2), &["b.com", "a.com"]),
                ],
                vec!["a.com", "b.com"],
                false,
                2,
            ),
            // Without a total, until nothing new comes.
            (
                vec![
                    page(None, &["b.com", "a.com"]),
                    page(None, &["c.com"]),
                    page(None, &[]),
                ],
                vec!["a.com", "b.com", "c.com"],
                false,
                3,
            ),
            (
                vec![page(None, &["b.com"]), page(None, &["b.com"])],
                vec!["b.com"],
                true,
                2,
            ),
            (vec![page(None, &[])], vec![], true, 1),
        ] {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            assert_eq!(read(&pages, 10), Ok((names, doubtful, asked)), "{pages:?}");
        }
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        for pages in [
            // More, and fewer, than the total.
            vec![page(Some(1), &["a.com", "b.com"])],
            vec![page(Some(3), &["a.com", "b.com"]), page(Some(3), &[])],
            // The total changes on the way.
            vec![page(Some(4), &["a.com", "b.com"]), page(Some(3), &["c.com"])],
            // The total is that of each page.
            vec![
                page(Some(2), &["a.com", "b.com"]),
                page(Some(2), &["c.com", "d.com"]),
            ],
            vec![page(Some(2), &["a.com", "b.com"]), page(Some(1), &["c.com"])],
            // Without a total nobody can tell whether a short page left something out.
            vec![page(None, &["a.com"]), page(None, &["c.com"])],
            vec![
                page(None, &["a.com", "b.com"]),
                page(None, &["c.com"]),
                page(None, &["e.com"]),
            ],
            // Rows of which none names anything.
            vec![page(Some(1), &[""])],
            vec![page(None, &["", ""]), page(None, &[])],
            // The page number is not heeded.
            vec![
                page(Some(4), &["a.com", "b.com"]),
                page(Some(4), &["a.com", "b.com"]),
            ],
            vec![
                page(Some(5), &["a.com", "b.com"]),
                page(Some(5), &["b.com", "a.com"]),
            ],
        ] {
            let result = read(&pages, 10);
            assert!(
                matches!(result, Err(Unfit::Incomplete(_))),
                "{pages:?}: {result:?}"
            );
        }
    }

    #[test]
    fn names_that_are_no_host_names_are_passed_over_and_counted() {
        let mut paging = Paging::new(10, 100);
        let names = [
            "*.a.com",
            "a.com",
            "",
            "b.com/x",
            "域名.com",
            "*.b.com",
            "10.0.0.1",
        ];
        let Step::Done(whole) = paging.take(page(Some(7), &names)).unwrap() else {
            panic!("one page")
        };
        assert_eq!(whole.list.domains.len(), 1);
        assert_eq!(whole.list.passed_over, 6);
        assert_eq!(whole.list.examples, ["*.a.com", "b.com/x", "域名.com"]);
    }

    #[test]
    fn a_runaway_list_ends_at_once() {
        let max = 4;
        // max_domains and a hundred.
        let most = 104;
        let names: Vec<String> = (0..most + 2).map(|i| format!("d{i}.com")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut paging = Paging::new(2, max);
        let refused = paging.take(page(Some(1_000_000_000), &names[..2])).unwrap_err();
        assert_eq!(
            refused,
            Unfit::TooMany(
                "has 1000000000 rows, more than max_domains 4 lets be read: raise the account's max_domains"
                    .to_owned()
            )
        );
        // Without a total, or with a true one, page after page.
        for total in [None, Some(104)] {
            let mut paging = Paging::new(2, max);
            for place in (0..most - 2).step_by(2) {
                assert!(matches!(
                    paging.take(page(total, &names[place..place + 2])),
                    Ok(Step::Ask(_))
                ));
            }
            let last = paging.take(page(total, &names[most - 2..most]));
            if total.is_some() {
                assert!(matches!(last, Ok(Step::Done(_))), "{last:?}");
            } else {
                assert!(matches!(last, Ok(Step::Ask(_))), "{last:?}");
                let refused = paging.take(page(total, &names[most..])).unwrap_err();
                assert!(matches!(refused, Unfit::TooMany(_)), "{refused:?}");
            }
        }
        // All in one page.
        let mut page = page(None, &names[..most]);
        page.left_out = 1;
        assert!(matches!(Paging::new(2, max).take(page), Err(Unfit::TooMany(_))));
    }

    #[test]
    fn the_size_of_pages_does_not_decide_how_many_rows_are_read() {
        let names: Vec<String> = (0..10).map(|i| format!("d{i}.com")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for size in [10, 100, 1_000] {
            let first = |total| Paging::new(size, 1_000).take(page(Some(total), &names));
            assert!(matches!(first(1_100), Ok(Step::Ask(_))), "{size}");
            assert!(matches!(first(1_101), Err(Unfit::TooMany(_))), "{size}");
            let wanted = Paging::new(size, 1_000).wanted();
            assert_eq!((wanted.size, wanted.keep), (size, 1_100));
        }
    }

    #[test]
    fn pages_that_shrink_to_nothing_much_end_too() {
        let mut paging = Paging::new(2, 4);
        let mut asked = 0;
        let refused = loop {
            asked += 1;
            // A row without a name is new every time.
            let rows: &[&str] = if asked == 1 { &["a.com", "b.com"] } else { &[""] };
            if let Err(refused) = paging.take(page(Some(100), rows)) {
                break refused;
            }
        };
        assert!(matches!(refused, Unfit::Incomplete(_)), "{refused:?}");
        // 104 rows in pages of two as the first one was, and an empty one.
        assert_eq!(asked, 53);
    }

    #[test]
    fn a_provider_with_pages_of_its_own_is_asked_for_those() {
        let mut paging = Paging::new(100, 1_000);
        assert_eq!(paging.size_given(), 100);
        let rows: Vec<String> = (0..10).map(|i| format!("d{i}.com")).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        paging.take(page(Some(25), &rows)).unwrap();
        assert_eq!(paging.size_given(), 10);
        let mut paging = Paging::new(100, 1_000);
        paging.take(page(Some(10), &rows)).unwrap();
        assert_eq!(paging.size_given(), 100);
    }

    proptest! {
        /// Whatever the pages say, the reading ends, and within its bounds.
        #[test]
        fn any_pages_come_to_an_end(
            pages in prop::collection::vec(
                (prop::option::of(0_u64..40), prop::collection::vec("[a-d]{0,2}", 0..5), 0_usize..3),
                1..8,
            ),
            size in 1_usize..5,
            max_domains in 1_usize..20,
        ) {
            let mut paging = Paging::new(size, max_domains);
            let bound = paging.most_rows() + 3;
            let mut asked = 0;
            for (total, names, left_out) in pages.iter().cycle() {
                asked += 1;
                prop_assert!(asked <= bound, "{asked} pages");
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let mut page = page(*total, &names);
                page.left_out = *left_out;
                match paging.take(page) {
                    Ok(Step::Ask(_)) => {}
                    Ok(Step::Done(whole)) => {
                        prop_assert!(whole.list.domains.len() <= max_domains + SPARE_ROWS);
                        break;
                    }
                    Err(_) => break,
                }
            }
        }
    }
}
