//! What the queries of a transaction cost, counted together.

use std::sync::Arc;

use super::Simulator;
use crate::query::{Halt, Meter};

impl Simulator {
    /// Sets a meter that counts the work of all its queries together.
    #[must_use]
    pub fn with_meter(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    /// Counts the work of queries from now on with the meter of another transaction, which gets this one's: a
    /// transaction on another channel that is part of the same work.
    pub fn swap_meters(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.meter, &mut other.meter);
    }

    /// Makes later queries end when `halt` says so; their costs are still counted together.
    pub fn halted_by(&mut self, halt: Option<Arc<dyn Halt>>) {
        self.meter.halted_by(halt);
    }
}
