//! The gradient of the validation loss in alpha (DARTS, section 2.3): equation 5, ∇α L_val(w*(α), α), where the best weights w*(α) are replaced by the present ones, or by
//! those after one more step of training.

use crate::nn::{Table, Weights};
use crate::train::Sgd;
use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

/// How far the architecture's gradient looks ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The weights count as fixed.
    First,
    /// The weights take one step of SGD.
    Second,
}

impl Order {
    /// As variants of a method are named.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first-order",
            Self::Second => "second-order",
        }
    }
}

/// Norm of the change of the weights in the finite difference, as in the paper.
pub const RADIUS: f64 = 0.01;

/// Weights, their optimiser and its next learning rate: what the step ahead is made of. Nothing of it is changed, but for running statistics.
#[derive(Clone, Copy, Debug)]
pub struct Ahead<'a> {
    /// What the weights are.
    pub table: &'a Table,
    /// w, with the running statistics that a training pass moves.
    pub weights: &'a Weights,
    /// μ, m and λ.
    pub sgd: &'a Sgd,
    /// η
    pub eta: f64,
    /// Norm of the finite difference's change, such as [`RADIUS`].
    pub radius: f64,
}

impl Ahead<'_> {
    /// The gradient for every tensor of `alpha`: ∇α L_val(w, α) in the first order, ∇α L_val(w − η (μ m + ∇w L_train(w, α) + λ w), α) in the
    /// second, by the chain rule. The losses are functions of the weights; alpha is in them. Beside it the sum of all losses, a scalar that is NaN or infinite if one of
    /// them is; it is not read here, as that waits for a card.
    pub fn gradient(
        &self,
        order: Order,
        alpha: &[&Tensor],
        train: &dyn Fn(&Weights) -> Tensor,
        valid: &dyn Fn(&Weights) -> Tensor,
    ) -> (Vec<Tensor>, Tensor) {
        let w = self.weights;
        if order == Order::First {
            // Equation 6 with η = 0: the weights count as fixed.
            let loss = valid(w);
            return (Tensor::run_backward(&[&loss], alpha, false, false), loss.detach());
        }
        // A loss that is kept keeps what its gradient was made of, so each goes at once.
        let (slope, trained) = {
            let loss = train(w);
            (w.gradient(&loss), loss.detach())
        };
        // w' = w − η ∇w L_train(w, α) of equation 6, with momentum and decay as the optimiser has them. The step ahead has statistics of its own.
        let ahead = no_grad(|| {
            let step = (&self.sgd.velocity * self.sgd.momentum) + slope + w.flat() * self.sgd.weight_decay;
            Weights::over(self.table, w.flat() - step * self.eta, w.flat_stats().copy())
        });
        // The first term of equation 7, ∇α L_val(w', α), and v = ∇w' L_val(w', α) of its second.
        let (direct, v, validated) = {
            let loss = valid(&ahead);
            let (direct, v) = ahead.gradients(&loss, alpha);
            (direct, v, loss.detach())
        };
        let losses = trained + validated;
        let norm = v.norm().double_value(&[]);
        if norm == 0.0 {
            return (direct, losses);
        }
        // Equation 8: ∇²α,w L_train(w, α) v ≈ (∇α L_train(w + r v, α) − ∇α L_train(w − r v, α)) / 2 r with r = radius / |v|.
        let r = self.radius / norm;
        let beside = |sign: f64| {
            let moved = no_grad(|| Weights::over(self.table, w.flat() + &v * (sign * r), w.flat_stats().shallow_clone()));
            let loss = train(&moved);
            (Tensor::run_backward(&[&loss], alpha, false, false), loss.detach())
        };
        let ((up, above), (down, below)) = (beside(1.0), beside(-1.0));
        // Equation 7.
        let join = |((direct, up), down): ((Tensor, Tensor), Tensor)| no_grad(|| direct - (up - down) * (self.eta / (2.0 * r)));
        (direct.into_iter().zip(up).zip(down).map(join).collect(), losses + above + below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Init, ParamId};
    use crate::seed::Streams;
    use tch::{Device, Kind};

    /// Two layers whose hidden features are mixed by the softmax of alpha, all smooth, in double precision.
    struct Toy {
        table: Table,
        layers: [ParamId; 2],
        train: (Tensor, Tensor),
        valid: (Tensor, Tensor),
    }

    fn values(seed: u64, shape: &[i64]) -> Tensor {
        let mut t = Table::default();
        t.param("x", shape, Init::Normal(1.0));
        Weights::init(&t, &mut Streams::new(seed).rng("values", 0), Device::Cpu, Kind::Double).params()[0].detach().copy()
    }

    impl Toy {
        fn new() -> Self {
            let mut table = Table::default();
            let layers = [table.param("a", &[6, 4], Init::fan_in(4)), table.param("b", &[3, 6], Init::fan_in(6))];
            let data = |seed| (values(seed, &[8, 4]), Tensor::from_slice(&[0i64, 1, 2, 0, 1, 2, 0, 1]));
            Self { table, layers, train: data(1), valid: data(2) }
        }

        fn loss(&self, w: &Weights, alpha: &Tensor, (x, y): &(Tensor, Tensor)) -> Tensor {
            let h = x.linear(&w[self.layers[0]], None::<&Tensor>);
            let mix = alpha.softmax(-1, Kind::Double);
            let h = h.softplus() * mix.get(0) + h.tanh() * mix.get(1) + h.sin() * mix.get(2);
            crate::nn::cross_entropy(&h.linear(&w[self.layers[1]], None::<&Tensor>), y)
        }

        fn start(&self) -> (Weights, Sgd, Tensor) {
            let w = Weights::init(&self.table, &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Double);
            let mut sgd = Sgd::new(w.flat(), 0.9, 3e-2);
            sgd.velocity = values(3, &w.flat().size());
            (w, sgd, values(4, &[3]).set_requires_grad(true))
        }

        fn gradient(&self, w: &Weights, sgd: &Sgd, alpha: &Tensor, eta: f64, radius: f64) -> Tensor {
            let ahead = Ahead { table: &self.table, weights: w, sgd, eta, radius };
            let loss = |data| move |w: &Weights| self.loss(w, alpha, data);
            ahead.gradient(Order::Second, &[alpha], &loss(&self.train), &loss(&self.valid)).0.remove(0)
        }
    }

    fn far(a: &Tensor, b: &Tensor) -> f64 {
        ((a - b).norm() / b.norm()).double_value(&[])
    }

    #[test]
    fn it_agrees_with_double_backward_and_with_central_differences() {
        let toy = Toy::new();
        let (w, sgd, alpha) = toy.start();
        let eta = 0.3;
        let ours = toy.gradient(&w, &sgd, &alpha, eta, 1e-4);
        // Double backward through the step itself.
        let slope = Tensor::run_backward(&[toy.loss(&w, &alpha, &toy.train)], w.params(), true, true);
        let flat = |tensors: &[Tensor]| Tensor::cat(&tensors.iter().map(|t| t.reshape([-1])).collect::<Vec<_>>(), 0);
        let params = flat(&w.params().iter().map(Tensor::shallow_clone).collect::<Vec<_>>());
        let ahead = &params - (&sgd.velocity * sgd.momentum + flat(&slope) + &params * sgd.weight_decay) * eta;
        let split = ahead.split_with_sizes([24i64, 18].as_slice(), 0);
        let w1 = Weights::given(&toy.table, vec![split[0].view([6, 4]), split[1].view([3, 6])]);
        let exact = &Tensor::run_backward(&[toy.loss(&w1, &alpha, &toy.valid)], &[&alpha], false, false)[0];
        assert!(far(&ours, exact) < 1e-4, "{}", far(&ours, exact));
        // Central differences of the whole function of alpha.
        let whole = |alpha: &Tensor| {
            let slope = w.gradient(&toy.loss(&w, alpha, &toy.train));
            no_grad(|| {
                let step = &sgd.velocity * sgd.momentum + slope + w.flat() * sgd.weight_decay;
                let ahead = Weights::over(&toy.table, w.flat() - step * eta, w.flat_stats().copy());
                toy.loss(&ahead, alpha, &toy.valid).double_value(&[])
            })
        };
        let difference: Vec<f64> = (0..3)
            .map(|i| {
                let mut unit = [0.0; 3];
                unit[i] = 1e-5;
                let unit = Tensor::from_slice(&unit);
                (whole(&(&alpha + &unit)) - whole(&(&alpha - &unit))) / 2e-5
            })
            .collect();
        assert!(far(&ours, &Tensor::from_slice(&difference)) < 1e-4);
        // The second-order part is not lost in that agreement.
        let first = &Tensor::run_backward(&[toy.loss(&w, &alpha, &toy.valid)], &[&alpha], false, false)[0];
        assert!(far(first, exact) > 1e-2);
    }

    #[test]
    fn nothing_changes_and_without_a_step_it_is_the_first_order_bit_for_bit() {
        let toy = Toy::new();
        let (w, sgd, alpha) = toy.start();
        let before = (w.flat().copy(), sgd.velocity.copy(), alpha.copy());
        let ahead = toy.gradient(&w, &sgd, &alpha, 0.3, RADIUS);
        assert!(w.flat().equal(&before.0) && sgd.velocity.equal(&before.1) && alpha.equal(&before.2));
        let first = &Tensor::run_backward(&[toy.loss(&w, &alpha, &toy.valid)], &[&alpha], false, false)[0];
        assert!(toy.gradient(&w, &sgd, &alpha, 0.0, RADIUS).equal(first));
        assert!(!ahead.equal(first));
    }

    #[test]
    fn the_papers_problem_ends_where_it_should() {
        // L_val = α w − 2 α + 1, L_train = w² − 2 α w + α²: the answer is α = w = 1 (paper, figure 2). The descent rests where w = α and
        // w − 2 + 2 ξ α = 0, so at 2 / (1 + 2 ξ): at the answer for the full step ξ = 1/2 of the inner problem, far from it without a look ahead.
        let mut table = Table::default();
        let id = table.param("w", &[1], Init::Constant(-2.0));
        let solve = |xi: f64| {
            let w = Weights::init(&table, &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Double);
            let alpha = Tensor::from_slice(&[2.0]).set_requires_grad(true);
            let sgd = Sgd::new(w.flat(), 0.0, 0.0);
            let train = |w: &Weights| (w[id].square() - &alpha * &w[id] * 2.0 + alpha.square()).sum(Kind::Double);
            let valid = |w: &Weights| (&alpha * &w[id] - &alpha * 2.0 + 1.0).sum(Kind::Double);
            for step in 0..2000 {
                let ahead = Ahead { table: &table, weights: &w, sgd: &sgd, eta: xi, radius: RADIUS };
                let gradient = ahead.gradient(Order::Second, &[&alpha], &train, &valid).0.remove(0);
                let (a, b) = (alpha.double_value(&[0]), w.flat().double_value(&[0]));
                let analytic = b - xi * (2.0 * b - 2.0 * a) - 2.0 + 2.0 * xi * a;
                assert!((gradient.double_value(&[0]) - analytic).abs() < 1e-9, "step {step}");
                no_grad(|| {
                    let _ = alpha.shallow_clone().g_sub_(&(gradient * 0.05));
                });
                let slope = w.gradient(&train(&w));
                no_grad(|| {
                    let _ = w.flat().shallow_clone().g_sub_(&(slope * 0.05));
                });
            }
            (alpha.double_value(&[0]), w.flat().double_value(&[0]))
        };
        for xi in [0.0, 0.5, 0.7] {
            let (alpha, w) = solve(xi);
            let expected = 2.0 / (1.0 + 2.0 * xi);
            assert!((alpha - expected).abs() < 1e-6 && (w - expected).abs() < 1e-6, "ξ = {xi}: {alpha} {w}");
        }
    }
}
