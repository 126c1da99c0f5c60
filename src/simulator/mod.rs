//! The provider's stand-in behind `demo`, the tests and the benches: real HTTP, real signatures, made-up traffic.
//!
//! The pure rooms: [`traffic`] says what is true, [`reply`], [`list`] and [`habits`] print it, `request` judges a
//! call, [`faults`] says what goes wrong and when. The others: `answer` turns one HTTP request into a reply,
//! `body` carries it, `log` keeps what was asked, [`server`] has the sockets. Time comes from the
//! [`crate::clock::Clock`] in the options.

mod answer;
mod body;
pub mod faults;
pub mod habits;
pub mod list;
mod log;
pub mod options;
pub mod reply;
mod request;
pub mod server;
pub mod traffic;

pub use faults::{Fault, FaultPlan, RetryAfter, Rule, Target};
pub use habits::{Habit, Habits};
pub use list::{ListStyle, Total};
pub use log::{ListRequestRecord, RequestRecord};
pub use options::{OwnedDomain, SimulatedAccount, SimulatorOptions};
pub use reply::IdleRatio;
pub use server::Simulator;
pub use traffic::{Effect, Lateness, Script, Traffic, Truth};
