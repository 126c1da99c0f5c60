//! The open connections, and which of them makes room when there are too many.
//!
//! Room is made by closing the connection that has waited longest, rather than by keeping places
//! free for health checks: a flood of idle or dripping clients then only ever closes its own
//! connections, as a scrape or a health check sends its request at once and so is never the oldest
//! that waits. No list of privileged paths or ports is needed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use super::connection::{Phase, State};

/// All connections of a server.
#[derive(Debug)]
pub(super) struct Registry {
    limits: Limits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    states: HashMap<u64, Arc<State>>,
}

/// A connection's place; dropping it gives the place back.
pub(super) struct Place {
    registry: Arc<Registry>,
    key: u64,
    pub(super) state: Arc<State>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.with(|open| open.states.remove(&self.key));
    }
}

impl Registry {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            open: Mutex::default(),
        })
    }

    /// A place for a new connection, made free if need be; `None` when every place is taken by a
    /// response that is under way.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        if self.len() >= self.limits.connections && !self.make_room() {
            return None;
        }
        let state = Arc::new(State::new(self.limits));
        let key = self.with(|open| {
            let key = open.next;
            open.next = key.wrapping_add(1);
            open.states.insert(key, Arc::clone(&state));
            key
        });
        Some(Place {
            registry: Arc::clone(self),
            key,
            state,
        })
    }

    /// Closes the connection that can best be spared; false if there is none.
    pub(super) fn make_room(&self) -> bool {
        let now = Instant::now();
        self.with(|open| {
            let states = open.states.iter().filter_map(|(&key, state)| {
                let (phase, since) = state.phase()?;
                Some((key, phase, now.saturating_duration_since(since)))
            });
            let Some(key) = victim(states, self.limits.response_grace) else {
                return false;
            };
            // Its place is free from now on: its task only has to notice.
            if let Some(state) = open.states.remove(&key) {
                state.evict();
            }
            true
        })
    }

    pub(super) fn len(&self) -> usize {
        self.with(|open| open.states.len())
    }

    fn with<T>(&self, action: impl FnOnce(&mut Open) -> T) -> T {
        action(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// PURE: the connection to close among (key, phase, age in that phase): the one that waited longest;
/// failing that, the response that has been written longest, if it is older than `grace`.
fn victim(connections: impl Iterator<Item = (u64, Phase, Duration)>, grace: Duration) -> Option<u64> {
    connections
        .filter_map(|(key, phase, age)| match phase {
            Phase::Opening | Phase::Head | Phase::Idle => Some((true, age, key)),
            Phase::Writing if age > grace => Some((false, age, key)),
            Phase::Writing | Phase::Handling => None,
        })
        .max()
        .map(|(_, _, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_room() {
        use Phase::{Handling, Head, Idle, Opening, Writing};
        for (connections, expected) in [
            (vec![], None),
            (vec![(Idle, 5), (Idle, 9), (Idle, 7)], Some(1)),
            (vec![(Idle, 5), (Head, 9), (Opening, 7)], Some(1)),
            // A response that crawls is spared as long as anybody merely waits.
            (vec![(Writing, 50), (Idle, 1)], Some(1)),
            (vec![(Writing, 3), (Writing, 50), (Handling, 90)], Some(1)),
            (vec![(Writing, 1), (Writing, 0), (Handling, 90)], None),
        ] {
            let numbered = (0_u64..)
                .zip(&connections)
                .map(|(key, &(phase, age))| (key, phase, Duration::from_secs(age)));
            assert_eq!(
                victim(numbered, Duration::from_secs(1)),
                expected,
                "{connections:?}"
            );
        }
    }

    #[test]
    fn a_place_is_given_back() {
        let registry = Registry::new(Limits {
            connections: 2,
            ..Limits::default()
        });
        let first = registry.enter().unwrap();
        let _second = registry.enter().unwrap();
        let _third = registry.enter().unwrap();
        assert_eq!(registry.len(), 2);
        assert_eq!(first.state.phase(), None, "the oldest was told to close");
        drop(first);
        assert_eq!(registry.len(), 2, "its place had been given away already");
    }
}
