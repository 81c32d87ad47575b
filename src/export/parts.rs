//! Reading the arguments of a traced operation, and writing the parts of an ONNX node.

use super::proto;
use crate::error::{Error, Result, resource};
use crate::shim::{Argument, TracedNode};

/// An operation whose arguments are read by their place in libtorch's schema.
#[derive(Clone, Copy)]
pub struct Call<'a>(pub &'a TracedNode);

impl<'a> Call<'a> {
    /// An error that names the operation.
    pub fn refuse(self, what: &str) -> Error {
        resource!("{} cannot be written as ONNX: {what}", self.0.op)
    }

    fn argument(self, at: usize) -> Result<&'a Argument> {
        self.0.inputs.get(at).ok_or_else(|| self.refuse(&format!("it has no argument {at}")))
    }

    fn other(self, at: usize, wanted: &str) -> Error {
        self.refuse(&format!("argument {at} is {:?}, not {wanted}", self.0.inputs.get(at)))
    }

    /// A tensor that may be missing.
    pub fn optional(self, at: usize) -> Result<Option<&'a str>> {
        match self.argument(at)? {
            Argument::Value(name) => Ok(Some(name)),
            Argument::None => Ok(None),
            _ => Err(self.other(at, "a tensor")),
        }
    }

    /// A tensor.
    pub fn value(self, at: usize) -> Result<&'a str> {
        self.optional(at)?.ok_or_else(|| self.other(at, "a tensor"))
    }

    /// A number that may be whole; `None` for a tensor.
    pub fn scalar(self, at: usize) -> Result<Option<f64>> {
        match self.argument(at)? {
            Argument::Int(i) => Ok(Some(*i as f64)),
            Argument::Float(f) => Ok(Some(*f)),
            Argument::Value(_) => Ok(None),
            _ => Err(self.other(at, "a tensor or a number")),
        }
    }

    /// An integer that may be missing.
    pub fn optional_int(self, at: usize) -> Result<Option<i64>> {
        match self.argument(at)? {
            Argument::Int(i) => Ok(Some(*i)),
            Argument::None => Ok(None),
            _ => Err(self.other(at, "an integer")),
        }
    }

    /// An integer.
    pub fn int(self, at: usize) -> Result<i64> {
        self.optional_int(at)?.ok_or_else(|| self.other(at, "an integer"))
    }

    /// A number.
    pub fn float(self, at: usize) -> Result<f64> {
        self.scalar(at)?.ok_or_else(|| self.other(at, "a number"))
    }

    /// A truth value.
    pub fn bool(self, at: usize) -> Result<bool> {
        match self.argument(at)? {
            Argument::Bool(b) => Ok(*b),
            _ => Err(self.other(at, "true or false")),
        }
    }

    /// Several arguments.
    pub fn list(self, at: usize) -> Result<&'a [Argument]> {
        match self.argument(at)? {
            Argument::List(list) => Ok(list),
            _ => Err(self.other(at, "a list")),
        }
    }

    /// Several integers.
    pub fn ints(self, at: usize) -> Result<Vec<i64>> {
        let int = |a: &Argument| if let Argument::Int(i) = a { Ok(*i) } else { Err(self.other(at, "a list of integers")) };
        self.list(at)?.iter().map(int).collect()
    }

    /// Refuses an argument that is not what the translation presumes.
    pub fn expect(self, at: usize, holds: bool, what: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(self.other(at, what)) }
    }
}

fn attribute(name: &str, kind: proto::AttributeKind) -> proto::Attribute {
    proto::Attribute { name: name.into(), kind: kind as i32, ..Default::default() }
}

/// An integer attribute.
pub fn int(name: &str, value: i64) -> proto::Attribute {
    proto::Attribute { i: Some(value), ..attribute(name, proto::AttributeKind::Int) }
}

/// A number attribute.
pub fn float(name: &str, value: f64) -> proto::Attribute {
    proto::Attribute { f: Some(value as f32), ..attribute(name, proto::AttributeKind::Float) }
}

/// A text attribute.
pub fn text(name: &str, value: &str) -> proto::Attribute {
    proto::Attribute { s: Some(value.into()), ..attribute(name, proto::AttributeKind::Text) }
}

/// An attribute of integers.
pub fn ints(name: &str, values: &[i64]) -> proto::Attribute {
    proto::Attribute { ints: values.to_vec(), ..attribute(name, proto::AttributeKind::Ints) }
}

/// The same border on both sides of every dimension, as ONNX lists it: all beginnings, then all ends.
pub fn pads(border: &[i64]) -> proto::Attribute {
    ints("pads", &[border, border].concat())
}

/// Single-precision numbers.
pub fn floats_tensor(name: &str, dims: &[i64], values: &[f32]) -> proto::Tensor {
    tensor(name, dims, proto::DataKind::Float, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// Integers in a row.
pub fn ints_tensor(name: &str, values: &[i64]) -> proto::Tensor {
    tensor(name, &[values.len() as i64], proto::DataKind::Int64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// Numbers of the kind, row by row, little-endian.
pub fn tensor(name: &str, dims: &[i64], kind: proto::DataKind, raw_data: Vec<u8>) -> proto::Tensor {
    proto::Tensor { dims: dims.to_vec(), data_type: kind as i32, name: name.into(), raw_data }
}
