//! One attempt to read the whole list: page by page within the account's limits, and once more if it does
//! not add up.

use std::time::Duration;

use tokio::time::Instant;

use super::paging::{PAGE_SIZE, Paging, SMALL_PAGE_SIZE, Step, Unfit, Whole};
use super::{Assignment, Catalogue, Unlisted};
use crate::config::show;
use crate::model::{Disposition, DomainList, Failure, Reason};

/// One page with its retries is given up after this.
const PAGE: Duration = Duration::from_secs(60);

/// The whole list, read twice if need be, is given up after this ...
const ATTEMPT: Duration = Duration::from_secs(600);

/// ... and this for each page of `max_domains`: the names of a very long one take their time.
const ATTEMPT_PAGE: Duration = Duration::from_secs(2);

/// How long an attempt may take.
fn most(max_domains: usize) -> Duration {
    let pages = u32::try_from(max_domains.div_ceil(PAGE_SIZE)).unwrap_or(u32::MAX);
    ATTEMPT + ATTEMPT_PAGE.saturating_mul(pages)
}

/// The whole list, or why there is none; it ends in any case. What is not in it but in the `known` one is
/// only gone if a second reading says so too.
pub(super) async fn attempt<C: Catalogue>(
    assignment: &Assignment<C>,
    known: Option<&DomainList>,
) -> Result<DomainList, Unlisted> {
    let most = most(assignment.max_domains);
    let in_time = tokio::time::timeout(most, readings(assignment, known)).await;
    in_time.unwrap_or_else(|_| {
        Err(Unlisted::Call(Failure {
            reason: Reason::Timeout,
            disposition: Disposition::Stop,
            message: format!(
                "the list of domains did not come to its end in {}: the provider is slow, or api.max_requests_per_second \
                 is too low for so many pages",
                show(most)
            ),
        }))
    })
}

/// Whether the first page may have been refused for its size: its parameters are (2, 3, 12 and so on), or
/// there are more domains in a call than the provider allows (22). It is to be asked for again in
/// [`SMALL_PAGE_SIZE`] then.
#[must_use]
pub fn may_be_its_size(refusal: &Failure) -> bool {
    matches!(refusal.reason, Reason::BadRequest | Reason::ForeignDomain)
}

/// One reading, or two.
async fn readings<C: Catalogue>(
    assignment: &Assignment<C>,
    known: Option<&DomainList>,
) -> Result<DomainList, Unlisted> {
    // While one domain leaves and another comes between two pages, the total stays, and a third one slips
    // to a page that has been read.
    let takes_away = |list: &DomainList| known.is_some_and(|known| !list.has_all_of(known));
    let mut paging = Paging::new(PAGE_SIZE, assignment.max_domains);
    let mut reading = read(assignment, &mut paging).await;
    if let Err(Ended::Call(failure)) = &reading
        && may_be_its_size(failure)
        && paging.wanted().number == 1
    {
        tracing::debug!(account = %assignment.account, %failure, "the list of domains is read in smaller pages");
        paging = Paging::new(SMALL_PAGE_SIZE, assignment.max_domains);
        reading = read(assignment, &mut paging).await;
    }
    let first = match reading {
        Ok(Whole {
            list,
            doubtful: false,
        }) if !takes_away(&list) => return Ok(list),
        Ok(Whole { list, .. }) => Some(list),
        Err(Ended::Unfit(Unfit::Incomplete(what))) => {
            tracing::debug!(account = %assignment.account, "the list of domains {what}; it is read once more");
            None
        }
        Err(other) => return Err(other.into()),
    };
    let mut paging = Paging::new(paging.size_given(), assignment.max_domains);
    match read(assignment, &mut paging).await? {
        Whole { list, .. } if first.as_ref() == Some(&list) => Ok(list),
        Whole { list, doubtful } if !doubtful && !takes_away(&list) => Ok(list),
        Whole { .. } => Err(Unlisted::Incomplete(
            "the list of domains repeats names or lacks some that it had, and is another one at every look"
                .to_owned(),
        )),
    }
}

enum Ended {
    Call(crate::model::Failure),
    Unfit(Unfit),
}

impl From<Ended> for Unlisted {
    fn from(ended: Ended) -> Self {
        let sentence = |what| format!("the list of domains {what}");
        match ended {
            Ended::Call(failure) => Self::Call(failure),
            Ended::Unfit(Unfit::Incomplete(what)) => Self::Incomplete(sentence(what)),
            Ended::Unfit(Unfit::TooMany(what)) => Self::TooMany(sentence(what)),
        }
    }
}

async fn read<C: Catalogue>(assignment: &Assignment<C>, paging: &mut Paging) -> Result<Whole, Ended> {
    let Assignment {
        account,
        catalogue,
        lane,
        ..
    } = assignment;
    let mut wanted = paging.wanted();
    loop {
        let key = || format!("{account}/query_domains/{}", wanted.number);
        let call = |shift| catalogue.page(wanted, shift);
        let page = lane
            .call(key, Instant::now() + PAGE, call, || {})
            .await
            .map_err(Ended::Call)?;
        match paging.take(page).map_err(Ended::Unfit)? {
            Step::Ask(next) => wanted = next,
            Step::Done(whole) => return Ok(whole),
        }
    }
}
