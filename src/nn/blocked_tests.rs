//! Sums and pools over blocks against libtorch's operators one after the other.

use super::*;
use crate::nn::testing::{largest, random, same};
use tch::Device;

fn ones(n: i64, kind: Kind) -> (Tensor, Tensor) {
    (Tensor::zeros([n], (kind, Device::Cpu)), Tensor::ones([n], (kind, Device::Cpu)))
}

/// The stage by libtorch's own operations.
fn plain(s: &BlockedStage, x: &Tensor, training: bool) -> Tensor {
    let x = if s.relu { x.relu() } else { x.shallow_clone() };
    let x = if s.shift > 0 { x.constant_pad_nd([0, s.shift, 0, s.shift]).slice(2, s.shift, None, 1).slice(3, s.shift, None, 1) } else { x };
    let pair = |v: i64| [v, v];
    let x = match s.depthwise {
        Some(w) => {
            let padding = s.dilation * (w.size()[3] - 1) / 2;
            x.conv2d(w, None::<&Tensor>, pair(s.stride), pair(padding), pair(s.dilation), x.size()[1])
        }
        None => x,
    };
    let stride = if s.depthwise.is_some() { 1 } else { s.stride };
    let x = x.conv2d(s.pointwise, None::<&Tensor>, pair(stride), [0, 0], [1, 1], 1);
    let (gamma, beta) = s.affine.as_ref().map_or((None, None), |(g, b)| (Some(g), Some(b)));
    x.batch_norm(gamma, beta, Some(&s.running.0), Some(&s.running.1), training, 0.1, 1e-5, true)
}

fn alone(stage: BlockedStage, x: &Tensor, training: bool) -> Option<Tensor> {
    chains(x, vec![vec![stage]], training)
}

/// The weights of a stage: depthwise and pointwise kernel, scale and shift.
struct Kernels(Option<Tensor>, Tensor, Option<(Tensor, Tensor)>, (Tensor, Tensor));

impl Kernels {
    fn new(kind: Kind, inputs: i64, outputs: i64, window: Option<i64>, affine: bool) -> Self {
        let dw = window.map(|k| random(&[inputs, 1, k, k], kind));
        let affine = affine.then(|| (random(&[outputs], kind), random(&[outputs], kind)));
        Self(dw, random(&[outputs, inputs, 1, 1], kind), affine, ones(outputs, kind))
    }

    fn all(&self) -> Vec<&Tensor> {
        self.0.iter().chain([&self.1]).chain(self.2.iter().flat_map(|(g, b)| [g, b])).collect()
    }

    fn stage(&self, how: (bool, i64, i64, i64, i64)) -> BlockedStage<'_> {
        let (relu, stride, dilation, shift, first) = how;
        let pair = |(a, b): &(Tensor, Tensor)| (a.shallow_clone(), b.shallow_clone());
        BlockedStage {
            depthwise: self.0.as_ref(),
            pointwise: &self.1,
            affine: self.2.as_ref().map(pair),
            running: pair(&self.3),
            relu,
            stride,
            dilation,
            shift,
            first,
        }
    }
}

fn check_stage(kind: Kind, within: f64, shape: [i64; 4], outputs: i64, window: Option<(i64, i64, i64)>, relu: bool, affine: bool) {
    let what = format!("{kind:?} {shape:?} to {outputs}, {window:?}, relu {relu}, affine {affine}");
    let (kernel, stride, dilation) = window.unwrap_or((1, if relu { 1 } else { 2 }, 1));
    let x = random(&shape, kind);
    let weights = Kernels::new(kind, shape[1], outputs, window.map(|_| kernel), affine);
    let theirs = BlockedStage { running: ones(outputs, kind), ..weights.stage((relu, stride, dilation, 0, 0)) };
    let ours = || weights.stage((relu, stride, dilation, 0, 0));
    let mut inputs = vec![&x];
    inputs.extend(weights.all());
    same(&inputs, &alone(ours(), &x, true).expect("the kernels take it"), &plain(&theirs, &x, true), within, &what);
    let running = &weights.3;
    assert!(largest(&running.0, &theirs.running.0) <= within && largest(&running.1, &theirs.running.1) <= within, "{what}: statistics");
    let scored = tch::no_grad(|| (alone(ours(), &x, false).expect("the kernels take it"), plain(&ours(), &x, false)));
    assert!(largest(&scored.0, &scored.1) <= 10.0 * within, "{what}: scoring");
}

#[test]
fn a_stage_agrees_with_its_parts() {
    for size in [(1, 1), (2, 2), (4, 4), (5, 7), (8, 8), (13, 10), (23, 17)] {
        for window in [
            None,
            Some((1, 1, 1)),
            Some((3, 1, 1)),
            Some((5, 1, 1)),
            Some((7, 1, 1)),
            Some((3, 2, 1)),
            Some((5, 2, 1)),
            Some((7, 2, 1)),
            Some((3, 1, 2)),
            Some((5, 1, 2)),
            Some((3, 2, 2)),
            Some((5, 2, 2)),
        ] {
            for (relu, affine, outputs, images) in [(true, true, 5, 9), (false, false, 4, 6), (true, false, 1, 16), (false, true, 9, 3)] {
                check_stage(Kind::Double, 1e-12, [images, 3, size.0, size.1], outputs, window, relu, affine);
            }
            check_stage(Kind::Float, 1e-5, [20, 6, size.0, size.1], 8, window, true, true);
        }
    }
}

#[test]
fn a_stage_agrees_for_every_number_of_channels() {
    for channels in 1..=130 {
        check_stage(Kind::Double, 1e-12, [5, channels, 3, 3], 131 - channels, Some((3, 1, 1)), true, true);
        check_stage(Kind::Float, 1e-5, [9, channels, 4, 3], 1 + channels % 7, Some((5, 1, 2)), true, false);
    }
}

/// A node of a cell: two maps, one of which is halved; chains, maps as they are, a pool, a factorised reduction; coefficients.
fn check_sum(kind: Kind, within: f64, images: i64, channels: i64, (h, w): (i64, i64)) {
    let what = format!("{kind:?} {images} images, {channels} channels, {h}x{w}");
    let (wide, narrow) = (random(&[images, channels, 2 * h - 1, 2 * w], kind), random(&[images, channels, h, w], kind).cos());
    let p = random(&[6], kind);
    let half = channels / 2;
    let new = |inputs, outputs, window| Kernels::new(kind, inputs, outputs, window, false);
    let k = [
        new(channels, channels + 1, Some(3)),
        new(channels + 1, channels, Some(5)),
        new(channels, channels, Some(5)),
        new(channels, channels - half, None),
        new(channels, half.max(1), None),
    ];
    let chain = |source, coefficient, stages| BlockedTerm { source, coefficient: Some(coefficient), stages };
    let pooled_running = [ones(channels, kind), ones(channels, kind)];
    let ours = {
        let sources = [&wide, &narrow].map(|x| Blocked::from_images(x).expect("the kernels take it"));
        let running: Vec<_> = pooled_running.iter().map(|(m, v)| (m, v)).collect();
        let pooled = sources[0].pool_norm(PoolKind::Maximum, 3, 2, &running, true);
        let mut terms = vec![
            chain(0, 0, vec![k[0].stage((true, 2, 1, 0, 0)), k[1].stage((true, 1, 1, 0, 0))]),
            chain(1, 1, vec![k[2].stage((true, 1, 2, 0, 0))]),
            chain(1, 2, vec![]),
            chain(2, 3, vec![]),
            chain(0, 4, vec![k[3].stage((true, 2, 1, 0, 0))]),
        ];
        if half > 0 {
            terms.push(chain(0, 4, vec![k[4].stage((true, 2, 1, 1, channels - half))]));
        }
        let sum = Blocked::sum(&[&sources[0], &sources[1], &pooled], Some(&p), &terms, true).expect("it trains");
        sum.to_images()
    };
    let theirs = {
        fn own(k: &Kernels, how: (bool, i64, i64, i64, i64)) -> BlockedStage<'_> {
            let stage = k.stage(how);
            BlockedStage { running: ones(stage.running.0.size()[0], stage.running.0.kind()), ..stage }
        }
        let first = plain(&own(&k[0], (true, 2, 1, 0, 0)), &wide, true);
        let pool = wide.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        let (mean, var) = ones(channels, kind);
        let pool = pool.batch_norm(None::<&Tensor>, None::<&Tensor>, Some(&mean), Some(&var), true, 0.1, 1e-5, true);
        for (m, v) in &pooled_running {
            assert!(largest(m, &mean) <= within && largest(v, &var) <= within, "{what}: statistics");
        }
        let mut halves = vec![plain(&own(&k[3], (true, 2, 1, 0, 0)), &wide, true)];
        if half > 0 {
            halves.push(plain(&own(&k[4], (true, 2, 1, 1, 0)), &wide, true));
        }
        plain(&own(&k[1], (true, 1, 1, 0, 0)), &first, true) * p.get(0)
            + plain(&own(&k[2], (true, 1, 2, 0, 0)), &narrow, true) * p.get(1)
            + &narrow * p.get(2)
            + pool * p.get(3)
            + Tensor::cat(&halves, 1) * p.get(4)
    };
    let mut inputs = vec![&wide, &p];
    inputs.extend(k[..if half > 0 { 5 } else { 4 }].iter().flat_map(Kernels::all));
    same(&inputs, &ours, &theirs, within, &what);
}

#[test]
fn a_sum_agrees_with_its_terms() {
    for size in [(1, 1), (2, 3), (4, 4), (7, 5), (16, 9)] {
        for (images, channels) in [(2, 2), (3, 1), (8, 4), (11, 5), (16, 3)] {
            // A norm over few pixels has a small deviation, by which every rounding error is divided.
            if images * size.0 * size.1 > 4 {
                check_sum(Kind::Double, 1e-12, images, channels, size);
                check_sum(Kind::Float, 1e-5, 4 * images + 3, channels, (size.0 + 2, size.1 + 3));
            }
        }
    }
}

#[test]
fn pools_and_norms_agree_with_libtorch() {
    use PoolKind::{Average, Maximum};
    for (h, w) in [(2, 2), (3, 5), (4, 4), (7, 8), (14, 13), (32, 32)] {
        for (kernel, stride, of) in [(3, 1, Maximum), (3, 2, Average), (5, 2, Maximum), (3, 2, Maximum), (3, 1, Average)] {
            for (kind, within, images) in [(Kind::Double, 1e-12, 3), (Kind::Float, 1e-5, 9)] {
                let x = random(&[images, 3, h, w], kind);
                let ((m, v), (mean, var)) = (ones(3, kind), ones(3, kind));
                let ours = Blocked::from_images(&x).expect("the kernels take it").pool_norm(of, kernel, stride, &[(&m, &v)], true);
                let (side, step, edge) = ([kernel, kernel], [stride, stride], [kernel / 2, kernel / 2]);
                let pooled = if of == Maximum {
                    x.max_pool2d(side, step, edge, [1, 1], false)
                } else {
                    x.avg_pool2d(side, step, edge, false, false, None)
                };
                let norm =
                    |training| pooled.batch_norm(None::<&Tensor>, None::<&Tensor>, Some(&mean), Some(&var), training, 0.1, 1e-5, true);
                let what = format!("{kind:?} {h}x{w} window {kernel} stride {stride} {of:?}");
                same(&[&x], &ours.to_images(), &norm(true), within, &what);
                assert!(largest(&m, &mean) <= within && largest(&v, &var) <= within, "{what}: statistics");
                let scored = Blocked::from_images(&x).expect("taken").pool_norm(of, kernel, stride, &[(&m, &v)], false);
                assert!(largest(&scored.to_images(), &norm(false)) <= 10.0 * within, "{what}: scoring");
            }
        }
    }
}

#[test]
fn a_shifted_stage_agrees_with_its_parts() {
    for (stride, shift) in [(1, 1), (2, 1), (2, 0), (1, 2), (3, 2)] {
        let x = random(&[6, 3, 7, 9], Kind::Double);
        let weights = Kernels::new(Kind::Double, 3, 4, None, true);
        let how = (true, stride, 1, shift, 0);
        let theirs = BlockedStage { running: ones(4, Kind::Double), ..weights.stage(how) };
        let mut inputs = vec![&x];
        inputs.extend(weights.all());
        let ours = alone(weights.stage(how), &x, true).expect("taken");
        same(&inputs, &ours, &plain(&theirs, &x, true), 1e-12, &format!("stride {stride}, shift {shift}"));
    }
}

#[test]
fn maps_come_back_from_blocks_as_they_were() {
    for images in [4, 5, 7, 8, 9, 17] {
        let x = random(&[images, 3, 5, 2], Kind::Float);
        let blocked = Blocked::from_images(&x).expect("taken");
        assert!(blocked.to_images().equal(&x));
        let mean = x.mean_dim([2i64, 3].as_slice(), false, None::<Kind>);
        assert!(largest(&blocked.global_average(), &mean) < 1e-6);
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let before = tch::get_num_threads();
    let x = random(&[35, 16, 12, 12], Kind::Float);
    let weights = Kernels::new(Kind::Float, 16, 16, Some(5), true);
    let run = |threads| {
        tch::set_num_threads(threads);
        let y = alone(weights.stage((true, 1, 1, 0, 0)), &x, true).expect("taken");
        let mut inputs = vec![&x];
        inputs.extend(weights.all());
        Tensor::run_backward(&[y.square().sum(Kind::Double)], &inputs, false, false)
    };
    let (one, two) = (run(1), run(2));
    tch::set_num_threads(before);
    assert!(one.iter().zip(&two).all(|(a, b)| a.equal(b)));
}

#[test]
fn a_stage_that_scores_gives_no_gradient_and_leaves_the_work_to_libtorch() {
    let x = random(&[4, 3, 5, 5], Kind::Float);
    let weights = Kernels::new(Kind::Float, 3, 2, None, false);
    let forward = || alone(weights.stage((true, 1, 1, 0, 0)), &x, false);
    assert!(forward().is_none());
    assert!(tch::no_grad(forward).is_some());
}

#[test]
fn views_and_other_layouts_are_read_as_they_are() {
    let x = random(&[4, 6, 6, 8], Kind::Double).permute([0, 2, 1, 3]);
    let x = x.slice(3, 1, 7, 1);
    let mut weights = Kernels::new(Kind::Double, 6, 4, Some(3), false);
    weights.1 = random(&[6, 4, 1, 1], Kind::Double).transpose(0, 1);
    let stage = || weights.stage((true, 1, 1, 0, 0));
    let inputs = [&x, weights.0.as_ref().expect("depthwise"), &weights.1];
    same(&inputs, &alone(stage(), &x, true).expect("taken"), &plain(&stage(), &x, true), 1e-12, "stage over views");
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let refused = |f: &dyn Fn() -> Option<Tensor>| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f().is_some())).is_err();
    let x = random(&[8, 3, 2, 2], Kind::Float);
    let other = Kernels::new(Kind::Float, 4, 2, Some(3), false);
    assert!(refused(&|| alone(other.stage((true, 1, 1, 0, 0)), &x, true)));
    let affine = Kernels::new(Kind::Float, 3, 2, None, true);
    let short = || BlockedStage { affine: Some(ones(1, Kind::Float)), ..affine.stage((true, 1, 1, 0, 0)) };
    assert!(refused(&|| alone(short(), &x, true)));
    let maps = Blocked::from_images(&x).expect("taken");
    let few = Blocked::from_images(&random(&[16, 3, 2, 2], Kind::Float)).expect("taken");
    let sum = |sources: &[&Blocked], coefficients: Option<&Tensor>, terms: &[BlockedTerm]| {
        Blocked::sum(sources, coefficients, terms, true).map(|b| b.to_images())
    };
    let as_it_is = |source, coefficient| BlockedTerm { source, coefficient, stages: Vec::new() };
    let p = random(&[1], Kind::Float);
    assert!(!refused(&|| sum(&[&maps], Some(&p), &[as_it_is(0, Some(0))])));
    assert!(refused(&|| sum(&[&maps], Some(&p), &[as_it_is(1, Some(0))])), "a source that is not there");
    assert!(refused(&|| sum(&[&maps], Some(&p), &[as_it_is(0, Some(1))])), "a coefficient that is not there");
    assert!(refused(&|| sum(&[&maps], None, &[as_it_is(0, Some(0))])), "no coefficients");
    assert!(refused(&|| sum(&[&maps, &few], None, &[as_it_is(0, None), as_it_is(1, None)])), "other numbers of images");
    let narrower = || BlockedTerm { source: 0, coefficient: None, stages: vec![affine.stage((true, 1, 1, 0, 2))] };
    assert!(refused(&|| sum(&[&maps], None, &[as_it_is(0, None), narrower()])), "other numbers of channels");
    let window = Kernels::new(Kind::Float, 3, 2, Some(3), false);
    assert!(refused(&|| alone(window.stage((true, 1, 1, 1, 0)), &x, true)), "a shift under a window");
    let even = Kernels::new(Kind::Float, 3, 2, Some(2), false);
    assert!(refused(&|| alone(even.stage((true, 1, 1, 0, 0)), &x, true)));
}

#[test]
fn blocks_in_a_row_and_halves_side_by_side_are_those_one_after_the_other() {
    use crate::nn::{ConvShape, FactorizedReduce, ReluConvBn, Table, Weights, plainly};
    use crate::seed::Streams;
    let mut t = Table::default();
    let shapes = |stride| [ConvShape::depthwise(3, 5, stride, 1), ConvShape::pointwise(3, 3, 1)];
    let row = [2, 1].map(|stride| ReluConvBn::declare(&mut t, &format!("block{stride}"), &shapes(stride), true));
    let reduce = FactorizedReduce::declare(&mut t, "reduce", 3, 5, true);
    let weights = || Weights::init(&t, &mut Streams::new(3).rng("init", 0), Device::Cpu, Kind::Double);
    let x = random(&[9, 3, 7, 6], Kind::Double);
    let (ours, plain) = (weights(), weights());
    let both = |w: &Weights| [ReluConvBn::in_a_row(&row, w, &x, true), reduce.forward(w, &x, true)];
    let [a, b] = both(&ours);
    let [c, d] = plainly(|| both(&plain));
    for (what, one, other) in [("a row", &a, &c), ("halves", &b, &d)] {
        assert_eq!(one.size(), other.size());
        assert!(largest(one, other) <= 1e-12, "{what}");
    }
    let gradients = |w: &Weights, [y, z]: [Tensor; 2]| {
        let (of_x, of_weights) = w.gradients(&((&y * y.cos()).sum(Kind::Double) + (&z * z.cos()).sum(Kind::Double)), &[&x]);
        [of_x[0].shallow_clone(), of_weights]
    };
    for (one, other) in gradients(&ours, [a, b]).iter().zip(&gradients(&plain, [c, d])) {
        assert!(largest(one, other) <= 1e-10, "gradients: {}", largest(one, other));
    }
}
