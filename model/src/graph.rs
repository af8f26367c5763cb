//! The graph of all reachable states, searched backwards. `stateright` checks what a
//! path *has to* reach only on paths without cycles; here every state is asked whether
//! it *can* reach a goal by the steps of those who are still there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use stateright::Model;

use crate::state::{DirectWriter, Progress, Stage, State};
use crate::{Action, Relocation};

/// All reachable states and the steps between them.
pub struct Graph {
    states: Vec<State>,
    edges: Vec<(u32, u32, Action)>,
}

impl Graph {
    /// Explores `model` exhaustively.
    ///
    /// # Panics
    ///
    /// With more than 2³² states.
    #[must_use]
    pub fn explore(model: &Relocation) -> Self {
        let mut numbers = HashMap::new();
        let mut states = model.init_states();
        for (number, state) in (0..).zip(&states) {
            numbers.insert(*state, number);
        }
        let mut edges = Vec::new();
        let mut at = 0;
        while let Some(&state) = states.get(at) {
            let from = u32::try_from(at).expect("more states than memory");
            for (action, next) in model.next_steps(&state) {
                let new = u32::try_from(states.len()).expect("more states than memory");
                let to = match numbers.entry(next) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(unknown) => {
                        states.push(next);
                        *unknown.insert(new)
                    }
                };
                edges.push((from, to, action));
            }
            at += 1;
        }
        Self { states, edges }
    }

    /// How many states there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether there is no state, which can't be: a model has its start.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// A state from which some operation can't end with all movers dead, and no answer
    /// from the catalog except to those who were told to refresh first. `None` if there
    /// is no such state. The deadlines of fences pass, of course.
    #[must_use]
    pub fn waits_for_a_mover(&self) -> Option<&State> {
        self.stuck(
            |state| {
                let idle = |stage| stage == Stage::Idle;
                state
                    .routers
                    .iter()
                    .all(|router| idle(router.operation.stage))
                    && !matches!(state.direct, DirectWriter::Running { .. })
            },
            |_, action| action.needs_no_mover() && !action.is_of_catalog(),
        )
    }

    /// A state from which some move can't be brought to its end. The first mover is dead
    /// as soon as the second can replace it. `None` if there is no such state.
    #[must_use]
    pub fn never_ends(&self, model: &Relocation) -> Option<&State> {
        let replaceable = model.scope().takeover.yes();
        self.stuck(
            |state| {
                let mut journals = state.catalog.journals.iter();
                journals.all(|journal| {
                    !matches!(
                        journal.progress,
                        Progress::Planned | Progress::Open | Progress::Aborting
                    )
                })
            },
            |state, action| {
                let second_is_free = state.catalog.journal(2).progress == Progress::Unplanned;
                let dead = replaceable && second_is_free && action.is_of_first_mover();
                !dead && !matches!(action, Action::LeaseRunsOut(_))
            },
        )
    }

    fn stuck(
        &self,
        goal: impl Fn(&State) -> bool,
        counts: impl Fn(&State, Action) -> bool,
    ) -> Option<&State> {
        let mut before = vec![Vec::new(); self.states.len()];
        for &(from, to, action) in &self.edges {
            if counts(&self.states[from as usize], action) {
                before[to as usize].push(from);
            }
        }
        let mut reaches: Vec<bool> = self.states.iter().map(goal).collect();
        let numbers = (0..)
            .zip(&reaches)
            .filter_map(|(number, &yes)| yes.then_some(number));
        let mut open: Vec<u32> = numbers.collect();
        while let Some(state) = open.pop() {
            for &from in &before[state as usize] {
                if !std::mem::replace(&mut reaches[from as usize], true) {
                    open.push(from);
                }
            }
        }
        let lost = reaches.iter().position(|&yes| !yes)?;
        self.states.get(lost)
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} states, {} steps",
            self.states.len(),
            self.edges.len()
        )
    }
}
