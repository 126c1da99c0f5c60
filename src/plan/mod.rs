//! The pure decisions of the poller: what is due when, how fast, whether to ask again.
//!
//! Time is a [`std::time::Duration`] since the poller's own origin on the monotonic clock, handed
//! in by the caller.

mod batch;
mod pace;
mod retry;
mod schedule;
mod shard;

pub use batch::batches;
pub use pace::Pacer;
pub use retry::{RetryBudget, RetryPolicy};
pub use schedule::Schedule;
pub use shard::{MAX_SHARDS, Shard, ShardError, owner};
