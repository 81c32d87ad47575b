//! A published cell on images of one's own: the network of DARTS's second-order cell for 16x16 pixels and three classes, trained for some steps on tensors.
//!
//! `cargo run --example published_cell`

use naslab::error::Result;
use naslab::lab::Method;
use naslab::network;
use naslab::nn::count;
use naslab::reproductions::darts::Darts;
use naslab::seed::Streams;
use naslab::space::{InputShape, NetSize, published};
use naslab::train::{Recipe, Step, Trainer};
use tch::{Device, Kind, Tensor};

const BATCH: i64 = 16;
const STEPS: i64 = 60;

/// Three kinds of images: brighter above, brighter on the left, or neither.
fn batch(step: i64) -> (Tensor, Tensor) {
    let labels = (Tensor::arange(BATCH, (Kind::Int64, Device::Cpu)) + step).remainder(3);
    let slope = Tensor::linspace(1.0, -1.0, 16, (Kind::Float, Device::Cpu));
    let kinds = Tensor::stack(
        &[
            slope.view([16, 1]).expand([16, 16], false),
            slope.view([1, 16]).expand([16, 16], false),
            slope.zeros_like().expand([16, 16], false),
        ],
        0,
    );
    // [N, 16, 16] -> [N, 3, 16, 16]
    let images = kinds.index_select(0, &labels).unsqueeze(1).expand([BATCH, 3, 16, 16], false);
    (images + Tensor::randn([BATCH, 3, 16, 16], (Kind::Float, Device::Cpu)) * 0.3, labels)
}

fn main() -> Result<()> {
    let input = InputShape { channels: 3, height: 16, width: 16, classes: 3 };
    let cell = published("darts-v2").expect("it is published");
    let network = network::build(&cell, input, NetSize { channels: 8, cells: 5, auxiliary: false })?;
    println!("{} weights", count(&*network).0);

    // The recipe of DARTS's final training, as its smallest preset has it.
    let settings = Darts.resolve("smoke", &["retrain.recipe.epochs=1".into()])?.settings;
    let recipe: Recipe = serde_json::from_value(settings["retrain"]["recipe"].clone()).expect("a recipe");
    let mut trainer = Trainer::new(network, &recipe, STEPS as u64, Streams::new(0), Device::Cpu);
    for step in 0..STEPS {
        let (images, labels) = batch(step);
        match trainer.step(&images, &labels) {
            Step::Done(loss) if step % 20 == 19 => println!("step {}: loss {loss:.3}", step + 1),
            Step::Done(_) => (),
            Step::Diverged => println!("step {}: the loss is not finite", step + 1),
        }
    }
    let (images, labels) = batch(0);
    let right = trainer.score(&images).argmax(1, false).eq_tensor(&labels).sum(Kind::Int64).int64_value(&[]);
    println!("{right} of {BATCH} images right");
    Ok(())
}
