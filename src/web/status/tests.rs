//! The status page as a whole.
