//! From a snapshot to the text that Prometheus scrapes.
//!
//! `families` names every domain metric and `window_families` those of true time; `encode` knows the
//! two formats, `domains` and `windows` join them; `self_metrics` keeps the exporter's own numbers;
//! `gzip`, `cache`, `own` and `page` make the bytes that go out.

mod cache;
pub mod domains;
pub mod encode;
pub mod families;
mod format;
mod gzip;
mod own;
pub mod page;
pub mod self_metrics;
pub mod window_families;
mod windows;

pub use cache::PageError;
pub use domains::render_domains;
pub use format::Format;
pub use page::{Exposition, Page, WindowsPage};
pub use self_metrics::{BuildInfo, SelfMetrics, SelfMetricsError};
pub use window_families::{WINDOW_FAMILIES, WindowFamily};
pub use windows::WindowsText;
