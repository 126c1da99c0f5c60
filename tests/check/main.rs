//! `check`, `--config.example`, `completions` and `man` of the real binary, against the simulated
//! provider in every kind of trouble.

mod offline;
mod support;
mod tls;
mod trouble;
