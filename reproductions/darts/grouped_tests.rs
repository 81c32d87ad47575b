//! Tests of the grouped form against the plain one.

use super::super::alpha;
use super::super::supernet::Supernet;
use super::super::supernet::tests::{apart, everything};
use super::*;
use crate::gradient::{Ahead, Order};
use crate::nn::{cross_entropy, plainly};
use crate::seed::Streams;
use crate::space::InputShape;
use crate::train::Sgd;
use tch::Device;

fn both(input: InputShape, channels: i64, cells: usize) -> (Supernet, Grouped) {
    let net = Supernet::declare(input, channels, cells);
    let grouped = Grouped::new(&net.table, input, channels, cells, Device::Cpu);
    (net, grouped)
}

#[test]
fn every_number_is_that_of_the_plain_form() {
    tch::set_num_threads(1);
    // Even and odd widths and sizes; three, five and eight cells, so that cells follow one another in every way.
    for (channels, cells, images, size) in [(4, 3, 8, [8, 8]), (3, 5, 5, [9, 10]), (2, 8, 3, [11, 11]), (5, 4, 2, [7, 12])] {
        let (net, grouped) = both(InputShape { channels: 1, height: size[0], width: size[1], classes: 2 }, channels, cells);
        for (kind, within) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5)] {
            let ours = everything(&net, &|w, alpha, x, training| grouped.forward(w, alpha, x, training), kind, images, size);
            let plain = plainly(|| everything(&net, &|w, alpha, x, training| net.forward(w, alpha, x, training), kind, images, size));
            for (i, (a, b)) in ours.iter().zip(&plain).enumerate() {
                let difference = apart(a, b);
                assert!(difference < within, "{channels} channels, {cells} cells, {size:?}, {kind:?}, part {i}: {difference}");
            }
        }
    }
}

#[test]
fn the_second_order_is_that_of_the_plain_form() {
    tch::set_num_threads(1);
    let (net, grouped) = both(InputShape { channels: 3, height: 8, width: 8, classes: 3 }, 2, 3);
    let batch = |by: f64| (Tensor::arange(4 * 3 * 64, (Kind::Double, Device::Cpu)) * by).sin().view([4, 3, 8, 8]);
    let labels = Tensor::from_slice(&[0i64, 1, 2, 1]);
    let (train, valid) = (batch(0.7), batch(1.1));
    let gradient = |by_groups: bool| {
        let w = Weights::init(&net.table, &mut Streams::new(2).rng("init", 0), Device::Cpu, Kind::Double);
        let alpha = alpha::initial(&mut Streams::new(1).rng("alpha", 0), Device::Cpu, Kind::Double);
        let scores =
            &|w: &Weights, x: &Tensor| if by_groups { grouped.forward(w, &alpha, x, true) } else { net.forward(w, &alpha, x, true) };
        let sgd = Sgd::new(w.flat(), 0.9, 3e-4);
        // A radius at which the finite difference does not amplify rounding.
        let ahead = Ahead { table: &net.table, weights: &w, sgd: &sgd, eta: 0.1, radius: 1.0 };
        let loss = |x: &Tensor| {
            let (x, labels) = (x.shallow_clone(), labels.shallow_clone());
            move |w: &Weights| cross_entropy(&scores(w, &x), &labels)
        };
        let found = ahead.gradient(Order::Second, &[&alpha], &loss(&train), &loss(&valid)).0.remove(0);
        (found, w.flat_stats().copy())
    };
    let (ours, plain) = (gradient(true), plainly(|| gradient(false)));
    assert!(apart(&ours.0, &plain.0) < 1e-10, "{}", apart(&ours.0, &plain.0));
    assert!(apart(&ours.1, &plain.1) < 1e-12);
}
