//! What a calculation consists of, as libtorch's tracer records it.

use super::AtEnd;
use super::kernels::last_error;
use serde::Deserialize;
use std::ffi::{CStr, CString, c_char, c_void};
use tch::Tensor;

unsafe extern "C" {
    fn naslab_is_tracing() -> bool;
    fn naslab_trace_begin(tensors: *const *const c_void, names: *const *const c_char, count: i64) -> bool;
    fn naslab_trace_end(result: *const c_void) -> *const c_char;
    fn naslab_trace_abandon();
}

/// The operations of a calculation in their order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Traced {
    /// The operations.
    pub nodes: Vec<TracedNode>,
    /// Name of the result.
    pub output: String,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TracedNode {
    /// libtorch's name of it, such as `aten::relu`.
    pub op: String,
    /// What it is given, in the order of libtorch's schema.
    pub inputs: Vec<Argument>,
    /// What it gives.
    pub outputs: Vec<TracedValue>,
}

/// A tensor between two operations.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TracedValue {
    /// Unique in the trace.
    pub name: String,
    /// Its sizes; `None` for what is no tensor.
    pub shape: Option<Vec<i64>>,
}

/// What an operation is given.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Argument {
    /// Nothing.
    None,
    /// An input of the trace, or what an operation before gave.
    Value(String),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A constant of another kind, by the name of the kind.
    Text(String),
    /// Several.
    List(Vec<Argument>),
}

/// Whether the operations of this thread are being recorded. The tracer sees libtorch's operations only, so that kernels of our own step aside.
pub fn is_tracing() -> bool {
    // SAFETY: the function reads a variable of this thread.
    unsafe { naslab_is_tracing() }
}

/// Records how `calculate` gets its result from `inputs`, each with its name. The error is libtorch's reason.
///
/// # Panics
/// As `calculate` does; nothing is recorded any more then.
pub fn trace(inputs: &[(&str, &Tensor)], calculate: impl FnOnce() -> Tensor) -> Result<Traced, String> {
    let names: Vec<CString> = inputs.iter().map(|(name, _)| CString::new(*name).map_err(|e| e.to_string())).collect::<Result<_, _>>()?;
    let names: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
    let tensors: Vec<*const c_void> = inputs.iter().map(|(_, t)| t.as_ptr().cast()).collect();
    // SAFETY: both lists have `inputs.len()` entries that live through the call: tensors, and texts that end with a zero.
    if !unsafe { naslab_trace_begin(tensors.as_ptr(), names.as_ptr(), inputs.len() as i64) } {
        return Err(last_error());
    }
    let open = AtEnd(naslab_trace_abandon);
    let result = calculate();
    // SAFETY: the pointer is a tensor that lives through the call; the text belongs to this thread and is read at once.
    let traced = unsafe {
        let text = naslab_trace_end(result.as_ptr().cast());
        if text.is_null() { Err(last_error()) } else { Ok(CStr::from_ptr(text)) }
    };
    drop(open);
    serde_json::from_slice(traced?.to_bytes()).map_err(|e| format!("the trace cannot be read: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn after_a_panic_nothing_is_recorded() {
        let x = Tensor::ones([1], (Kind::Float, Device::Cpu));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| trace(&[("x", &x)], || panic!("on purpose"))));
        assert!(caught.is_err() && !is_tracing());
    }
}
