//! From libtorch's operations to those of ONNX, one by one. An operation that is not here is an error that names it.

use super::parts::{Call, float, int, ints, text};
use super::proto::{Attribute, FLOAT, INT64, Node, Tensor};
use crate::error::{Result, resource};
use crate::shim::TracedNode;
use std::collections::HashMap;

/// The end of a slice that goes to the end.
const TO_THE_END: i64 = i64::MAX;

/// Name, inputs and attributes of an operator.
type Operator = (&'static str, Vec<String>, Vec<Attribute>);

/// Nodes and constants so far, and the sizes of everything that has a name.
pub struct Converter {
    /// The translated operations.
    pub nodes: Vec<Node>,
    /// Constants that they need beside the weights.
    pub constants: Vec<Tensor>,
    /// Sizes by name; of what is computed, the first is that of a trace.
    pub shapes: HashMap<String, Vec<i64>>,
}

impl Converter {
    /// Translates one operation.
    ///
    /// # Errors
    /// [`crate::Error::Resource`] for an operation or a form of it that has no translation here.
    pub fn convert(&mut self, node: &TracedNode) -> Result<()> {
        let [output] = &node.outputs[..] else {
            return Err(Call(node).refuse("it has not one result"));
        };
        if let Some(shape) = &output.shape {
            self.shapes.insert(output.name.clone(), shape.clone());
        }
        let operator = self.operator(Call(node), &output.name)?;
        self.push(operator, output.name.clone());
        Ok(())
    }

    /// The operator that gives `out`; what it needs beside its inputs is added. The arguments are listed where they are not plain.
    fn operator(&mut self, call: Call, out: &str) -> Result<Operator> {
        Ok(match call.0.op.strip_prefix("aten::").unwrap_or(&call.0.op) {
            "relu" => ("Relu", vec![call.value(0)?], vec![]),
            "sigmoid" => ("Sigmoid", vec![call.value(0)?], vec![]),
            // (x, y, what y is multiplied by)
            "add" => {
                call.expect(2, call.float(2)? == 1.0, "1")?;
                ("Add", self.two(call, out)?, vec![])
            }
            "mul" => ("Mul", self.two(call, out)?, vec![]),
            "div" => ("Div", self.two(call, out)?, vec![]),
            "cat" => ("Concat", call.values(0)?, vec![int("axis", call.int(1)?)]),
            "_convolution" => self.convolution(call)?,
            // (x [N, input], weight [output, input], bias)
            "linear" => {
                call.expect(0, self.shape(call, 0)?.len() == 2, "a matrix")?;
                ("Gemm", call.weighted()?, vec![int("transB", 1)])
            }
            "batch_norm" => self.batch_norm(call, out)?,
            "group_norm" => self.group_norm(call, out)?,
            // (x, kernel, stride, padding, dilation, ceil)
            "max_pool2d" => {
                let more = [ints("dilations", &call.ints(4)?), int("ceil_mode", call.bool(5)?.into())];
                ("MaxPool", vec![call.value(0)?], window(&call.ints(1)?, call, 2, more)?)
            }
            // (x, kernel, stride, padding, ceil, whether the padding counts, another divisor)
            "avg_pool2d" => {
                call.expect(4, !call.bool(4)?, "false")?;
                call.expect(6, call.optional_int(6)?.is_none(), "nothing")?;
                let more = [int("count_include_pad", call.bool(5)?.into())];
                ("AveragePool", vec![call.value(0)?], window(&call.ints(1)?, call, 2, more)?)
            }
            // (x, dimensions, whether they stay, kind)
            "mean" => {
                call.expect(3, call.optional_int(3)?.is_none(), "nothing")?;
                ("ReduceMean", vec![call.value(0)?], vec![ints("axes", &call.ints(1)?), int("keepdims", call.bool(2)?.into())])
            }
            "unsqueeze" => ("Unsqueeze", vec![call.value(0)?, self.ints(out, "axes", &[call.int(1)?])], vec![]),
            // (x, dimension, start, end, step)
            "slice" => {
                let (start, end) = (call.optional_int(2)?.unwrap_or(0), call.optional_int(3)?.unwrap_or(TO_THE_END));
                self.cut(call, out, start, end, call.int(4)?)?
            }
            // (x, dimension, start, length)
            "narrow" => self.cut(call, out, call.int(2)?, call.int(2)? + call.int(3)?, 1)?,
            // (x, pads, number)
            "constant_pad_nd" => {
                let number = self.floats(out, "number", &[], call.float(2)?);
                ("Pad", vec![call.value(0)?, self.pads(call, out)?, number], vec![text("mode", "constant")])
            }
            "replication_pad2d" => ("Pad", vec![call.value(0)?, self.pads(call, out)?], vec![text("mode", "edge")]),
            "upsample_nearest2d" => self.nearest(call, out)?,
            _ => {
                let why = "which has no translation to ONNX in this version of naslab";
                return Err(resource!("this network cannot be exported: it uses {}, {why}", call.0.op));
            }
        })
    }

    fn push(&mut self, (op, input, attribute): Operator, name: String) {
        self.nodes.push(Node { input, output: vec![name.clone()], name, op_type: op.into(), attribute });
    }

    /// Adds an operator on the way to `out` and returns the name of its result.
    fn step(&mut self, out: &str, what: &str, operator: Operator) -> String {
        let name = format!("{out}.{what}");
        self.push(operator, name.clone());
        name
    }

    fn constant(&mut self, out: &str, what: &str, dims: &[i64], data_type: i32, raw_data: Vec<u8>) -> String {
        let name = format!("{out}.{what}");
        self.constants.push(Tensor { dims: dims.to_vec(), data_type, name: name.clone(), raw_data });
        name
    }

    /// Adds integers as a constant `out.what` and returns its name.
    fn ints(&mut self, out: &str, what: &str, values: &[i64]) -> String {
        self.constant(out, what, &[values.len() as i64], INT64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// Adds a number as often as `dims` have places, as a constant `out.what`, and returns its name.
    fn floats(&mut self, out: &str, what: &str, dims: &[i64], value: f64) -> String {
        self.constant(out, what, dims, FLOAT, (value as f32).to_le_bytes().repeat(dims.iter().product::<i64>() as usize))
    }

    /// Sizes of a tensor among the arguments.
    fn shape(&self, call: Call, at: usize) -> Result<&[i64]> {
        let name = call.value(at)?;
        self.shapes.get(&name).map(Vec::as_slice).ok_or_else(|| call.refuse(&format!("the sizes of {name} are not known")))
    }

    /// A tensor, and another one or a number.
    fn two(&mut self, call: Call, out: &str) -> Result<Vec<String>> {
        let second = match call.scalar(1)? {
            Some(number) => self.floats(out, "number", &[], number),
            None => call.value(1)?,
        };
        Ok(vec![call.value(0)?, second])
    }

    /// (x, weight, bias, stride, padding, dilation, transposed, output padding, groups, ...)
    fn convolution(&mut self, call: Call) -> Result<Operator> {
        let more = [ints("dilations", &call.ints(5)?), int("group", call.int(8)?)];
        let mut attributes = window(&self.shape(call, 1)?[2..], call, 3, more)?;
        let transposed = call.bool(6)?;
        if transposed {
            attributes.push(ints("output_padding", &call.ints(7)?));
        }
        Ok((if transposed { "ConvTranspose" } else { "Conv" }, call.weighted()?, attributes))
    }

    fn cut(&mut self, call: Call, out: &str, start: i64, end: i64, step: i64) -> Result<Operator> {
        let places = [("start", start), ("end", end), ("axis", call.int(1)?), ("step", step)];
        let places = places.map(|(what, value)| self.ints(out, what, &[value]));
        Ok(("Slice", [call.value(0)?].into_iter().chain(places).collect(), vec![]))
    }

    /// libtorch's pads begin with the last dimension, before and after; ONNX has all that are before first.
    fn pads(&mut self, call: Call, out: &str) -> Result<String> {
        let rank = self.shape(call, 0)?.len();
        let mut pads = vec![0; 2 * rank];
        for (i, pair) in call.ints(1)?.chunks_exact(2).enumerate() {
            (pads[rank - 1 - i], pads[2 * rank - 1 - i]) = (pair[0], pair[1]);
        }
        Ok(self.ints(out, "pads", &pads))
    }

    /// (x, [height, width], ...). Which row and column is repeated is computed here as libtorch does, in single precision, so that no
    /// runtime can round it otherwise.
    fn nearest(&mut self, call: Call, out: &str) -> Result<Operator> {
        let from = self.shape(call, 0)?.to_vec();
        let [height, width] = call.ints(1)?[..] else {
            return Err(call.refuse("the new size is not a height and a width"));
        };
        let rows = self.ints(out, "rows", &sources(from[2], height));
        let columns = self.ints(out, "columns", &sources(from[3], width));
        let tall = self.step(out, "tall", ("Gather", vec![call.value(0)?, rows], vec![int("axis", 2)]));
        Ok(("Gather", vec![tall, columns], vec![int("axis", 3)]))
    }

    /// (x, weight, bias, mean, variance, training, momentum, epsilon, ...)
    fn batch_norm(&mut self, call: Call, out: &str) -> Result<Operator> {
        call.expect(5, !call.bool(5)?, "false")?;
        let channels = self.shape(call, 3)?[0];
        let [scale, shift] = self.scale_and_shift(call, out, [1, 2], channels)?;
        let inputs = vec![call.value(0)?, scale, shift, call.value(3)?, call.value(4)?];
        Ok(("BatchNormalization", inputs, vec![float("epsilon", call.float(7)?)]))
    }

    /// Names of scale and shift of every channel; 1 and 0 where a norm has none.
    fn scale_and_shift(&mut self, call: Call, out: &str, at: [usize; 2], channels: i64) -> Result<[String; 2]> {
        let mut name = |at: usize, what: &str, value: f64| -> Result<String> {
            Ok(call.optional(at)?.unwrap_or_else(|| self.floats(out, what, &[channels], value)))
        };
        Ok([name(at[0], "scale", 1.0)?, name(at[1], "shift", 0.0)?])
    }

    /// (x, groups, weight, bias, epsilon, ...). ONNX normalises groups from version 18 on only, and rightly from 21: here the maps of a group become one
    /// channel, which is normalised, and then are maps again.
    fn group_norm(&mut self, call: Call, out: &str) -> Result<Operator> {
        let (groups, map) = (call.int(1)?, self.shape(call, 0)?[1..].to_vec());
        // 0 is the size that is there, -1 all that is left.
        let joined = self.ints(out, "joined", &[0, groups, -1]);
        let flat = self.step(out, "flat", ("Reshape", vec![call.value(0)?, joined], vec![]));
        let (ones, zeros) = (self.floats(out, "ones", &[groups], 1.0), self.floats(out, "zeros", &[groups], 0.0));
        let normed = ("InstanceNormalization", vec![flat, ones, zeros], vec![float("epsilon", call.float(4)?)]);
        let normed = self.step(out, "normed", normed);
        let apart = ("Reshape", vec![normed, self.ints(out, "apart", &[&[0], &map[..]].concat())], vec![]);
        if call.optional(2)?.is_none() && call.optional(3)?.is_none() {
            return Ok(apart);
        }
        let maps = self.step(out, "maps", apart);
        let [scale, shift] = self.scale_and_shift(call, out, [2, 3], map[0])?;
        // [C] → [C, 1, 1], which fits every map.
        let axes = self.ints(out, "axes", &[1, 2]);
        let scale = self.step(out, "scale.maps", ("Unsqueeze", vec![scale, axes.clone()], vec![]));
        let shift = self.step(out, "shift.maps", ("Unsqueeze", vec![shift, axes], vec![]));
        let scaled = self.step(out, "scaled", ("Mul", vec![maps, scale], vec![]));
        Ok(("Add", vec![scaled, shift], vec![]))
    }
}

/// What is common to everything that slides over maps: its kernel, its stride (argument `at`) and its border (the next argument), the same before and
/// after; and `more`.
fn window<const N: usize>(kernel: &[i64], call: Call, at: usize, more: [Attribute; N]) -> Result<Vec<Attribute>> {
    let (strides, border) = (call.ints(at)?, call.ints(at + 1)?);
    let common = [ints("kernel_shape", kernel), ints("strides", &strides), ints("pads", &[&border[..], &border].concat())];
    Ok(common.into_iter().chain(more).collect())
}

/// Which of `from` rows each of `to` rows repeats.
fn sources(from: i64, to: i64) -> Vec<i64> {
    let scale = from as f32 / to as f32;
    (0..to).map(|i| ((i as f32 * scale).floor() as i64).min(from - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::{Argument, TracedValue};
    use tch::{Device, Kind, Tensor as Torch};

    #[test]
    fn rows_are_repeated_as_libtorch_repeats_them() {
        for from in 1..40 {
            for to in 1..60 {
                let x = Torch::arange(from, (Kind::Float, Device::Cpu)).view([1, 1, from, 1]);
                let rows = Vec::<f32>::try_from(&x.upsample_nearest2d([to, 1], None, None).view([-1])).unwrap();
                assert_eq!(sources(from, to).iter().map(|row| *row as f32).collect::<Vec<_>>(), rows, "{from} to {to}");
            }
        }
    }

    fn node(op: &str, inputs: Vec<Argument>) -> TracedNode {
        TracedNode { op: op.into(), inputs, outputs: vec![TracedValue { name: "y".into(), shape: None }] }
    }

    #[test]
    fn an_operation_or_a_form_of_it_without_translation_is_named() {
        let x = || Argument::Value("x".into());
        let cases = [
            (node("aten::softmax", vec![x()]), "aten::softmax, which has no translation"),
            (
                node("aten::add", vec![x(), x(), Argument::Float(0.5)]),
                "aten::add cannot be written as ONNX: argument 2 is Some(Float(0.5)), not 1",
            ),
            (node("aten::relu", vec![Argument::Text("Tensor".into())]), "argument 0"),
            (node("aten::mean", vec![]), "it has no argument 3"),
        ];
        for (node, text) in cases {
            let mut converter = Converter { nodes: Vec::new(), constants: Vec::new(), shapes: HashMap::new() };
            let error = converter.convert(&node).unwrap_err();
            assert!(error.to_string().contains(text) && error.exit_code() == 5, "{error}");
        }
    }
}
