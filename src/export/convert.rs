//! From libtorch's operations to those of ONNX, one by one. An operation that is not here is an error that names it.

use super::parts::{Call, float, floats_tensor, int, ints, ints_tensor, pads, text};
use super::proto::{Attribute, Node, Tensor};
use crate::error::{Result, resource};
use crate::shim::{Argument, TracedNode};
use std::collections::HashMap;

/// The end of a slice that goes to the end.
const TO_THE_END: i64 = i64::MAX;

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
        let (call, out) = (Call(node), output.name.as_str());
        if let Some(shape) = &output.shape {
            self.shapes.insert(out.to_string(), shape.clone());
        }
        match node.op.strip_prefix("aten::").unwrap_or(&node.op) {
            "relu" => self.unary("Relu", call, out),
            "sigmoid" => self.unary("Sigmoid", call, out),
            "add" => self.sum(call, out),
            "mul" => self.binary("Mul", call, out),
            "div" => self.binary("Div", call, out),
            "cat" => self.concat(call, out),
            "_convolution" => self.convolution(call, out),
            "linear" => self.linear(call, out),
            "batch_norm" => self.batch_norm(call, out),
            "group_norm" => self.group_norm(call, out),
            "max_pool2d" => self.max_pool(call, out),
            "avg_pool2d" => self.average_pool(call, out),
            "mean" => self.mean(call, out),
            "unsqueeze" => self.unsqueeze(call, out),
            "slice" => self.slice(call, out),
            "narrow" => self.narrow(call, out),
            "constant_pad_nd" => self.constant_pad(call, out),
            "replication_pad2d" => self.replication_pad(call, out),
            "upsample_nearest2d" => self.nearest(call, out),
            _ => Err(resource!(
                "this network cannot be exported: it uses {}, which has no translation to ONNX in this version of naslab",
                node.op
            )),
        }
    }

    /// Adds a node; an empty name among the inputs is one that is left out.
    pub(super) fn push(&mut self, op: &str, inputs: &[&str], out: &str, attribute: Vec<Attribute>) -> Result<()> {
        let input = inputs.iter().map(|i| (*i).to_string()).collect();
        self.nodes.push(Node { input, output: vec![out.into()], name: out.into(), op_type: op.into(), attribute });
        Ok(())
    }

    /// Adds integers as a constant `out.what` and returns its name.
    pub(super) fn ints(&mut self, out: &str, what: &str, values: &[i64]) -> String {
        let name = format!("{out}.{what}");
        self.constants.push(ints_tensor(&name, values));
        name
    }

    /// Adds numbers as a constant `out.what` and returns its name.
    pub(super) fn floats(&mut self, out: &str, what: &str, dims: &[i64], values: &[f32]) -> String {
        let name = format!("{out}.{what}");
        self.constants.push(floats_tensor(&name, dims, values));
        name
    }

    pub(super) fn shape(&self, call: Call, name: &str) -> Result<&[i64]> {
        self.shapes.get(name).map(Vec::as_slice).ok_or_else(|| call.refuse(&format!("the sizes of {name} are not known")))
    }

    fn unary(&mut self, op: &str, call: Call, out: &str) -> Result<()> {
        self.push(op, &[call.value(0)?], out, Vec::new())
    }

    fn binary(&mut self, op: &str, call: Call, out: &str) -> Result<()> {
        let second = match call.scalar(1)? {
            Some(number) => self.floats(out, "number", &[], &[number as f32]),
            None => call.value(1)?.to_string(),
        };
        self.push(op, &[call.value(0)?, &second], out, Vec::new())
    }

    /// The second is multiplied by a number, here always one.
    fn sum(&mut self, call: Call, out: &str) -> Result<()> {
        call.expect(2, call.float(2)? == 1.0, "1")?;
        self.binary("Add", call, out)
    }

    fn concat(&mut self, call: Call, out: &str) -> Result<()> {
        let name = |a: &Argument| match a {
            Argument::Value(name) => Ok(name.clone()),
            _ => Err(call.refuse("it joins something that is no computed tensor")),
        };
        let parts: Vec<String> = call.list(0)?.iter().map(name).collect::<Result<_>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.push("Concat", &parts, out, vec![int("axis", call.int(1)?)])
    }

    /// (x, weight, bias, stride, padding, dilation, transposed, output padding, groups, ...)
    fn convolution(&mut self, call: Call, out: &str) -> Result<()> {
        let (x, weight) = (call.value(0)?, call.value(1)?);
        let kernel = self.shape(call, weight)?[2..].to_vec();
        let mut attributes = vec![
            ints("kernel_shape", &kernel),
            ints("strides", &call.ints(3)?),
            pads(&call.ints(4)?),
            ints("dilations", &call.ints(5)?),
            int("group", call.int(8)?),
        ];
        let transposed = call.bool(6)?;
        if transposed {
            attributes.push(ints("output_padding", &call.ints(7)?));
        }
        let inputs: Vec<&str> = [Some(x), Some(weight), call.optional(2)?].into_iter().flatten().collect();
        self.push(if transposed { "ConvTranspose" } else { "Conv" }, &inputs, out, attributes)
    }

    /// (x [N, input], weight [output, input], bias)
    fn linear(&mut self, call: Call, out: &str) -> Result<()> {
        let (x, weight) = (call.value(0)?, call.value(1)?);
        call.expect(0, self.shape(call, x)?.len() == 2, "a matrix")?;
        let inputs: Vec<&str> = [Some(x), Some(weight), call.optional(2)?].into_iter().flatten().collect();
        self.push("Gemm", &inputs, out, vec![int("transB", 1)])
    }

    /// (x, kernel, stride, padding, dilation, ceil)
    fn max_pool(&mut self, call: Call, out: &str) -> Result<()> {
        let attributes = vec![
            ints("kernel_shape", &call.ints(1)?),
            ints("strides", &call.ints(2)?),
            pads(&call.ints(3)?),
            ints("dilations", &call.ints(4)?),
            int("ceil_mode", call.bool(5)?.into()),
        ];
        self.push("MaxPool", &[call.value(0)?], out, attributes)
    }

    /// (x, kernel, stride, padding, ceil, whether the padding counts, another divisor)
    fn average_pool(&mut self, call: Call, out: &str) -> Result<()> {
        call.expect(4, !call.bool(4)?, "false")?;
        call.expect(6, call.optional_int(6)?.is_none(), "nothing")?;
        let attributes = vec![
            ints("kernel_shape", &call.ints(1)?),
            ints("strides", &call.ints(2)?),
            pads(&call.ints(3)?),
            int("count_include_pad", call.bool(5)?.into()),
        ];
        self.push("AveragePool", &[call.value(0)?], out, attributes)
    }

    /// (x, dimensions, whether they stay, kind)
    fn mean(&mut self, call: Call, out: &str) -> Result<()> {
        call.expect(3, call.optional_int(3)?.is_none(), "nothing")?;
        let attributes = vec![ints("axes", &call.ints(1)?), int("keepdims", call.bool(2)?.into())];
        self.push("ReduceMean", &[call.value(0)?], out, attributes)
    }

    fn unsqueeze(&mut self, call: Call, out: &str) -> Result<()> {
        let axes = self.ints(out, "axes", &[call.int(1)?]);
        self.push("Unsqueeze", &[call.value(0)?, &axes], out, Vec::new())
    }

    /// (x, dimension, start, end, step)
    fn slice(&mut self, call: Call, out: &str) -> Result<()> {
        let (start, end) = (call.optional_int(2)?.unwrap_or(0), call.optional_int(3)?.unwrap_or(TO_THE_END));
        self.cut(call, out, start, end, call.int(4)?)
    }

    /// (x, dimension, start, length)
    fn narrow(&mut self, call: Call, out: &str) -> Result<()> {
        let start = call.int(2)?;
        self.cut(call, out, start, start + call.int(3)?, 1)
    }

    fn cut(&mut self, call: Call, out: &str, start: i64, end: i64, step: i64) -> Result<()> {
        let dimension = call.int(1)?;
        let [start, end, axis, step] =
            [("start", start), ("end", end), ("axis", dimension), ("step", step)].map(|(what, value)| self.ints(out, what, &[value]));
        self.push("Slice", &[call.value(0)?, &start, &end, &axis, &step], out, Vec::new())
    }

    /// (x, pads, number): the pads begin with the last dimension, before and after.
    fn constant_pad(&mut self, call: Call, out: &str) -> Result<()> {
        let number = self.floats(out, "number", &[], &[call.float(2)? as f32]);
        let pads = self.pads(call, out)?;
        self.push("Pad", &[call.value(0)?, &pads, &number], out, vec![text("mode", "constant")])
    }

    fn replication_pad(&mut self, call: Call, out: &str) -> Result<()> {
        let pads = self.pads(call, out)?;
        self.push("Pad", &[call.value(0)?, &pads], out, vec![text("mode", "edge")])
    }

    fn pads(&mut self, call: Call, out: &str) -> Result<String> {
        let given = call.ints(1)?;
        let rank = self.shape(call, call.value(0)?)?.len();
        let mut pads = vec![0; 2 * rank];
        for (i, pair) in given.chunks_exact(2).enumerate() {
            (pads[rank - 1 - i], pads[2 * rank - 1 - i]) = (pair[0], pair[1]);
        }
        Ok(self.ints(out, "pads", &pads))
    }

    /// (x, [height, width], ...). Which row and column is repeated is computed here as libtorch does, in single precision, so that no
    /// runtime can round it otherwise.
    fn nearest(&mut self, call: Call, out: &str) -> Result<()> {
        let x = call.value(0)?;
        let from = self.shape(call, x)?.to_vec();
        let [height, width] = call.ints(1)?[..] else {
            return Err(call.refuse("the new size is not a height and a width"));
        };
        let rows = self.ints(out, "rows", &sources(from[2], height));
        let columns = self.ints(out, "columns", &sources(from[3], width));
        let tall = format!("{out}.tall");
        self.push("Gather", &[x, &rows], &tall, vec![int("axis", 2)])?;
        self.push("Gather", &[&tall, &columns], out, vec![int("axis", 3)])
    }

    /// (x, weight, bias, mean, variance, training, momentum, epsilon, ...)
    fn batch_norm(&mut self, call: Call, out: &str) -> Result<()> {
        call.expect(5, !call.bool(5)?, "false")?;
        let mean = call.value(3)?;
        let channels = self.shape(call, mean)?[0];
        let [scale, shift] = self.scale_and_shift(call, out, [1, 2], channels)?;
        let inputs = [call.value(0)?, &scale, &shift, mean, call.value(4)?];
        self.push("BatchNormalization", &inputs, out, vec![float("epsilon", call.float(7)?)])
    }
}

/// Which of `from` rows each of `to` rows repeats.
fn sources(from: i64, to: i64) -> Vec<i64> {
    let scale = from as f32 / to as f32;
    (0..to).map(|i| ((i as f32 * scale).floor() as i64).min(from - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::TracedValue;
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
