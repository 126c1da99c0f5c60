//! The pure core: what a domain, a window and a reading are, and which of them may be shown.

mod account;
mod cross_check;
mod domain;
mod domain_list;
mod endpoint;
mod failure;
mod reading;
mod series;
mod settle;
mod snapshot;
mod units;
mod window;

pub use account::AccountName;
pub use cross_check::CrossCheck;
pub use domain::{Domain, DomainError, mix, stable_hash};
pub use domain_list::{
    DiscoveryReason, DomainList, LIST_PATH, ListPage, ListPageWanted, ListRow, ListedDomain,
};
pub use endpoint::{Endpoint, Field};
pub use failure::{DateShift, Disposition, Failure, Reason};
pub use reading::{Answer, Reading, Reject, Rejects, Values};
pub use series::{Merge, Series};
pub use settle::{SettleReport, Settling};
pub use snapshot::{Entry, LastAnswer, LastPoll, Selected, Snapshot, Track, Visibility, VisibilityRule};
pub use units::{LabelledBy, Units};
pub use window::{Window, WindowRange};
