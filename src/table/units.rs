//! Simulated seconds: what the trainings behind the answers of a table took on the device of that table. They are a quantity of their own, which nothing converts to the seconds of this
//! process or adds to them.

use crate::error::{Result, usage};
use crate::units::{parse_duration, show_seconds};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

/// Simulated seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SimulatedSeconds(f64);

impl SimulatedSeconds {
    /// So many.
    pub const fn new(seconds: f64) -> Self {
        Self(seconds)
    }

    /// The number, to be written or drawn as simulated seconds.
    pub fn number(self) -> f64 {
        self.0
    }
}

impl Add for SimulatedSeconds {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for SimulatedSeconds {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sum for SimulatedSeconds {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for SimulatedSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} simulated", show_seconds(self.0))
    }
}

impl FromStr for SimulatedSeconds {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> Result<Self> {
        let seconds = parse_duration(text).map_err(|_| usage!("'{text}': write simulated time with its unit, such as 12000s or 3h"))?;
        if seconds > 0.0 { Ok(Self(seconds)) } else { Err(usage!("'{text}': a simulated budget is above 0")) }
    }
}
