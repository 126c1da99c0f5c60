//! The fault matrix: everything that can go wrong at the provider, at either endpoint, alone and in
//! pairs, against the whole exporter.
#![cfg(test)]

mod case;
mod expect;
mod matrix;
mod rig;
