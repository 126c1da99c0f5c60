//! The pure decisions of the poller: what is due when, how fast, whether to ask
//! again, who of several exporters owns what, and whether all of it fits the rate limit.
//!
//! Time is a [`std::time::Duration`] since the poller's own origin on the monotonic clock, handed
//! in by the caller.

mod batch;
mod budget;
mod pace;
mod retry;
mod schedule;
mod shard;

pub use batch::batches;
pub use budget::{Budget, ByEndpoint, Remedies, Terms, fewest_shards};
pub use pace::Pacer;
pub use retry::{RetryBudget, RetryPolicy};
pub use schedule::Schedule;
pub use shard::{MAX_SHARDS, Shard, ShardError, owner};
