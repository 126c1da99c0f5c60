//! `backfill` as an operator runs it: the real program against the simulated provider, and what it
//! writes in the real databases that import it.
#![cfg(test)]

mod databases;
mod runs;
mod support;
