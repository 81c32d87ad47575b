//! How parameters are filled at the start.

use crate::seed::Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};
use serde::{Deserialize, Serialize};

/// How a tensor is filled at the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform in [-bound, bound].
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// All equal to this value.
    Constant(f64),
    /// The kernel of a convolution: uniform in ±1/√fan_in, `fan_in` of one of so many groups.
    Kernel {
        /// Inputs of a group times the size of the kernel.
        fan_in: i64,
        /// Groups.
        groups: i64,
    },
    /// Scales of a normalisation.
    Scale,
}

/// Which PyTorch fills convolutions and scales. The published code of 2018 ran on version 0.3, where two defaults were others than today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Initialisation {
    /// As today: the bound of a kernel counts the inputs of one group, scales are 1.
    #[default]
    Current,
    /// As until PyTorch 0.4 (kernels) and 1.1 (scales): the bound counts the inputs of all groups, scales are uniform in [0, 1].
    Released,
}

impl Init {
    /// Uniform in ±1/√fan_in, as PyTorch initialises convolutions and linear layers (Kaiming uniform with a = √5).
    pub fn fan_in(fan_in: i64) -> Self {
        Self::Uniform(1.0 / (fan_in as f64).sqrt())
    }

    /// Normal with standard deviation √(2/fan) (He et al. 2015), without cutting off the tails: of the fan-out, as NASNet's authors initialise, or of the fan-in.
    pub fn he(fan: i64) -> Self {
        Self::Normal((2.0 / fan as f64).sqrt())
    }

    pub(super) fn fill(self, how: Initialisation, count: usize, rng: &mut Rng, out: &mut Vec<f64>) {
        let mut between = |low: f64, high: f64| {
            let uniform = Uniform::new_inclusive(low, high).expect("bounds are finite and in order");
            out.extend(uniform.sample_iter(&mut *rng).take(count));
        };
        match (self, how) {
            (Self::Uniform(bound), _) => between(-bound, bound),
            (Self::Kernel { fan_in, groups }, _) => {
                let counted = if how == Initialisation::Released { fan_in * groups } else { fan_in };
                let bound = 1.0 / (counted as f64).sqrt();
                between(-bound, bound);
            }
            (Self::Scale, Initialisation::Released) => between(0.0, 1.0),
            (Self::Scale, Initialisation::Current) => out.extend(std::iter::repeat_n(1.0, count)),
            (Self::Normal(std), _) => out.extend(StandardNormal.sample_iter(rng).take(count).map(|z: f64| std * z)),
            (Self::Constant(value), _) => out.extend(std::iter::repeat_n(value, count)),
        }
    }
}

/// How a table's convolutions and linear layers are filled at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// [`Init::fan_in`], biases alike.
    #[default]
    FanIn,
    /// [`Init::he`], biases 0.
    He,
    /// Normal with standard deviation √(2/fan_in), biases 0, as ENAS's authors initialise; the inputs of all groups of a convolution count. Without cutting off the tails.
    HeIn,
    /// Convolutions normal with standard deviation √(2/fan_in) (PyTorch's `kaiming_normal_`), everything else as [`Rule::FanIn`].
    Kaiming,
}

impl Rule {
    /// Weights of a layer, and its bias.
    pub(super) fn layer(self, fan_in: i64, fan_out: i64) -> (Init, Init) {
        match self {
            Self::FanIn | Self::Kaiming => (Init::fan_in(fan_in), Init::fan_in(fan_in)),
            Self::He => (Init::he(fan_out), Init::Constant(0.0)),
            Self::HeIn => (Init::he(fan_in), Init::Constant(0.0)),
        }
    }

    /// A kernel; both fans are of one of so many groups.
    pub(super) fn kernel(self, fan_in: i64, fan_out: i64, groups: i64) -> Init {
        match self {
            Self::FanIn => Init::Kernel { fan_in, groups },
            Self::He => Init::he(fan_out),
            Self::HeIn => Init::he(fan_in * groups),
            Self::Kaiming => Init::he(fan_in),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Table, Weights};
    use super::*;
    use crate::seed::Streams;
    use tch::{Device, Kind};

    #[test]
    fn a_rule_fills_convolutions_and_linear_layers() {
        let table = Table::with_rule(Rule::Kaiming);
        assert_eq!(table.conv_init(18, 5, 1), Init::Normal(1.0 / 3.0));
        assert_eq!(table.layer_init(16, 5), (Init::Uniform(0.25), Init::Uniform(0.25)));
        assert_eq!(Table::with_rule(Rule::He).conv_init(18, 8, 1), Init::Normal(0.5));
        assert_eq!(Table::with_rule(Rule::HeIn).conv_init(9, 9, 2), Init::Normal(1.0 / 3.0));
        assert_eq!(Table::with_rule(Rule::HeIn).layer_init(8, 3), (Init::Normal(0.5), Init::Constant(0.0)));
        assert_eq!(Table::default().conv_init(16, 8, 1), Init::Kernel { fan_in: 16, groups: 1 });
    }

    #[test]
    fn released_kernels_count_all_groups_and_released_scales_are_uniform() {
        let mut table = Table::default();
        let init = table.conv_init(9, 9, 64);
        table.param("depthwise", &[64, 1, 3, 3], init);
        let [_, shift] = table.scale_and_shift(4000);
        let filled = |how| Weights::initialised(&table, how, &mut Streams::new(1).rng("init", 0), Device::Cpu, Kind::Double);
        let (now, then) = (filled(Initialisation::Current), filled(Initialisation::Released));
        let largest = |w: &Weights| w.params()[0].abs().max().double_value(&[]);
        assert!((largest(&now) - 1.0 / 3.0).abs() < 1e-2 && (largest(&then) - 1.0 / 24.0).abs() < 1e-3);
        assert!(now.params()[1].eq(1.0).all().int64_value(&[]) == 1);
        let (mean, std) = (then.params()[1].mean(Kind::Double).double_value(&[]), then.params()[1].std(false).double_value(&[]));
        assert!((mean - 0.5).abs() < 0.02 && (std - (1.0f64 / 12.0).sqrt()).abs() < 0.01);
        assert_eq!(then[shift].abs().sum(Kind::Double).double_value(&[]), 0.0);
    }
}
