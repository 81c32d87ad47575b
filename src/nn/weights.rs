//! Declared parameters, and the tensors that hold them.
//!
//! A network declares what it needs in a [`Table`] and keeps the [`ParamId`]s; the tensors live in [`Weights`] and
//! are handed to every forward pass. So a network can be counted without memory, and the same network can run on
//! other weights (a step ahead, shared, predicted).

use super::init::{Init, Initialisation, Rule};
use crate::memory;
use crate::seed::{Rng, Streams};
use std::ops::Index;
use tch::{Device, Kind, Tensor, no_grad};

/// Host memory that a weight takes while it is drawn (8 bytes twice, and the 4 that stay), which is what gradient, momentum and their copies take later.
const BYTES_OF_A_WEIGHT: u64 = 20;

/// Where a parameter stands in its [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamId(usize);

/// Where a running statistic stands in its [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatId(usize);

#[derive(Clone, Debug)]
struct Declared {
    name: String,
    shape: Vec<i64>,
    init: Init,
}

impl Declared {
    fn len(&self) -> usize {
        self.shape.iter().product::<i64>() as usize
    }
}

/// The parameters and running statistics that a network declares, in order.
#[derive(Clone, Debug, Default)]
pub struct Table {
    scope: Vec<String>,
    rule: Rule,
    params: Vec<Declared>,
    stats: Vec<Declared>,
}

impl Table {
    /// An empty table whose layers are filled by `rule`.
    pub fn with_rule(rule: Rule) -> Self {
        Self { rule, ..Self::default() }
    }

    /// How the weights of a layer and its bias are filled.
    pub fn layer_init(&self, fan_in: i64, fan_out: i64) -> (Init, Init) {
        self.rule.layer(fan_in, fan_out)
    }

    /// How the kernel of a convolution is filled; both fans are of one of so many groups.
    pub fn conv_init(&self, fan_in: i64, fan_out: i64, groups: i64) -> Init {
        self.rule.kernel(fan_in, fan_out, groups)
    }

    /// Declares everything inside `f` under `name.`
    pub fn scope<T>(&mut self, name: impl Into<String>, f: impl FnOnce(&mut Self) -> T) -> T {
        self.scope.push(name.into());
        let out = f(self);
        self.scope.pop();
        out
    }

    /// Declares a trainable parameter.
    pub fn param(&mut self, name: &str, shape: &[i64], init: Init) -> ParamId {
        let declared = self.declared(name, shape, init);
        self.params.push(declared);
        ParamId(self.params.len() - 1)
    }

    /// Declares a running statistic, which no gradient reaches.
    pub fn stat(&mut self, name: &str, shape: &[i64], value: f64) -> StatId {
        let declared = self.declared(name, shape, Init::Constant(value));
        self.stats.push(declared);
        StatId(self.stats.len() - 1)
    }

    /// Declares a scale ([`Init::Scale`]) and a shift (0 at the start) for so many channels.
    pub fn scale_and_shift(&mut self, channels: i64) -> [ParamId; 2] {
        [("weight", Init::Scale), ("bias", Init::Constant(0.0))].map(|(name, init)| self.param(name, &[channels], init))
    }

    /// Number of trainable scalars.
    pub fn count(&self) -> u64 {
        self.count_if(|_| true)
    }

    /// Number of trainable scalars in parameters whose full name satisfies `keep`.
    pub fn count_if(&self, keep: impl Fn(&str) -> bool) -> u64 {
        self.params.iter().filter(|p| keep(&p.name)).map(|p| p.len() as u64).sum()
    }

    /// 1 for every scalar of the kernels and matrices, 0 for the scales, shifts and biases, in the layout of [`Weights::flat`].
    pub fn matrices(&self, device: Device, kind: Kind) -> Tensor {
        let of = |p: &Declared| Tensor::full([p.len() as i64], f64::from(u8::from(p.shape.len() > 1)), (kind, device));
        Tensor::cat(&self.params.iter().map(of).collect::<Vec<_>>(), 0)
    }

    /// Full names of all parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.params.iter().map(|p| p.name.as_str())
    }

    /// Shapes of all parameters, in order.
    pub fn shapes(&self) -> impl Iterator<Item = &[i64]> {
        self.params.iter().map(|p| p.shape.as_slice())
    }

    /// Full names of all running statistics, in order.
    pub fn stat_names(&self) -> impl Iterator<Item = &str> {
        self.stats.iter().map(|p| p.name.as_str())
    }

    /// Shapes of all running statistics, in order.
    pub fn stat_shapes(&self) -> impl Iterator<Item = &[i64]> {
        self.stats.iter().map(|p| p.shape.as_slice())
    }

    fn declared(&self, name: &str, shape: &[i64], init: Init) -> Declared {
        let name = self.scope.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
        Declared { name, shape: shape.to_vec(), init }
    }
}

/// The tensors of a [`Table`]. Parameters are views of one flat tensor, statistics of another, so that optimiser
/// steps, gradient norms and checkpoints handle one tensor each.
#[derive(Debug)]
pub struct Weights {
    flat: Tensor,
    whole: Tensor,
    params: Vec<Tensor>,
    flat_stats: Tensor,
    stats: Vec<Tensor>,
}

impl Weights {
    /// Fresh weights: every parameter by its initialiser, in declaration order from `rng`.
    pub fn init(table: &Table, rng: &mut Rng, device: Device, kind: Kind) -> Self {
        Self::initialised(table, Initialisation::Current, rng, device, kind)
    }

    /// The same, in one of the two ways in which PyTorch fills kernels and scales.
    ///
    /// # Panics
    /// As libtorch does, if there is not enough memory for them and for a first step.
    pub fn initialised(table: &Table, how: Initialisation, rng: &mut Rng, device: Device, kind: Kind) -> Self {
        memory::demand(BYTES_OF_A_WEIGHT.saturating_mul(table.count()), "weights and what trains them");
        let flat = flat_tensor(&table.params, how, rng, device, kind);
        let flat_stats = flat_tensor(&table.stats, how, rng, device, kind);
        Self::over(table, flat, flat_stats)
    }

    /// Weights over given flat tensors, shared and not copied.
    ///
    /// # Panics
    /// If a flat tensor has not the size that the table declares.
    pub fn over(table: &Table, flat: Tensor, flat_stats: Tensor) -> Self {
        let params = views(&table.params, &flat).into_iter().map(|v| v.set_requires_grad(true)).collect();
        let stats = views(&table.stats, &flat_stats);
        Self { whole: leaf(&flat), flat, params, flat_stats, stats }
    }

    /// Weights that come from elsewhere and keep their graph, in declaration order; the statistics are fresh. There is no vector of all of them
    /// ([`Weights::flat`] is empty), since none could share their memory.
    ///
    /// # Panics
    /// If there are not as many as the table declares, or of other shapes.
    pub fn given(table: &Table, params: Vec<Tensor>) -> Self {
        assert_eq!(params.len(), table.params.len(), "as many tensors as declared");
        for (tensor, declared) in params.iter().zip(&table.params) {
            assert_eq!(tensor.size(), declared.shape, "{}", declared.name);
        }
        let (device, kind) = params.first().map_or((Device::Cpu, Kind::Float), |p| (p.device(), p.kind()));
        // Statistics start with constants, so nothing is drawn.
        let flat_stats = flat_tensor(&table.stats, Initialisation::Current, &mut Streams::new(0).rng("statistics", 0), device, kind);
        let stats = views(&table.stats, &flat_stats);
        let flat = Tensor::zeros([0i64], (kind, device));
        Self { whole: leaf(&flat), flat, params, flat_stats, stats }
    }

    /// All parameters as one vector that shares their memory.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// The same vector as a leaf of the graph, for a network that takes all its parameters out of it at once and none of [`Weights::params`].
    pub fn whole(&self) -> &Tensor {
        &self.whole
    }

    /// All running statistics as one vector that shares their memory.
    pub fn flat_stats(&self) -> &Tensor {
        &self.flat_stats
    }

    /// The parameters in declaration order.
    pub fn params(&self) -> &[Tensor] {
        &self.params
    }

    /// The running statistics in declaration order.
    pub fn stats(&self) -> &[Tensor] {
        &self.stats
    }

    /// Gradient of the scalar `loss` with respect to all parameters, as one vector in the layout of [`Weights::flat`];
    /// zero where a parameter does not take part.
    pub fn gradient(&self, loss: &Tensor) -> Tensor {
        self.gradients(loss, &[]).1
    }

    /// Gradients of the scalar `loss` with respect to `others`, leaves of the graph too, and to all parameters as [`Weights::gradient`] has it.
    pub fn gradients(&self, loss: &Tensor, others: &[&Tensor]) -> (Vec<Tensor>, Tensor) {
        let inputs: Vec<&Tensor> = others.iter().copied().chain([&self.whole]).chain(&self.params).collect();
        let mut grads = Tensor::run_backward(&[loss], &inputs, false, false);
        let each = grads.split_off(others.len() + 1);
        let whole = grads.pop().expect("there are as many gradients as leaves");
        (grads, if whole.defined() { whole } else { self.flatten(&each) })
    }

    /// Joins one gradient a parameter to a flat vector; an undefined gradient is zero.
    fn flatten(&self, grads: &[Tensor]) -> Tensor {
        let part = |(g, p): (&Tensor, &Tensor)| if g.defined() { g.reshape([-1]) } else { p.detach().zeros_like().reshape([-1]) };
        let parts: Vec<Tensor> = grads.iter().zip(&self.params).map(part).collect();
        Tensor::cat(&parts, 0)
    }
}

#[cfg(test)]
impl Weights {
    /// Panics unless the gradient of `loss` agrees with central differences at `count` weights, relative to 1 + the difference.
    pub fn check_gradient(&self, loss: impl Fn(&Self) -> Tensor, count: usize, within: f64) {
        use rand::RngExt;
        let gradient = Vec::<f64>::try_from(self.gradient(&loss(self))).expect("double precision");
        let mut rng = Streams::new(4).rng("pick", 0);
        for _ in 0..count {
            let i = rng.random_range(0..gradient.len());
            let at = |delta: f64| {
                no_grad(|| {
                    let _ = self.flat.narrow(0, i as i64, 1).g_add_scalar_(delta);
                    let value = loss(self).double_value(&[]);
                    let _ = self.flat.narrow(0, i as i64, 1).g_add_scalar_(-delta);
                    value
                })
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            let error = (difference - gradient[i]).abs() / (1.0 + difference.abs());
            assert!(error < within, "weight {i}: {difference} and {}", gradient[i]);
        }
    }
}

impl Index<ParamId> for Weights {
    type Output = Tensor;

    fn index(&self, id: ParamId) -> &Tensor {
        &self.params[id.0]
    }
}

impl Index<StatId> for Weights {
    type Output = Tensor;

    fn index(&self, id: StatId) -> &Tensor {
        &self.stats[id.0]
    }
}

fn flat_tensor(declared: &[Declared], how: Initialisation, rng: &mut Rng, device: Device, kind: Kind) -> Tensor {
    let mut values = Vec::with_capacity(declared.iter().map(Declared::len).sum());
    for d in declared {
        d.init.fill(how, d.len(), rng, &mut values);
    }
    Tensor::from_slice(&values).to_kind(kind).to_device(device)
}

/// The same memory as a leaf of the graph.
fn leaf(flat: &Tensor) -> Tensor {
    flat.detach().set_requires_grad(true)
}

fn views(declared: &[Declared], flat: &Tensor) -> Vec<Tensor> {
    let mut start = 0;
    let mut view = |d: &Declared| {
        let view = flat.narrow(0, start, d.len() as i64).view(d.shape.as_slice()).detach();
        start += d.len() as i64;
        view
    };
    let views = no_grad(|| declared.iter().map(&mut view).collect());
    assert_eq!(start, flat.size1().expect("flat tensors have one dimension"), "flat tensor and table differ in size");
    views
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut t = Table::default();
        t.scope("a", |t| t.param("weight", &[2, 3], Init::fan_in(9)));
        t.param("gain", &[4], Init::Constant(1.0));
        t.stat("mean", &[4], 0.0);
        t
    }

    #[test]
    fn counts_and_names_need_no_tensors() {
        let t = table();
        assert_eq!(t.count(), 10);
        assert_eq!(t.count_if(|n| n.starts_with("a.")), 6);
        assert_eq!(t.names().collect::<Vec<_>>(), ["a.weight", "gain"]);
    }

    #[test]
    fn initial_values_follow_the_stream_and_stay_in_bounds() {
        let make = |seed| Weights::init(&table(), &mut Streams::new(seed).rng("init", 0), Device::Cpu, Kind::Double);
        let (a, b, c) = (make(1), make(1), make(2));
        assert!(a.flat().equal(b.flat()));
        assert!(!a.flat().equal(c.flat()));
        assert!(a.params()[0].abs().max().double_value(&[]) <= 1.0 / 3.0);
        assert_eq!(a.params()[1].sum(Kind::Double).double_value(&[]), 4.0);
    }

    #[test]
    fn parameters_share_the_flat_memory_and_gradients_its_layout() {
        let w = Weights::init(&table(), &mut Streams::new(1).rng("init", 0), Device::Cpu, Kind::Double);
        let loss = (&w.params()[1] * 3.0).sum(Kind::Double);
        let g = w.gradient(&loss);
        assert_eq!(Vec::<f64>::try_from(&g).unwrap(), [0., 0., 0., 0., 0., 0., 3., 3., 3., 3.]);
        no_grad(|| {
            let mut flat = w.flat().shallow_clone();
            let _ = flat.g_add_(&g);
        });
        assert_eq!(w.params()[1].double_value(&[0]), 4.0);
        assert_eq!(w.whole().double_value(&[6]), 4.0);
    }

    #[test]
    fn a_gradient_is_the_same_whether_parameters_are_read_one_by_one_or_as_a_whole() {
        let w = Weights::init(&table(), &mut Streams::new(1).rng("init", 0), Device::Cpu, Kind::Double);
        let beside = Tensor::from_slice(&[2.0, 3.0]).set_requires_grad(true);
        let loss = |a: &Tensor, gain: &Tensor| (a * beside.get(0)).sum(Kind::Double) + (gain.square() * beside.get(1)).sum(Kind::Double);
        let (of_beside, each) = w.gradients(&loss(&w.params()[0], &w.params()[1]), &[&beside]);
        let (again, whole) = w.gradients(&loss(&w.whole().narrow(0, 0, 6), &w.whole().narrow(0, 6, 4)), &[&beside]);
        assert!(each.equal(&whole) && of_beside[0].equal(&again[0]));
        assert_eq!(Vec::<f64>::try_from(&whole).unwrap(), [2., 2., 2., 2., 2., 2., 6., 6., 6., 6.]);
    }
}
