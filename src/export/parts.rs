//! Reading the arguments of a traced operation, and writing the parts of an ONNX node.

use super::proto::{Attribute, FLOAT_ATTRIBUTE, INT_ATTRIBUTE, INTS_ATTRIBUTE, TEXT_ATTRIBUTE};
use crate::error::{Error, Result, resource};
use crate::shim::{Argument, TracedNode};

/// An operation whose arguments are read by their place in libtorch's schema.
#[derive(Clone, Copy)]
pub struct Call<'a>(pub &'a TracedNode);

impl Call<'_> {
    /// An error that names the operation.
    pub fn refuse(self, what: &str) -> Error {
        resource!("{} cannot be written as ONNX: {what}", self.0.op)
    }

    fn other(self, at: usize, wanted: &str) -> Error {
        self.refuse(&format!("argument {at} is {:?}, not {wanted}", self.0.inputs.get(at)))
    }

    /// What `get` makes of an argument, which is nothing if the argument is not what is `wanted`.
    fn read<T>(self, at: usize, wanted: &str, get: impl FnOnce(&Argument) -> Option<T>) -> Result<T> {
        let argument = self.0.inputs.get(at).ok_or_else(|| self.refuse(&format!("it has no argument {at}")))?;
        get(argument).ok_or_else(|| self.other(at, wanted))
    }

    fn list<T>(self, at: usize, wanted: &str, get: impl Fn(&Argument) -> Option<T>) -> Result<Vec<T>> {
        self.read(at, wanted, |a| if let Argument::List(list) = a { list.iter().map(get).collect() } else { None })
    }

    /// A tensor that may be missing.
    pub fn optional(self, at: usize) -> Result<Option<String>> {
        self.read(at, "a tensor", |a| if *a == Argument::None { Some(None) } else { tensor(a).map(Some) })
    }

    /// A tensor.
    pub fn value(self, at: usize) -> Result<String> {
        self.read(at, "a tensor", tensor)
    }

    /// The tensors from `x`, the first argument, to the third, which may be missing: most often a bias.
    pub fn weighted(self) -> Result<Vec<String>> {
        Ok([Some(self.value(0)?), Some(self.value(1)?), self.optional(2)?].into_iter().flatten().collect())
    }

    /// Several tensors.
    pub fn values(self, at: usize) -> Result<Vec<String>> {
        self.list(at, "a list of computed tensors", tensor)
    }

    /// A number that may be whole; `None` for a tensor.
    pub fn scalar(self, at: usize) -> Result<Option<f64>> {
        self.read(at, "a tensor or a number", |a| match a {
            Argument::Int(i) => Some(Some(*i as f64)),
            Argument::Float(f) => Some(Some(*f)),
            other => tensor(other).map(|_| None),
        })
    }

    /// An integer that may be missing.
    pub fn optional_int(self, at: usize) -> Result<Option<i64>> {
        self.read(at, "an integer", |a| if *a == Argument::None { Some(None) } else { integer(a).map(Some) })
    }

    /// An integer.
    pub fn int(self, at: usize) -> Result<i64> {
        self.read(at, "an integer", integer)
    }

    /// Several integers.
    pub fn ints(self, at: usize) -> Result<Vec<i64>> {
        self.list(at, "a list of integers", integer)
    }

    /// A number.
    pub fn float(self, at: usize) -> Result<f64> {
        self.scalar(at)?.ok_or_else(|| self.other(at, "a number"))
    }

    /// A truth value.
    pub fn bool(self, at: usize) -> Result<bool> {
        self.read(at, "true or false", |a| if let Argument::Bool(b) = a { Some(*b) } else { None })
    }

    /// Refuses an argument that is not what the translation presumes.
    pub fn expect(self, at: usize, holds: bool, what: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(self.other(at, what)) }
    }
}

fn tensor(argument: &Argument) -> Option<String> {
    if let Argument::Value(name) = argument { Some(name.clone()) } else { None }
}

fn integer(argument: &Argument) -> Option<i64> {
    if let Argument::Int(i) = argument { Some(*i) } else { None }
}

/// An integer attribute.
pub fn int(name: &str, value: i64) -> Attribute {
    Attribute { name: name.into(), kind: INT_ATTRIBUTE, i: Some(value), ..Attribute::default() }
}

/// A number attribute.
pub fn float(name: &str, value: f64) -> Attribute {
    Attribute { name: name.into(), kind: FLOAT_ATTRIBUTE, f: Some(value as f32), ..Attribute::default() }
}

/// A text attribute.
pub fn text(name: &str, value: &str) -> Attribute {
    Attribute { name: name.into(), kind: TEXT_ATTRIBUTE, s: Some(value.into()), ..Attribute::default() }
}

/// An attribute of integers.
pub fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { name: name.into(), kind: INTS_ATTRIBUTE, ints: values.to_vec(), ..Attribute::default() }
}
